"""A remote path becomes a version, with exactly its files; a second time, no bytes move."""

from __future__ import annotations

import random

import pytest
from pytest_django.fixtures import Settings

from datasets_app.models import Blob, Import, ImportPart, Pack, Version
from datasets_app.services import content
from datasets_app.services.imports import preview_import, start_import
from tests.factories import make_available_version, make_dataset
from tests.imports.bucket import Bucket, Importer, files_of
from tests.imports.front import S3Front
from tests.servers import S3Server
from tests.store.naive import digest_of

pytestmark = [pytest.mark.data_layer, pytest.mark.server]

MIB = 2**20


def test_it_works(importer: Importer, bucket: Bucket) -> None:
    files = {
        "readme.txt": b"hello\n",
        "train/a/1.bin": b"one",
        "train/a/2.bin": b"one",
        "train/été/naïve 文.txt": b"unicode",
        "empty": b"",
        "large.bin": random.Random(1).randbytes(21 * MIB + 17),
    }
    bucket.put({f"data/{path}": data for path, data in files.items()} | {"other/file": b"not ours", "data/train/": b""})

    run = importer.bring(f"{bucket.name}/data")

    assert (run.status, run.error) == (Import.Status.FINISHED, "")
    version = run.version
    assert (version.status, version.error) == (Version.Status.AVAILABLE, "")
    assert files_of(version) == files
    assert version.digest == digest_of(files)
    assert version.source["kind"] == "import"
    assert version.source["path"] == f"{bucket.name}/data"
    assert (run.listed_files, run.copied_files, run.failed_files) == (6, 6, 0)
    assert run.copied_size == run.listed_size == sum(map(len, files.values()))


