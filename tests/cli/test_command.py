"""What all commands have in common: installed alone, completed by the shell, told by JSON."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flexai_cli.errors import Exit
from tests.cli.conftest import Flexai, write_files
from tests.servers import ROOT

GUIDE = (ROOT / "docs/guide/command-line.md").read_text()
FORBIDDEN = ("django", "ninja", "celery", "datasets-app")


def test_exit_codes_are_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| \S", GUIDE, re.MULTILINE)
    assert rows == [str(int(code)) for code in Exit]


def commands() -> list[tuple[str, ...]]:
    """Return the words of every command."""
    import typer

    from flexai_cli.app import app

    def walk(command: object, words: tuple[str, ...]) -> list[tuple[str, ...]]:
        children = getattr(command, "commands", None)
        if children is None:
            return [words]
        return [found for word, child in children.items() for found in walk(child, (*words, word))]

    return walk(typer.main.get_command(app), ())


def test_every_command_has_json_and_help() -> None:
    from typer.testing import CliRunner

    from flexai_cli.app import app

    found = commands()
    assert {("dataset", "cat"), ("job", "logs"), ("fine-tuning", "run")} <= set(found)
    for name in found:
        told = CliRunner().invoke(app, [*name, "--help"])
        assert told.exit_code == 0
        assert "--json" in told.stdout, name


@pytest.mark.server
def test_cat_as_json(flexai: Flexai, tmp_path: Path) -> None:
    data = os.urandom(3 * 2**20 + 5)
    flexai.run("dataset", "push", "bytes", "--file", write_files(tmp_path / "data", {"a": data}))
    lines = [json.loads(line) for line in flexai.run("dataset", "cat", "bytes", "a", "--json").stdout.splitlines()]
    assert [line["offset"] for line in lines] == [0, 2**20, 2 * 2**20, 3 * 2**20]
    assert b"".join(base64.b64decode(line["base64"]) for line in lines) == data


def test_completion(tmp_path: Path) -> None:
    asked = {"_FLEXAI_COMPLETE": "complete_bash", "COMP_WORDS": "flexai dataset pu", "COMP_CWORD": "2"}
    environment = {**os.environ, **asked, "PYTHONPATH": str(ROOT)}
    # Shells know the program by its name.
    command = [sys.executable, "-c", "import sys; sys.argv = ['flexai']; from flexai_cli.entry import main; main()"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert sorted(done.stdout.split()) == ["pull", "push"], done.stderr


@pytest.mark.server
def test_it_is_installed_alone(tmp_path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv is not installed")
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}

    def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            list(map(str, command)), env=environment, capture_output=True, text=True, check=False, cwd=tmp_path
        )

    # A copy, so that nothing is built in the checkout.
    source = tmp_path / "source"
    shutil.copytree(ROOT / "flexai_cli", source / "flexai_cli", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    venv = tmp_path / "venv"
    assert run(uv, "venv", "--python", sys.executable, venv).returncode == 0
    python = venv / "bin" / "python"
    done = run(uv, "pip", "install", "--python", python, f"flexai-dataset-manager[cli] @ file://{source}")
    if done.returncode and re.search(r"error sending request|[Cc]onnect|dns|network", done.stderr):
        pytest.skip(f"No package index can be reached: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    listed = json.loads(run(uv, "pip", "list", "--python", python, "--format=json").stdout)
    names = {row["name"].lower() for row in listed}
    assert "flexai-dataset-manager" in names
    assert {"typer", "httpx", "rich", "fsspec"} <= names
    assert [name for name in names if name.startswith(FORBIDDEN)] == []
    told = run(venv / "bin" / "flexai", "--help")
    assert told.returncode == 0, told.stderr
    assert "Usage" in told.stdout
    assert run(python, "-c", "import fsspec; fsspec.get_filesystem_class('flexai')").returncode == 0
