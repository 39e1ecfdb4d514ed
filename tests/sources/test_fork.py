"""Workers load the clients once and are forked afterwards: nothing that a fork would break may be running by then."""

import subprocess
import sys

import pytest

from tests.imports.endless import EndlessStore

pytestmark = pytest.mark.server

# In a fresh process, as a worker's parent is: this one has threads of its own.
SCRIPT = """
import os, sys
from flexai_site.celery import load_sources
load_sources()
from datasets_app.sources.base import Route, Settings
from datasets_app.sources.registry import PROVIDERS
assert "obstore" in sys.modules and "botocore" in sys.modules
print("threads", len(os.listdir("/proc/self/task")), flush=True)
def read():
    values = {"endpoint": sys.argv[1], "access": "public", "region": "us-east-1"}
    tree = PROVIDERS["minio"].connect(Settings(values, {}), Route()).open("endless/data")
    page = next(tree.list_files())
    return [bytes(tree.fetch(file)) == file.key.encode() for file in page.files]
for _ in range(2):
    child = os.fork()
    if not child:
        os._exit(0 if read() == [True] * 5 else 1)
    print("child", os.waitpid(child, 0)[1], flush=True)
"""


def test_a_forked_worker_reads_with_what_was_loaded_before() -> None:
    store = EndlessStore(5).start()
    try:
        told = subprocess.run(
            [sys.executable, "-c", SCRIPT, store.url], capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        store.stop()
    assert told.stdout.splitlines() == ["threads 1", "child 0", "child 0"], told.stderr
