"""A version becomes a folder: exactly its files, read-only, once for each digest."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from datasets_app.errors import Conflict, OutOfSpace, Unavailable
from datasets_app.models import Blob, Job, JobDataset, Version
from datasets_app.services import content
from datasets_app.services.mounts import materialise, mount_path, trim_mounts
from tests.factories import make_available_version, make_dataset, make_team, make_version

pytestmark = pytest.mark.django_db

FILES = {
    "a.txt": b"alpha",
    "empty": b"",
    "also empty": b"",
    "same as a": b"alpha",
    "日本/übung.bin": bytes(range(256)) * 50,
    "deep/" * 30 + "end": b"end",
}


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.MOUNTS_DIR = tmp_path / "mounts"


def make(files: dict[str, bytes] | None = None) -> Version:
    return make_available_version(make_dataset(make_team()), FILES if files is None else files)


def read_folder(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def pack_file(data: bytes) -> Path:
    """Say where the store keeps these bytes, which must be a pack of their own."""
    import hashlib

    found = content.local_path(Blob.objects.select_related("pack").get(sha256=hashlib.sha256(data).digest()))
    assert found is not None
    return found


def test_it_works() -> None:
    version = make()
    folder = materialise(version)
    assert folder == mount_path(version.digest)
    assert read_folder(folder) == FILES


def test_everything_is_read_only() -> None:
    folder = materialise(make())
    modes = {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert modes == {0o444}
    assert {path.stat().st_mode & 0o777 for path in [folder, *folder.rglob("*")] if path.is_dir()} == {0o555}


def test_the_umask_does_not_matter() -> None:
    old = os.umask(0o077)
    try:
        folder = materialise(make())
    finally:
        os.umask(old)
    assert (folder / "a.txt").stat().st_mode & 0o777 == 0o444


def test_a_second_time_costs_nothing_and_is_noted() -> None:
    version = make()
    folder = materialise(version)
    marker = folder.with_suffix(".json")
    os.utime(marker, (1, 1))
    inode = (folder / "a.txt").stat().st_ino
    assert materialise(version) == folder
    assert (folder / "a.txt").stat().st_ino == inode
    assert marker.stat().st_mtime > 1


def test_the_same_content_is_the_same_folder() -> None:
    assert materialise(make()) == materialise(make(dict(reversed(FILES.items()))))


def test_a_whole_pack_is_linked() -> None:
    data = os.urandom(100_000)
    make({"alone": data})
    folder = materialise(make({"model/weights.bin": data, "model/copy.bin": data}))
    assert (folder / "model/weights.bin").samefile(pack_file(data))
    assert (folder / "model/copy.bin").samefile(pack_file(data))
    assert pack_file(data).stat().st_nlink == 3


def test_too_many_links_make_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is 65,000 on ext4; here it is none at all."""

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.EMLINK, "Too many links")

    data = os.urandom(100_000)
    make({"alone": data})
    version = make({"one": data, "two": data})
    monkeypatch.setattr(os, "link", refuse)
    folder = materialise(version)
    assert read_folder(folder) == {"one": data, "two": data}
    assert pack_file(data).stat().st_nlink == 1


def test_files_larger_than_one_read() -> None:
    files = {"small": b"1", "large": os.urandom(9 * 2**20 + 7), "middle": os.urandom(4 * 2**20), "last": b"2" * 100}
    assert read_folder(materialise(make(files))) == files


def test_many_files_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets_app.services.mounts.BATCH_FILES", 7)
    files = {f"{number % 9}/{number}": f"{number % 5}".encode() for number in range(100)}
    assert read_folder(materialise(make(files))) == files


def test_the_longest_path_and_the_deepest_tree() -> None:
    files = {"d/" * 2000 + "f": b"deep", "/".join(["n" * 255] * 15): b"long", "flat": b"x"}
    version = make(files)
    folder = materialise(version)
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(2000):
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    assert os.listdir(descriptor) == ["f"]  # noqa: PTH208 - a path would be too long
    os.close(descriptor)
    assert trim_mounts(most_bytes=0) == 1
    assert not folder.exists()


