"""Stores that are slow, stall in the middle of a body, or trickle: nobody waits for ever, and what comes is whole."""

from __future__ import annotations

import random
import threading
import time

import pytest

from datasets_app.models import Import
from datasets_app.services import importing
from datasets_app.sources import patience, s3_clients, s3_reader
from datasets_app.sources.base import Cause
from tests.imports.bucket import Bucket, Importer, files_of
from tests.imports.front import S3Front

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

MIB = 2**20


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for seconds where in earnest it is minutes."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(importing, "LONGEST_PAUSE", 0.2)
    monkeypatch.setattr(importing, "MOST_OUTAGES", 1)
    monkeypatch.setattr(s3_clients, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(s3_clients, "REQUEST_SECONDS", 2.0)
    monkeypatch.setattr(s3_reader, "LONGEST_HICCUP", 0.5)
    monkeypatch.setattr(patience, "TRIES", 3)


def test_bodies_that_stall_or_trickle_are_asked_for_again(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    noise = random.Random(6)
    files = {f"file{n:02}": noise.randbytes(3000) for n in range(40)} | {"large": noise.randbytes(17 * MIB)}
    bucket.put(files)
    front.fail(rf"GET /{bucket.name}/file1", times=3, stall=4)
    front.fail(rf"GET /{bucket.name}/file2", times=3, rate=500)
    front.fail(rf"GET /{bucket.name}/large", times=1, stall=4)

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FINISHED
    assert files_of(run.version) == files


def test_one_that_only_ever_trickles_fails_alone(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({f"file{n}": b"%d" % n * 1000 for n in range(10)} | {"slow": b"x" * 9000})
    front.fail(rf"GET /{bucket.name}/slow", times=-1, rate=1500)
    threads = threading.active_count()

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    causes = dict(run.problems.values_list("path", "cause"))
    assert causes["slow"] == Cause.UNREACHABLE
    assert run.copied_files == 10
    # Nobody is left waiting for it.
    end = time.monotonic() + 60
    while threading.active_count() > threads + 4 and time.monotonic() < end:
        time.sleep(0.1)
    assert threading.active_count() <= threads + 4
