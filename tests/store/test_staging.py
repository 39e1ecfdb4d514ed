"""Staging files: appended to, resumed, refused, hashed."""

import hashlib
import io
import os
import random
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from datasets_app.errors import ChecksumMismatch, Conflict, Gone, Locked, OutOfSpace, TooLarge
from datasets_app.store.hashers import Hashers, HashState
from datasets_app.store.staging import Checksum, Staging

CONTENT = random.Random(1).randbytes(5_000)
WHOLE = hashlib.sha256(CONTENT).digest()


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    return Staging(tmp_path / "staging")


@pytest.fixture
def upload(staging: Staging) -> UUID:
    upload = uuid.uuid4()
    staging.create(upload, len(CONTENT))
    return upload


def body(content: bytes) -> Callable[[int], bytes]:
    return io.BytesIO(content).read


class CountingStaging(Staging):
    """Counts the reads of staged files, which hashing while streaming should spare."""

    reads = 0

    def _open(self, upload: UUID) -> io.FileIO:
        self.reads += 1
        return super()._open(upload)


def test_it_works(staging: Staging, upload: UUID) -> None:
    assert staging.offset(upload) == 0
    assert staging.append(upload, offset=0, read=body(CONTENT[:3000]), total=5000, length=3000) == 3000
    assert staging.offset(upload) == 3000
    assert staging.append(upload, offset=3000, read=body(CONTENT[3000:]), total=5000) == 5000
    assert staging.path(upload).read_bytes() == CONTENT
    assert staging.sha256(upload) == WHOLE
    staging.fsync(upload)
    assert [(item.upload, item.size) for item in staging.staged()] == [(upload, 5000)]
    staging.remove(upload)
    staging.remove(upload)
    assert not list(staging.staged())


def test_creating_twice_keeps_what_came(staging: Staging, upload: UUID) -> None:
    staging.append(upload, offset=0, read=body(b"abc"), total=5000)
    staging.create(upload, 5000)
    assert staging.offset(upload) == 3


def test_an_empty_file_is_complete_at_once(staging: Staging) -> None:
    upload = uuid.uuid4()
    staging.create(upload, 0)
    assert staging.sha256(upload) == hashlib.sha256().digest()
    assert staging.hash_slices(upload, [0, 0]) == [hashlib.sha256().digest()] * 2
    assert staging.append(upload, offset=0, read=body(b""), total=0, length=0) == 0


@pytest.mark.parametrize("offset", [0, 99, 101, 5000])
def test_wrong_offset_changes_nothing(staging: Staging, upload: UUID, offset: int) -> None:
    staging.append(upload, offset=0, read=body(CONTENT[:100]), total=5000)
    with pytest.raises(Conflict, match="at byte 100"):
        staging.append(upload, offset=offset, read=body(CONTENT), total=5000)
    assert staging.path(upload).read_bytes() == CONTENT[:100]


@pytest.mark.parametrize("length", [None, 5001])
def test_more_than_declared_is_refused_whole(staging: Staging, upload: UUID, length: int | None) -> None:
    staging.append(upload, offset=0, read=body(CONTENT[:100]), total=5000)
    with pytest.raises(TooLarge, match="5000 bytes"):
        staging.append(upload, offset=100, read=body(CONTENT[100:] + b"x"), total=5000, length=length)
    assert staging.offset(upload) == 100
    staging.append(upload, offset=100, read=body(CONTENT[100:]), total=5000)
    assert staging.sha256(upload) == WHOLE


