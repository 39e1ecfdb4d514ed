"""However short a worker's turn is, or however long the store takes to open: every turn comes further."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from datasets_app.models import Import, ImportPart
from datasets_app.services import copier, importing
from tests.imports.bucket import Bucket, Importer, files_of
from tests.imports.front import LISTING, S3Front

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

MIB = 2**20
# What a source asks when it is opened: is there anything at all?
OPENING = rf"{LISTING}.*max-keys=1(&|$)"


def make_files() -> dict[str, bytes]:
    """Some of every kind: small, large, empty, and one twice."""
    noise = random.Random(8)
    files = {f"dir{n % 3}/file{n:02}": noise.randbytes(700) for n in range(50)} | {"empty": b""}
    return files | {"large": noise.randbytes(9 * MIB + 1), "twin1": b"twin", "twin2": b"twin"}


def test_turns_of_no_time_at_all_come_to_the_end(
    importer: Importer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.0)
    files = make_files()
    bucket.put(files)

    run = importer.bring(bucket.name)

    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    assert files_of(run.version) == files


def test_every_turn_of_no_time_copies_something(
    importer: Importer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put({f"file{n:03}": b"%d" % n for n in range(5 * copier.BATCH_FILES)})
    run = importer.start(bucket.name)
    importing.run_imports()
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.0)

    copied = [0]
    for _ in range(5):
        importing.run_imports()
        run.refresh_from_db()
        copied.append(run.copied_files)

    assert all(after > before for before, after in pairwise(copied)), copied
    assert run.status == Import.Status.FINISHED


def test_a_store_that_is_slow_to_open_leaves_time_to_copy(
    fronted: Importer, bucket: Bucket, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In earnest: a turn of 20 seconds, and a store that is busy for longer before it gives its first answer."""
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.3)
    files = make_files()
    bucket.put(files)
    front.fail(OPENING, times=-1, delay=0.5)

    run = fronted.bring(bucket.name)

    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    assert files_of(run.version) == files
    # Not one batch in each turn, which would be a dozen of them.
    assert len(front.lines(OPENING)) <= 6


def test_a_turn_of_no_time_gives_back_what_it_did_not_begin(
    importer: Importer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put({f"file{n:03}": b"%d" % n for n in range(100)})
    run = importer.start(bucket.name)
    importing.run_imports()
    monkeypatch.setattr(importing, "TURN_SECONDS", 0.0)

    importing.run_imports()

    run.refresh_from_db()
    assert 0 < run.copied_files < 100
    assert not ImportPart.objects.filter(run=run, lease_until__isnull=False).exists()