def test_an_open_version_has_no_folder() -> None:
    with pytest.raises(Conflict):
        materialise(make_version(make_dataset(make_team())))


def test_a_half_made_folder_is_made_anew() -> None:
    version = make()
    folder = materialise(version)
    folder.with_suffix(".json").unlink()
    (folder / "stray").write_text("x") if os.geteuid() == 0 else None
    folder.with_suffix(".building").mkdir()
    assert read_folder(materialise(version)) == FILES
    assert not folder.with_suffix(".building").exists()


def test_damaged_bytes_are_noticed() -> None:
    version = make({"a": b"aaaa", "b": b"bbbb"})
    pack = content.pack_store().open_local(Blob.objects.latest("pk").pack.key)
    assert pack is not None
    pack.chmod(0o644)
    pack.write_bytes(b"aaaabbbX")
    with pytest.raises(Unavailable, match="bytes of b are damaged"):
        materialise(version)
    assert not mount_path(version.digest).exists()


@pytest.mark.parametrize("left", [b"", b"aaaabb"])
def test_truncated_bytes_are_noticed(left: bytes) -> None:
    version = make({"a": b"aaaa", "b": b"bbbb"})
    pack = content.pack_store().open_local(Blob.objects.latest("pk").pack.key)
    assert pack is not None
    pack.chmod(0o644)
    pack.write_bytes(left)
    with pytest.raises(Unavailable):
        materialise(version)
    assert list(mount_path(version.digest).parent.glob("*.building")) == []


def test_a_tick_that_raises_ends_it() -> None:
    version = make()

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        materialise(version, tick=stop)
    assert not mount_path(version.digest).exists()


def test_a_full_disk_makes_room_first(settings: Settings) -> None:
    old = materialise(make({"old": b"old", "older": b"older"}))
    version = make({"new": b"new"})
    settings.DISK_RESERVE_BYTES = 2**60
    with pytest.raises(OutOfSpace):
        materialise(version)
    assert not old.exists()


@pytest.mark.django_db(transaction=True)
def test_two_at_once_make_one() -> None:
    version = make({f"{number}": os.urandom(1000) for number in range(500)})
    folders: list[Path] = []

    def work() -> None:
        folders.append(materialise(version))
        connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [mount_path(version.digest)] * 4
    assert len(read_folder(folders[0])) == 500


def use(version: Version, status: str) -> Job:
    job = Job.objects.create(
        team=version.dataset.team, name=f"job-{version.pk}", kind="training", command=["true"], status=status
    )
    JobDataset.objects.create(
        job=job,
        version=version,
        dataset_name=version.dataset.name,
        version_number=version.number,
        digest=version.digest,
        mount_name="images",
    )
    return job


def test_trimming_takes_the_longest_unused_and_spares_active_jobs(settings: Settings) -> None:
    versions = [make({"a": bytes([number]) * 1000, "b": b"b"}) for number in range(4)]
    for age, version in enumerate(versions):
        os.utime(materialise(version).with_suffix(".json"), (age, age))
    use(versions[0], "pending")
    use(versions[1], "succeeded")
    settings.MOUNTS_CACHE_BYTES = 2100
    assert trim_mounts() == 2
    assert [mount_path(version.digest).exists() for version in versions] == [True, False, False, True]
    assert trim_mounts() == 0


def test_trimming_removes_what_no_version_has() -> None:
    version = make({"a": b"first"})
    kept = make({"a": b"second"})
    materialise(version)
    materialise(kept)
    Version.objects.filter(pk=version.pk).update(deleted_at=version.created_at)
    assert trim_mounts() == 1
    assert not mount_path(version.digest).exists()
    assert read_folder(materialise(kept)) == {"a": b"second"}


def test_trimming_removes_what_a_killed_worker_had_begun() -> None:
    folder = materialise(make())
    draft = folder.with_name("0" * 64).with_suffix(".building")
    (draft / "half").mkdir(parents=True)
    trim_mounts()
    assert not draft.exists()
    assert folder.exists()