def test_reads_no_further_than_its_length(staging: Staging, upload: UUID) -> None:
    stream = io.BytesIO(CONTENT + b"the next request")
    staging.append(upload, offset=0, read=stream.read, total=5000, length=5000, block=64)
    assert stream.tell() == 5000


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
@pytest.mark.parametrize("start", [0, 1000])
def test_right_checksum(staging: Staging, upload: UUID, algorithm: str, start: int) -> None:
    staging.append(upload, offset=0, read=body(CONTENT[:start]), total=5000)
    checksum = Checksum(algorithm, hashlib.new(algorithm, CONTENT[start:]).digest())
    assert staging.append(upload, offset=start, read=body(CONTENT[start:]), total=5000, checksum=checksum) == 5000
    assert staging.sha256(upload) == WHOLE


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
@pytest.mark.parametrize("start", [0, 1000])
def test_wrong_checksum_takes_back_this_request_only(
    staging: Staging, upload: UUID, algorithm: str, start: int
) -> None:
    staging.append(upload, offset=0, read=body(CONTENT[:start]), total=5000)
    checksum = Checksum(algorithm, hashlib.new(algorithm, CONTENT[start:]).digest())
    with pytest.raises(ChecksumMismatch):
        staging.append(upload, offset=start, read=body(b"x" * 4000), total=5000, checksum=checksum)
    assert staging.path(upload).read_bytes() == CONTENT[:start]
    assert staging.hashed(upload) == start
    staging.append(upload, offset=start, read=body(CONTENT[start:]), total=5000, checksum=checksum)
    assert staging.sha256(upload) == WHOLE


class ClientLeftError(Exception):
    """The client went away."""


@pytest.mark.parametrize("checksum", [None, Checksum("sha1", b"never reached")])
def test_broken_off_body_is_kept_and_resumed(staging: Staging, upload: UUID, checksum: Checksum | None) -> None:
    blocks = iter([CONTENT[:100], CONTENT[100:250]])

    def read(_size: int) -> bytes:
        for block in blocks:
            return block
        raise ClientLeftError

    with pytest.raises(ClientLeftError):
        staging.append(upload, offset=0, read=read, total=5000, length=5000, checksum=checksum)
    assert staging.offset(upload) == staging.hashed(upload) == 250
    # Ends early without an exception, as some servers tell it.
    assert (
        staging.append(upload, offset=250, read=body(CONTENT[250:900]), total=5000, length=4750, checksum=checksum)
        == 900
    )
    staging.append(upload, offset=900, read=body(CONTENT[900:]), total=5000)
    assert staging.sha256(upload) == WHOLE


def test_a_second_writer_is_locked_out(staging: Staging, upload: UUID) -> None:
    started, go_on = threading.Event(), threading.Event()
    blocks = iter([CONTENT[:10], b""])

    def slow(_size: int) -> bytes:
        started.set()
        go_on.wait(10)
        return next(blocks)

    first = threading.Thread(target=staging.append, args=(upload,), kwargs={"offset": 0, "read": slow, "total": 5000})
    first.start()
    assert started.wait(10)
    other_process = Staging(staging.root)
    with pytest.raises(Locked):
        other_process.append(upload, offset=0, read=body(CONTENT), total=5000)
    with pytest.raises(Locked), other_process.lock(upload):
        pass
    go_on.set()
    first.join()
    assert staging.path(upload).read_bytes() == CONTENT[:10]


def test_gone_is_told(staging: Staging, upload: UUID) -> None:
    staging.remove(upload)
    actions: list[Callable[[], object]] = [
        lambda: staging.offset(upload),
        lambda: staging.sha256(upload),
        lambda: staging.hash_slices(upload, [1]),
        lambda: staging.append(upload, offset=0, read=body(b"x"), total=1),
    ]
    for action in actions:
        with pytest.raises(Gone):
            action()
    assert not staging.path(upload).exists(), "appending brings nothing back"


