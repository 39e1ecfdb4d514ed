"""What can go wrong with a store or with single objects: each is told with its cause, and what is well is kept."""

from __future__ import annotations

import random
import time

import pytest
from pytest_django.fixtures import Settings

from datasets_app.models import Blob, Import, ImportProblem, StagedFile, Version
from datasets_app.services import import_record, importing
from datasets_app.services.imports import measure_import
from datasets_app.sources import patience
from datasets_app.sources.base import Cause
from tests.imports.bucket import Bucket, Importer, files_of, work_until
from tests.imports.front import LISTING, S3Front, serve_front
from tests.servers import S3Server

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]

MIB = 2**20


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth as long as in earnest."""
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(importing, "LONGEST_PAUSE", 0.5)


def problems_of(run: Import) -> dict[str, str]:
    """Causes by the last part of the keys."""
    return {key.rsplit("/", 1)[-1]: cause for key, cause in run.problems.values_list("key", "cause")}


def test_a_wrong_secret_ends_it_before_anything_is_listed(s3_server: S3Server, bucket: Bucket) -> None:
    importer = Importer.create(s3_server, secret_key="not the secret")
    bucket.put({"a": b"one"})

    run = importer.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert "secret key" in run.error
    assert "not the secret" not in run.error
    assert run.version.status == Version.Status.ERROR
    assert run.version.error == run.error
    assert run.outages == 0


def test_a_missing_bucket_and_an_empty_path_are_told(importer: Importer, bucket: Bucket) -> None:
    run = importer.bring("no-such-bucket-anywhere")
    assert run.status == Import.Status.FAILED
    assert "no-such-bucket-anywhere" in run.error

    run = importer.bring(bucket.name)
    assert run.status == Import.Status.FAILED
    assert "nothing at" in run.error

    bucket.put({"a.txt": b"one"})
    run = importer.bring(bucket.name, include=["*.jpg"])
    assert run.status == Import.Status.FAILED
    assert "patterns" in run.error


def test_illegal_keys_are_listed_and_the_others_come(exact_server: S3Server) -> None:
    importer, bucket = Importer.create(exact_server), Bucket(exact_server)
    bucket.put(
        {
            "good": b"1",
            "a//b": b"2",
            "back\\slash": b"3",
            "tab\there": b"4",
            "x" * 300: b"5",
            "both": b"6",
            "both/inside": b"7",
            "marker/": b"",
            "e\u0301": b"8",
            "é": b"9",
        }
    )

    run = importer.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    reasons = dict(run.problems.values_list("key", "reason"))
    reasons = {key.removeprefix(f"{bucket.folder}/"): reason for key, reason in reasons.items()}
    assert set(reasons) == {"a//b", "back\\slash", "tab\there", "x" * 300, "both", "é"}
    assert "empty part" in reasons["a//b"]
    assert "backslash" in reasons["back\\slash"]
    assert "folder" in reasons["both"]
    assert "Unicode" in reasons["é"]
    assert (run.refused_files, run.failed_files, run.skipped_files) == (6, 0, 0)
    paths = StagedFile.objects.filter(version=run.version, blob__isnull=False).values_list("path", flat=True)
    assert sorted(paths) == ["both/inside", "good", "é"]
    assert measure_import(run).failed_files == 6


def test_a_key_that_is_a_folder_of_a_later_page_is_found(exact_server: S3Server) -> None:
    importer, bucket = Importer.create(exact_server), Bucket(exact_server)
    # Between "a" and "a/": names that begin with what sorts before the slash.
    bucket.put({"a": b"file"} | {f"a-{n:04}": b"x" for n in range(1100)} | {"a/b": b"below"})

    run = importer.bring(bucket.name)

    assert problems_of(run) == {"a": Cause.INVALID}
    assert not StagedFile.objects.filter(version=run.version, path="a").exists()
    assert StagedFile.objects.filter(version=run.version, blob__isnull=False).count() == 1101


def test_an_object_that_is_denied_fails_alone(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({f"file{n}": b"x%d" % n for n in range(30)} | {"secret": b"no"})
    front.fail(rf"GET /{bucket.name}/secret", times=-1, status=403, body=b"<Error><Code>AccessDenied</Code></Error>")

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert problems_of(run) == {"secret": Cause.DENIED}
    assert (run.copied_files, run.failed_files) == (30, 1)
    assert len(front.reads("secret")) == 1
    staged = StagedFile.objects.get(version=run.version, path="secret")
    assert staged.state == "failed"
    assert "1 of 31 files failed" in run.version.error


def test_credentials_that_expire_stop_it_early(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({f"file{n:04}": b"x%d" % n for n in range(2000)})
    expired = b"<Error><Code>ExpiredToken</Code></Error>"
    front.fail(rf"GET /{bucket.name}/file0[1-9]", times=-1, status=403, body=expired)

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert "expired" in run.error
    assert run.failed_files == 0
    assert len(front.reads()) < 500


def test_where_everything_fails_not_everything_is_tried(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({f"file{n:04}": b"x%d" % n for n in range(1500)})
    front.fail(rf"GET /{bucket.name}/f", times=-1, status=404, body=b"<Error><Code>NoSuchKey</Code></Error>")

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert "the rest was not tried" in run.error
    assert 100 <= run.failed_files <= len(front.reads()) < 1500


def test_an_object_that_changes_while_it_is_read_comes_as_it_is_then(
    fronted: Importer, bucket: Bucket, front: S3Front
) -> None:
    bucket.put({"before": b"stays", "changing": b"old", "large": b"o" * 17 * MIB, "vanishing": b"soon gone"})
    front.fail(rf"GET /{bucket.name}/changing", then=lambda: bucket.put({"changing": b"newer"}))
    front.fail(rf"GET /{bucket.name}/large", then=lambda: bucket.put({"large": b"n" * 18 * MIB}))
    front.fail(rf"GET /{bucket.name}/vanishing", then=lambda: bucket.delete("vanishing"))

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert problems_of(run) == {"vanishing": Cause.MISSING}
    sizes = dict(StagedFile.objects.filter(version=run.version, blob__isnull=False).values_list("path", "blob__size"))
    assert sizes == {"before": 5, "changing": 5, "large": 18 * MIB}
    # What is remembered is the new object.
    front.forget()
    bucket.put({"vanishing": b"back"})
    again = fronted.bring(bucket.name)
    assert len(front.reads()) == 1
    assert files_of(again.version) == {
        "before": b"stays",
        "changing": b"newer",
        "large": b"n" * 18 * MIB,
        "vanishing": b"back",
    }


def test_bodies_that_end_early_are_read_again(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    files = {f"file{n}": b"%d" % n * 1000 for n in range(20)} | {"large": b"abc" * 4 * MIB}
    bucket.put(files)
    front.fail(rf"GET /{bucket.name}/file1", times=5, cut=700)
    front.fail(rf"GET /{bucket.name}/large", times=2, cut=MIB)

    run = fronted.bring(bucket.name)

    assert files_of(run.version) == files


def test_spoiled_bytes_are_read_again_and_never_believed(exact_server: S3Server) -> None:
    bucket = Bucket(exact_server)
    data = random.Random(3).randbytes(17 * MIB)
    bucket.put_object("checked", data, ChecksumAlgorithm="SHA256")
    with serve_front(exact_server) as front:
        importer = Importer.create(exact_server, endpoint=front.url)
        front.fail(rf"GET /{bucket.name}/checked", times=1, spoil=True)
        run = importer.bring(bucket.name)
        assert files_of(run.version) == {"checked": data}

        front.fail(rf"GET /{bucket.name}/checked", times=-1, spoil=True)
        bucket.put_object("checked", data[1:], ChecksumAlgorithm="SHA256")
        run = importer.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert problems_of(run) == {"checked": Cause.DAMAGED}
    assert Blob.objects.count() == 1


def test_small_files_are_compared_with_what_the_store_tells(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    files = {f"file{n}": b"%d" % n * 100 for n in range(20)}
    bucket.put(files)
    front.fail(rf"GET /{bucket.name}/file7", times=1, spoil=True)
    run = fronted.bring(bucket.name)
    assert files_of(run.version) == files

    bucket.put({"file7": b"another"})
    front.fail(rf"GET /{bucket.name}/file7", times=-1, spoil=True)
    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    (problem,) = run.problems.all()
    assert (problem.path, problem.cause) == ("file7", Cause.DAMAGED)
    assert "MD5" in problem.reason


def test_a_storm_of_refusals_is_waited_out(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    files = {f"file{n:03}": b"%d" % n for n in range(200)}
    bucket.put(files)
    front.fail(LISTING, times=2, status=503, body=b"<Error><Code>SlowDown</Code></Error>")
    front.fail(rf"GET /{bucket.name}/file", times=120, status=429, headers={"Retry-After": "1"})
    began = time.monotonic()

    run = fronted.bring(bucket.name)

    assert files_of(run.version) == files
    # All wait together, instead of asking on.
    assert len(front.reads()) < 600
    assert time.monotonic() - began >= 1


def test_a_store_that_is_away_for_a_while_only_costs_time(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    files = {f"file{n:03}": b"%d" % n for n in range(100)}
    bucket.put(files)
    fault = front.fail(rf"GET /{bucket.name}/file", times=-1, cut=-1)
    run = fronted.start(bucket.name)
    work_until(run, lambda run: run.outages >= 2)
    assert run.status == Import.Status.COPYING
    assert run.paused_until is not None
    assert run.error
    assert run.failed_files == 0
    fault.times = 0

    run = fronted.work(run)

    assert (run.status, run.error, run.outages) == (Import.Status.FINISHED, "", 0)
    assert files_of(run.version) == files


def test_a_store_that_asks_for_minutes_gets_them(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({"a": b"one"})
    front.fail(LISTING, times=-1, status=429, headers={"Retry-After": "120"})
    run = fronted.start(bucket.name)
    began = time.monotonic()
    work_until(run, lambda run: run.paused_until is not None)
    assert time.monotonic() - began < 20
    assert run.paused_until is not None
    assert 100 < run.paused_until.timestamp() - time.time() <= 120
    assert importing.run_imports() is False


def test_one_object_that_never_answers_fails_in_the_end(
    fronted: Importer, bucket: Bucket, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MOST_OUTAGES", 2)
    bucket.put({"a": b"one", "poison": b"never"})
    front.fail(rf"GET /{bucket.name}/poison", times=-1, status=500)

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert problems_of(run) == {"poison": Cause.UNREACHABLE}
    assert run.copied_files == 1


def test_a_store_that_never_answers_ends_it(
    fronted: Importer, bucket: Bucket, front: S3Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MOST_OUTAGES", 2)
    bucket.put({"a": b"one"})
    front.stop()

    run = fronted.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert run.outages == 3


def test_of_very_many_problems_the_first_are_kept(exact_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    importer, bucket = Importer.create(exact_server), Bucket(exact_server)
    monkeypatch.setattr(import_record, "MOST_PROBLEMS", 10)
    bucket.put({f"a\\{n:03}": b"x" for n in range(30)} | {"good": b"y"})

    run = importer.bring(bucket.name)

    assert run.refused_files == 30
    assert ImportProblem.objects.filter(run=run).count() == 10
    assert len(measure_import(run).problems) == 10


def test_a_listing_has_an_end(importer: Importer, bucket: Bucket, settings: Settings) -> None:
    settings.IMPORT_MAX_FILES = 5
    bucket.put({f"file{n}": b"x" for n in range(6)})

    run = importer.bring(bucket.name)

    assert run.status == Import.Status.FAILED
    assert "more than 5 objects" in run.error
    assert not StagedFile.objects.filter(version=run.version).exists()


def test_a_full_disk_stops_it_for_now(importer: Importer, bucket: Bucket, settings: Settings) -> None:
    bucket.put({"a": b"one"})
    reserve = settings.DISK_RESERVE_BYTES
    settings.DISK_RESERVE_BYTES = 2**60
    run = importer.start(bucket.name)
    work_until(run, lambda run: run.outages >= 1)
    assert "disk" in run.error
    settings.DISK_RESERVE_BYTES = reserve

    run = importer.work(run)

    assert files_of(run.version) == {"a": b"one"}
