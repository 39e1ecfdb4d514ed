"""Large directories: a page costs the same at the start and at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets_app.models import Blob, StagedFile, User, Version
from datasets_app.services.browsing import list_directory
from datasets_app.services.versions import run_seal
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]

# Of this process. A page reads a few index pages; the plans above show that it is not more on the database's side.
MOST_SECONDS = 0.05


def seal_many(version: Version, paths: list[str]) -> Version:
    """Seal a version whose files all hold the same bytes."""
    blob = Blob.objects.get(size=6)
    for start in range(0, len(paths), 5000):
        StagedFile.objects.bulk_create(
            StagedFile(version=version, path=path, size=blob.size, blob=blob) for path in paths[start : start + 5000]
        )
    Version.objects.filter(pk=version.pk).update(status=Version.Status.PENDING)
    run_seal(version.pk)
    return Version.objects.select_related("root", "dataset__team").get(pk=version.pk)


def last_cursor(actor: User, version: Version, path: str) -> str:
    """Return the cursor of the last page of 100 rows."""
    cursor, page = "", list_directory(actor, version=version, path=path, limit=100)
    while page.next_cursor is not None:
        cursor = page.next_cursor
        page = list_directory(actor, version=version, path=path, cursor=cursor, limit=100)
    return cursor


@pytest.fixture
def actor() -> User:
    team = make_team("vision")
    make_available_version(make_dataset(team, "images"))
    return make_member(team, "reader")


def open_version() -> Version:
    return make_version(Version.objects.get().dataset)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by statistics: see the nightly test")
@pytest.mark.parametrize("path", ["files", "folders"])
def test_every_page_is_read_from_an_index(actor: User, path: str) -> None:
    paths = [f"files/{number:04}" for number in range(300)] + [f"folders/{number:04}/f" for number in range(300)]
    version = seal_many(open_version(), paths)
    cursor = last_cursor(actor, version, path)
    plans = []
    for where in (None, cursor):
        with CaptureQueriesContext(connection) as queries:
            list_directory(actor, version=version, path=path, cursor=where, limit=100)
        assert len(queries) <= 6
        with connection.cursor() as database:
            for query in queries.captured_queries:
                database.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
                plans += [row[-1] for row in database.fetchall()]
    assert [plan for plan in plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan] == []


def best_of(times: int, call: Callable[[], object]) -> float:
    """Return the CPU seconds of the cheapest call: what the machine does besides is not our business."""
    spent = []
    for _ in range(times):
        start = time.process_time()
        call()
        spent.append(time.process_time() - start)
    return min(spent)


@pytest.mark.nightly
def test_pages_of_very_large_directories(actor: User) -> None:
    paths = [f"files/{number:06}.txt" for number in range(100_000)]
    version = seal_many(open_version(), paths + [f"folders/{number:05}/f" for number in range(10_000)])
    slow = {}
    for path in ("files", "folders"):
        for cursor in ("", last_cursor(actor, version, path)):
            slow[path, cursor] = best_of(
                7, partial(list_directory, actor, version=version, path=path, cursor=cursor, limit=200)
            )
    assert {page: seconds for page, seconds in slow.items() if seconds > MOST_SECONDS} == {}