def test_no_writing_into_a_file_that_was_moved_away(
    staging: Staging, upload: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def move_after_opening(path: Path, *flags: int) -> int:
        descriptor = opened(path, *flags)
        Path(path).rename(tmp_path / "pack")
        return descriptor

    monkeypatch.setattr(os, "open", move_after_opening)
    with pytest.raises(Gone):
        staging.append(upload, offset=0, read=body(b"x"), total=5000)
    assert (tmp_path / "pack").stat().st_size == 0


def test_room_is_checked_before_accepting(staging: Staging, upload: UUID) -> None:
    with pytest.raises(OutOfSpace):
        staging.create(uuid.uuid4(), staging.free_bytes() + 2**40)
    reserving = Staging(staging.root, reserve=staging.free_bytes() + 2**40)
    with pytest.raises(OutOfSpace):
        reserving.create(uuid.uuid4(), 1)
    assert len(list(staging.staged())) == 1


def test_full_disk_keeps_what_fitted() -> None:
    class FullStaging(Staging):
        def path(self, upload: UUID) -> Path:  # noqa: ARG002
            return self.root / "full"

    with pytest.raises(OutOfSpace, match="kept"):
        FullStaging(Path("/dev")).append(uuid.uuid4(), offset=0, read=body(b"x"), total=5)


def test_sent_to_one_process_it_is_hashed_once(tmp_path: Path) -> None:
    staging = CountingStaging(tmp_path)
    upload = uuid.uuid4()
    staging.create(upload, 5000)
    for start in range(0, 5000, 1000):
        staging.append(upload, offset=start, read=body(CONTENT[start : start + 1000]), total=5000, length=1000)
    assert staging.hashed(upload) == 5000
    assert staging.sha256(upload) == WHOLE


def test_sent_to_two_processes_only_the_rest_is_read(tmp_path: Path) -> None:
    one, two = Staging(tmp_path), Staging(tmp_path)
    upload = uuid.uuid4()
    one.create(upload, 5000)
    one.append(upload, offset=0, read=body(CONTENT[:2000]), total=5000)
    two.append(upload, offset=2000, read=body(CONTENT[2000:4000]), total=5000)
    one.append(upload, offset=4000, read=body(CONTENT[4000:]), total=5000)
    assert (one.hashed(upload), two.hashed(upload)) == (2000, 0)
    assert one.sha256(upload) == two.sha256(upload) == WHOLE
    assert (one.hashed(upload), two.hashed(upload)) == (5000, 5000)


def test_hash_is_not_kept_when_nobody_will_ask(staging: Staging, upload: UUID) -> None:
    staging.append(upload, offset=0, read=body(CONTENT), total=5000, hash_file=False)
    assert staging.hashed(upload) == 0
    assert staging.sha256(upload) == WHOLE


def test_hash_states_are_bounded() -> None:
    hashers = Hashers(limit=2)
    uploads = [uuid.uuid4() for _ in range(3)]
    for upload in uploads:
        hashers.put(upload, HashState(1, hashlib.sha256(b"x")))
    assert [hashers.nearest(upload, 5).offset for upload in uploads] == [0, 1, 1]
    assert hashers.take(uploads[1], 2) is None, "it stands elsewhere"
    assert hashers.take(uploads[1], 1) is not None
    assert hashers.take(uploads[1], 1) is None, "who took it has it alone"


@pytest.mark.parametrize("block", [1, 7, 1000, 10_000])
def test_slices_of_a_bundle(staging: Staging, upload: UUID, block: int) -> None:
    staging.append(upload, offset=0, read=body(CONTENT), total=5000)
    sizes = [1, 0, 999, 1000, 3000, 0]
    ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
    expected = [hashlib.sha256(CONTENT[end - size : end]).digest() for size, end in zip(sizes, ends, strict=True)]
    assert staging.hash_slices(upload, sizes, block=block) == expected


def test_a_bundle_of_many_empty_files(staging: Staging, upload: UUID) -> None:
    empty = hashlib.sha256().digest()
    staging.append(upload, offset=0, read=body(b"x"), total=1)
    digests = staging.hash_slices(upload, [0] * 5000 + [1] + [0] * 5000)
    assert digests == [empty] * 5000 + [hashlib.sha256(b"x").digest()] + [empty] * 5000


@pytest.mark.parametrize(("sizes", "message"), [([4999], "longer"), ([5000, 1], "shorter"), ([], "longer")])
def test_slices_must_add_up(staging: Staging, upload: UUID, sizes: list[int], message: str) -> None:
    staging.append(upload, offset=0, read=body(CONTENT), total=5000)
    with pytest.raises(Conflict, match=message):
        staging.hash_slices(upload, sizes)


def test_leaves_other_files_in_its_folder_alone(staging: Staging, upload: UUID) -> None:
    (staging.root / "lost+found").mkdir()
    (staging.root / "notes.txt").touch()
    assert [item.upload for item in staging.staged()] == [upload]
