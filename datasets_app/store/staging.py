"""Files on their way in: one per upload, on local disk. What is on disk is the truth about how far an upload came."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from datasets_app.errors import ChecksumMismatch, Conflict, Gone, Locked, OutOfSpace, TooLarge
from datasets_app.store.digest import BLOCK_BYTES
from datasets_app.store.drop_behind import DropBehind
from datasets_app.store.hashers import Hashers, HashState, SliceHasher

if TYPE_CHECKING:
    # The type exists in the stubs only.
    from hashlib import _Hash

CHECKSUM_ALGORITHMS = ("sha256", "sha1")


class Checksum(NamedTuple):
    """What one request's bytes must hash to; `algorithm` is one of `CHECKSUM_ALGORITHMS`."""

    algorithm: str
    digest: bytes


class Staged(NamedTuple):
    """A staging file as the collector sees it: `size` in bytes, `modified` in seconds since the epoch."""

    upload: UUID
    size: int
    modified: float


class Staging:
    """The staging folder `root`. Safe to use from many threads and processes: writers lock the file they write."""

    def __init__(self, root: Path, *, hashers: Hashers | None = None, reserve: int = 0) -> None:
        """`hashers` is shared by all `Staging` of a process; `reserve` is the room in bytes that uploads must leave."""
        self.root = root
        self._hashers = hashers or Hashers()
        self._reserve = reserve

    def path(self, upload: UUID) -> Path:
        """Say where the bytes of an upload are, or will be."""
        return self.root / upload.hex

    def create(self, upload: UUID, size: int = 0, *, beside: int = 0) -> None:
        """Make the empty file; one that is there already is left alone.

        Raises `OutOfSpace` if `size` more bytes have no room, or none once others have `beside` bytes more. Nothing is
        set aside.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        if size + beside > self.free_bytes() - self._reserve:
            raise OutOfSpace("The server's disk has no room for an upload of this size. Go on when there is room.")
        os.close(os.open(self.path(upload), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def offset(self, upload: UUID) -> int:
        """Count the bytes that are there; raises `Gone` if the file is not."""
        try:
            return self.path(upload).stat().st_size
        except FileNotFoundError:
            raise _gone() from None

    @contextmanager
    def lock(self, upload: UUID) -> Iterator[int]:
        """Keep every other writer out, and give a file descriptor open for writing.

        Raises `Locked` if somebody else is writing, `Gone` if the file is not there (any more). The lock ends with the
        process, however it ends.
        """
        try:
            descriptor = os.open(self.path(upload), os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise _gone() from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Locked("Another request is writing to this upload. Try again when it has ended.") from None
            self._check_still_there(upload, descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def append(  # noqa: PLR0913
        self,
        upload: UUID,
        *,
        offset: int,
        read: Callable[[int], bytes],
        total: int,
        length: int | None = None,
        checksum: Checksum | None = None,
        hash_file: bool = True,
        slices: SliceHasher | None = None,
        block: int = BLOCK_BYTES,
    ) -> int:
        """Write what `read(n)` gives, to its end or for `length` bytes, and return the new offset.

        `offset` is where the client believes it is (`Conflict` if the file is of another length), `total` the declared
        size of the whole upload (`TooLarge` beyond it; nothing of the request is kept). Where `read` raises or ends
        early, what came is kept and the client may go on from there. A wrong `checksum` of a complete body takes back
        this request's bytes and raises `ChecksumMismatch`. A full disk raises `OutOfSpace` and keeps what fitted.
        `hash_file` False spares the running SHA-256 where `sha256` will not be asked for; `slices` takes the bytes of
        a bundle that comes whole in this request, and is of no use when the request is refused.
        """
        with self.lock(upload) as descriptor:
            present = os.fstat(descriptor).st_size
            if present != offset:
                raise Conflict(f"The upload is at byte {present}, not at {offset}. Ask for its offset and go on there.")
            if offset + (length or 0) > total:
                raise _too_large(total)
            state = self._hashers.take(upload, offset) if hash_file else None
            writer = _Writer(descriptor, offset, state, checksum, slices)
            try:
                writer.copy(read, total - offset if length is None else length, block)
                if length is None and writer.written == total - offset and read(1):
                    raise _too_large(total)
                if length in {None, writer.written}:
                    writer.check()
            except (ChecksumMismatch, TooLarge):
                writer.take_back()
                raise
            except OSError as error:
                if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                    raise OutOfSpace(
                        "The server's disk is full. What has arrived is kept: go on when there is room."
                    ) from error
                raise
            finally:
                if writer.state is not None:
                    self._hashers.put(upload, writer.state)
            return offset + writer.written

    def sha256(self, upload: UUID, *, block: int = BLOCK_BYTES) -> bytes:
        """Digest of the whole file; only the part that no request to this process hashed is read again."""
        offset, hasher = self._hashers.nearest(upload, self.offset(upload))
        with self._open(upload) as file:
            file.seek(offset)
            while data := file.read(block):
                hasher.update(data)
                offset += len(data)
        self._hashers.put(upload, HashState(offset, hasher))
        return hasher.digest()

    def hashed(self, upload: UUID) -> int:
        """Count the bytes, from the first, whose SHA-256 this process knows already."""
        return self._hashers.nearest(upload, self.offset(upload)).offset

    def hash_slices(self, upload: UUID, sizes: Iterable[int], *, block: int = BLOCK_BYTES) -> list[bytes]:
        """SHA-256 of each file that lies in a bundle, back to back; `sizes` in bytes must add up to its length."""
        wanted = list(sizes)
        hasher = SliceHasher(wanted)
        buffer = memoryview(bytearray(block))
        length = 0
        with self._open(upload) as file:
            while count := file.readinto(buffer):
                hasher.update(buffer[:count])
                length += count
        if length != sum(wanted):
            raise Conflict(f"The bundle is {'shorter' if length < sum(wanted) else 'longer'} than its files together.")
        return hasher.digests

    def fsync(self, upload: UUID) -> None:
        """Return once the bytes and the file's name survive a loss of power."""
        for path in (self.path(upload), self.root):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self, upload: UUID) -> None:
        """Delete the file; it may be gone already."""
        self._hashers.forget(upload)
        self.path(upload).unlink(missing_ok=True)

    def free_bytes(self) -> int:
        """Room on the disk for this process's user."""
        room = os.statvfs(self.root)
        return room.f_bavail * room.f_frsize

    def staged(self) -> Iterator[Staged]:
        """List every staging file, in no order, for the garbage collector."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            for entry in entries:
                # Not ours, or gone while we looked.
                with suppress(ValueError, FileNotFoundError):
                    upload = UUID(hex=entry.name)
                    about = entry.stat()
                    yield Staged(upload, about.st_size, about.st_mtime)

    def _open(self, upload: UUID) -> FileIO:
        try:
            return FileIO(self.path(upload))
        except FileNotFoundError:
            raise _gone() from None

    def _check_still_there(self, upload: UUID, descriptor: int) -> None:
        # Between opening and locking, the file may have been removed, or moved away to become a pack.
        try:
            same = os.path.samestat(os.fstat(descriptor), self.path(upload).stat())
        except FileNotFoundError:
            same = False
        if not same:
            raise _gone()


class _Writer:
    """One request's way to disk: writes, and hashes what was written for the file and for the request."""

    def __init__(
        self,
        descriptor: int,
        offset: int,
        state: HashState | None,
        checksum: Checksum | None,
        slices: SliceHasher | None = None,
    ) -> None:
        self._slices = slices
        self._descriptor = descriptor
        self._offset = offset
        self._hasher: _Hash | None = state.sha256 if state else None
        self._before = state.copy() if state else None
        self._checksum = checksum
        self._body: _Hash | None = None
        if checksum:
            # A file that comes whole in one request has one hash, not two.
            shared = self._hasher is not None and not offset and checksum.algorithm == "sha256"
            self._body = self._hasher if shared else hashlib.new(checksum.algorithm, usedforsecurity=False)
        self.written = 0
        os.lseek(descriptor, offset, os.SEEK_SET)

    @property
    def state(self) -> HashState | None:
        """The hash of the file up to what was written, if it is known."""
        return HashState(self._offset + self.written, self._hasher) if self._hasher else None

    def copy(self, read: Callable[[int], bytes], length: int, block: int) -> None:
        """Write `length` bytes, or fewer if `read` has no more."""
        # A file that is hashed as it comes is not read again to verify it.
        behind = DropBehind(self._descriptor, self._offset) if self._hasher else None
        while self.written < length:
            data = read(min(block, length - self.written))
            if not data:
                return
            view = memoryview(data)
            while view:
                done = os.write(self._descriptor, view)
                self._count(view[:done])
                view = view[done:]
            if behind:
                behind.reach(self._offset + self.written)

    def check(self) -> None:
        """Compare the whole request with its checksum."""
        if self._checksum and self._body and self._body.digest() != self._checksum.digest:
            raise ChecksumMismatch("The bytes that arrived do not match their checksum. Send them again.")

    def take_back(self) -> None:
        """Cut the request's bytes off again."""
        os.ftruncate(self._descriptor, self._offset)
        self._hasher = self._before.sha256 if self._before else None
        self.written = 0

    def _count(self, data: memoryview) -> None:
        if self._hasher:
            self._hasher.update(data)
        if self._slices:
            self._slices.update(data)
        if self._body and self._body is not self._hasher:
            self._body.update(data)
        self.written += len(data)


def _gone() -> Gone:
    return Gone("The bytes of this upload are no longer here. Start it anew.")


def _too_large(total: int) -> TooLarge:
    return TooLarge(f"The upload was declared with {total} bytes; this is more.")
