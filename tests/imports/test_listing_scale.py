"""A listing of very many keys takes time, but no memory."""

from __future__ import annotations

import resource

import pytest

from datasets_app.models import Import, ImportPart, StagedFile
from datasets_app.services import importing
from tests.imports.bucket import Importer, work_until
from tests.imports.endless import EndlessStore
from tests.servers import S3Server

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

MIB = 2**20


def list_all(count: int) -> int:
    """List so many keys, and return by how many bytes the largest memory of this process has grown after the start."""
    store = EndlessStore(count).start()
    try:
        server = S3Server(store.url, "key", "secret")
        run = Importer.create(server).start("endless/data", seal=False)
        before = 0

        def is_listed(run: Import) -> bool:
            nonlocal before
            # What it takes to begin is not counted.
            if not before and run.listed_files:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            return run.is_listed

        work_until(run, is_listed, seconds=1200)
        # Before anything else: to count rows, SQLite maps the whole file into memory.
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
        assert (run.listed_files, run.refused_files) == (count, 0)
        assert StagedFile.objects.filter(version=run.version).count() == count
        parts = ImportPart.objects.filter(run=run)
        assert sum(parts.values_list("file_count", flat=True)) == count
        return grown
    finally:
        store.stop()


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the listing go on over several turns, and nobody copy."""
    monkeypatch.setattr(importing, "TURN_SECONDS", 2.0)


def test_tens_of_thousands_of_keys(transactional_db: None) -> None:
    assert list_all(30_000) < 60 * MIB


@pytest.mark.nightly
def test_a_million_keys(transactional_db: None) -> None:
    assert list_all(1_000_000) < 60 * MIB