def test_again_moves_no_bytes(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    files = {f"dir{n % 7}/file{n}": f"{n}".encode() * n for n in range(300)} | {"large": b"x" * 9 * MIB, "empty": b""}
    bucket.put(files)
    first = fronted.bring(bucket.name)
    assert front.reads()
    front.forget()

    again = fronted.bring(bucket.name)

    assert front.reads() == []
    assert again.version.digest == first.version.digest == digest_of(files)
    assert (again.linked_files, again.linked_size) == (again.listed_files, again.listed_size)
    assert again.copied_files == 0
    assert files_of(again.version) == files


def test_only_what_changed_is_read_again(fronted: Importer, bucket: Bucket, front: S3Front) -> None:
    bucket.put({"a": b"one", "b": b"two", "dir/c": b"three"})
    fronted.bring(bucket.name)
    bucket.put({"b": b"TWO", "new": b"four"})
    bucket.delete("a")
    front.forget()

    again = fronted.bring(bucket.name)

    assert sorted(line.split("?")[0] for line in front.reads()) == [
        f"GET /{bucket.name}/b",
        f"GET /{bucket.name}/new",
    ]
    assert files_of(again.version) == {"b": b"TWO", "dir/c": b"three", "new": b"four"}


def test_what_was_read_is_known_whatever_the_path_begins_with(
    fronted: Importer, bucket: Bucket, front: S3Front
) -> None:
    bucket.put({"data/train/a": b"one", "data/test/b": b"two"})
    fronted.bring(f"{bucket.name}/data/")
    front.forget()

    again = fronted.bring(f"s3://{bucket.name}/data/train", name="train")

    assert front.reads() == []
    assert files_of(again.version) == {"a": b"one"}


def test_equal_bytes_are_stored_once(importer: Importer, bucket: Bucket) -> None:
    bucket.put({f"copy{n}": b"the same" for n in range(20)} | {"large1": b"y" * 9 * MIB, "large2": b"y" * 9 * MIB})

    run = importer.bring(bucket.name)

    assert run.version.file_count == 22
    assert sorted(Blob.objects.values_list("size", flat=True)) == [8, 9 * MIB]
    assert Pack.objects.filter(blobs=None).count() == 0


def test_patterns_and_a_prefix_choose_and_move_files(importer: Importer, bucket: Bucket) -> None:
    names = ["a.jpg", "a.txt", "train/b.jpg", "train/deep/c.jpg", "test/d.jpg", "tmp/e.jpg"]
    bucket.put({name: name.encode() for name in names})

    run = importer.bring(bucket.name, include=["*.jpg"], exclude=["/test/", "train/deep/*"], prefix="/pictures/all/")

    assert files_of(run.version) == {
        f"pictures/all/{name}": name.encode() for name in ("a.jpg", "train/b.jpg", "tmp/e.jpg")
    }
    assert (run.listed_files, run.skipped_files) == (3, 3)


def test_an_import_adds_to_a_base_version(importer: Importer, bucket: Bucket) -> None:
    dataset = make_dataset(importer.team, "images")
    make_available_version(dataset, {"old.txt": b"old", "raw/replaced": b"before"})
    bucket.put({"replaced": b"after", "more": b"more"})

    run = importer.bring(bucket.name, base=1, prefix="raw")

    assert files_of(run.version) == {"old.txt": b"old", "raw/replaced": b"after", "raw/more": b"more"}


def test_an_open_version_takes_one_import_after_another(importer: Importer, bucket: Bucket) -> None:
    bucket.put({"one/a": b"1", "one/same": b"first", "two/b": b"2", "two/same": b"second"})
    first = importer.bring(f"{bucket.name}/one", seal=False)
    assert first.version.status == Version.Status.UPLOADING

    second = importer.work(
        start_import(
            importer.writer,
            version=first.version,
            connection=importer.connection,
            source_path=f"{bucket.name}/two",
        )
    )

    assert files_of(second.version) == {"a": b"1", "b": b"2", "same": b"second"}


def test_a_single_object_is_a_source_too(importer: Importer, bucket: Bucket) -> None:
    bucket.put({"dir/only.csv": b"1,2\n", "dir/only.csv.bak": b"no"})
    run = importer.bring(f"{bucket.name}/dir/only.csv")
    assert files_of(run.version) == {"only.csv": b"1,2\n"}
    found = preview_import(
        importer.writer, connection=importer.connection, source_path=f"{bucket.name}/dir/only.csv", prefix="to"
    )
    assert (found.first_paths, found.is_whole) == ([("to/only.csv", 4)], True)


def test_a_single_object_is_known_from_its_folder_and_the_other_way_round(
    fronted: Importer, bucket: Bucket, front: S3Front
) -> None:
    bucket.put({"dir/a.csv": b"1,2\n", "dir/b.csv": b"3,4\n"})
    fronted.bring(f"{bucket.name}/dir/a.csv")
    front.forget()
    fronted.bring(f"{bucket.name}/dir")
    assert [line.partition("?")[0] for line in front.reads()] == [f"GET /{bucket.name}/dir/b.csv"]
    front.forget()

    run = fronted.bring(f"{bucket.name}/dir/b.csv")

    assert front.reads() == []
    assert (run.linked_files, files_of(run.version)) == (1, {"b.csv": b"3,4\n"})


def test_thousands_of_small_files_rest_together(importer: Importer, bucket: Bucket) -> None:
    files = {f"part{n % 30:02}/sample-{n:05}.txt": b"%d" % n * 50 for n in range(3000)}
    bucket.put(files)
    # What other tests left.
    before = set(content.staging().staged())

    run = importer.bring(bucket.name)

    assert run.version.digest == digest_of(files)
    assert Pack.objects.filter(stored=True).count() <= 12
    assert Pack.objects.filter(stored=False).count() == 0
    assert set(content.staging().staged()) <= before
    assert not ImportPart.objects.waiting().exists()


def test_packs_are_filled(importer: Importer, bucket: Bucket, settings: Settings) -> None:
    noise = random.Random(5)
    files = {f"file{n:03}": noise.randbytes(100_000) for n in range(100)} | {"middling": noise.randbytes(900_000)}
    settings.PACK_BYTES, settings.LARGE_FILE_BYTES = 2 * MIB, MIB
    bucket.put(files)

    run = importer.bring(bucket.name)

    assert files_of(run.version) == files
    sizes = sorted(Pack.objects.values_list("size", flat=True))
    assert max(sizes) <= 2 * MIB
    # Six, where the clock closes none before it is full.
    assert len(sizes) <= 8


def test_bytes_of_other_teams_are_fetched_all_the_same(
    fronted: Importer, bucket: Bucket, front: S3Front, s3_server: S3Server
) -> None:
    bucket.put({"a": b"one", "b": b"two"})
    fronted.bring(bucket.name)
    front.forget()

    other = Importer.create(s3_server, endpoint=front.url)
    run = other.bring(bucket.name)

    assert len(front.reads()) == 2
    assert run.linked_files == 0
    assert Blob.objects.count() == 2
