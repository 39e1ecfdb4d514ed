"""A listing of very many keys takes time, but no memory: in a process of its own, whose figure is its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from datasets_app.models import ImportPart, StagedFile
from tests.imports.bucket import Importer
from tests.imports.endless import EndlessStore
from tests.servers import ROOT, S3Server

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

MIB = 2**20
# A worker that takes one turn after another, and nobody copies.
WORKER = """
import sys
import django
django.setup()
from datasets_app.models import Import
from datasets_app.services import importing

def peak():
    # Not what getrusage tells: that begins with what the parent had.
    lines = open("/proc/self/status").read().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

importing.TURN_SECONDS = 2.0
run = Import.objects.get(pk=int(sys.argv[1]))
before = 0
while not run.is_listed:
    assert run.is_active, run.error
    assert importing.run_imports()
    run.refresh_from_db()
    # What it takes to begin is not counted.
    before = before or (run.listed_files and peak())
print(peak() - before)
"""


def environment() -> dict[str, str]:
    """Lead another process to this test's database and folders."""
    found = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_"))}
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "postgresql":
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    else:
        database = f"sqlite:///{name}"
    return found | {
        "DJANGO_SETTINGS_MODULE": "flexai_site.settings",
        "DATABASE_URL": database,
        "DATA_DIR": str(settings.DATA_DIR),
        "ALLOWED_SOURCE_NETWORKS": "127.0.0.0/8",
    }


def list_all(count: int) -> int:
    """List so many keys, and return by how many bytes the worker's largest memory has grown after the start."""
    store = EndlessStore(count).start()
    try:
        run = Importer.create(S3Server(store.url, "key", "secret")).start("endless/data", seal=False)
        done = subprocess.run(
            [sys.executable, "-c", WORKER, str(run.pk)],
            cwd=ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
    finally:
        store.stop()
    assert done.returncode == 0, done.stderr
    run.refresh_from_db()
    assert (run.listed_files, run.refused_files) == (count, 0)
    assert StagedFile.objects.filter(version=run.version).count() == count
    parts = ImportPart.objects.filter(run=run)
    assert sum(parts.values_list("file_count", flat=True)) == count
    return int(done.stdout)


@pytest.fixture(autouse=True)
def _linux() -> None:
    """Skip it where a process is not told its memory."""
    if not Path("/proc/self/status").exists():
        pytest.skip("there is no /proc")


def test_tens_of_thousands_of_keys(transactional_db: None) -> None:
    assert list_all(30_000) < 60 * MIB


@pytest.mark.nightly
def test_a_million_keys(transactional_db: None) -> None:
    assert list_all(1_000_000) < 60 * MIB
