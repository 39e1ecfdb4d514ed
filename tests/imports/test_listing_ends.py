"""Listings that don't end, end early, or pause again and again: an import and a preview come to an end all the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from datasets_app.models import Import
from datasets_app.services import import_preview, importing, listing
from datasets_app.services.imports import preview_import
from datasets_app.sources import patience, s3_answers
from tests.imports.bucket import Bucket, Importer, files_of, work_until
from tests.imports.endless import EndlessStore
from tests.imports.front import LISTING, S3Front
from tests.servers import S3Server

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

Serve = Callable[[EndlessStore], Importer]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth as long as in earnest."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(importing, "LONGEST_PAUSE", 0.2)


@pytest.fixture
def serve(transactional_db: None) -> Iterator[Serve]:
    """Run a store, for a team that is connected to it."""
    stores = []

    def start(store: EndlessStore) -> Importer:
        stores.append(store.start())
        return Importer.create(S3Server(store.url, "key", "secret"))

    yield start
    for store in stores:
        store.stop()


def test_one_that_never_ends_fails(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_EMPTY_PAGES", 40)
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.05)
    importer = serve(EndlessStore(5000, empty=-1))

    run = importer.bring("endless/data")

    assert run.status == Import.Status.FAILED
    assert "does not come to an end" in run.error


def test_one_that_never_ends_and_is_slow_fails(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MOST_EMPTY_SECONDS", 1.0)
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.05)
    store = EndlessStore(5000, empty=-1)
    importer = serve(store)
    store.fail("continuation-token", times=-1, delay=0.2)

    run = importer.bring("endless/data")

    assert run.status == Import.Status.FAILED
    assert "does not come to an end" in run.error


def test_pages_that_hold_nothing_are_passed_in_one_turn(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.05)
    run = serve(EndlessStore(2500, empty=30)).start("endless/data", seal=False)

    work_until(run, lambda run: run.is_listed)

    assert run.listed_files == 2500


def test_a_preview_of_one_that_never_ends_says_what_it_has_seen(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_preview, "MOST_SECONDS", 1.0)
    importer = serve(EndlessStore(5000, empty=-1))
    began = time.monotonic()

    found = preview_import(importer.writer, connection=importer.connection, source_path="endless/data")

    assert time.monotonic() - began < 10
    assert (found.files, found.is_whole) == (1000, False)


@pytest.mark.parametrize("cut", [0, 20, 60, 400])
@pytest.mark.parametrize("is_told", [True, False])
def test_one_that_breaks_off_is_asked_again(
    fronted: Importer, bucket: Bucket, front: S3Front, cut: int, *, is_told: bool
) -> None:
    files = {f"file{n}": b"%d" % n for n in range(9)}
    bucket.put(files)
    whole = bucket.client.list_objects_v2(Bucket="imports")
    assert whole["KeyCount"]
    if is_told:
        front.fail(LISTING, times=3, cut=cut)
    else:
        page = b'<?xml version="1.0"?><ListBucketResult xmlns="x"><IsTruncated>false</IsTruncated>' + b"<Contents>" * 90
        front.fail(LISTING, times=3, status=200, body=page[:cut])

    run = fronted.bring(bucket.name)

    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    assert files_of(run.version) == files


def test_pauses_are_forgotten_when_it_goes_on(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine pauses in hours of listing are no outage."""
    monkeypatch.setattr(importing, "MOST_OUTAGES", 2)
    monkeypatch.setattr(patience, "TRIES", 1)
    store = EndlessStore(6000)
    after = r"(start-after|continuation-token)=[^&]*"
    faults = {page: store.fail(rf"{after}{page * 1000 - 1:08}", times=-1, status=500) for page in range(1, 5)}
    run = serve(store).start("endless/data", seal=False)
    for page, fault in faults.items():
        work_until(run, lambda run, page=page: run.listed_files == page * 1000 and run.outages > 0)  # type: ignore[misc]
        fault.times = 0
    work_until(run, lambda run: run.is_listed)


def test_a_page_that_is_too_large_is_not_read(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_answers, "ANSWER_BYTES", 100_000)

    run = serve(EndlessStore(5000)).bring("endless/data")

    assert run.status == Import.Status.FAILED
    assert "more than S3 ever does" in run.error


def test_a_page_that_trickles_is_given_up(
    fronted: Importer, bucket: Bucket, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_answers, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(importing, "MOST_OUTAGES", 0)
    bucket.put({"a": b"one"})
    front.fail(LISTING, times=-1, rate=100)

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert "too slowly" in run.error


def test_more_objects_than_were_asked_for_are_taken_in_pages(serve: Serve) -> None:
    store = EndlessStore(3500)
    store.most = 3500
    importer = serve(store)

    run = importer.bring("endless/data")

    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    assert run.version.file_count == 3500
