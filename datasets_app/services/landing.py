"""Where fetched bytes land: small files together in memory, until they make a pack; large ones in a staging file."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from django.conf import settings

from datasets_app.errors import Gone
from datasets_app.services import content
from datasets_app.services.content import Slice
from datasets_app.services.import_record import Copied, Failed, HeldPart, StoredBytes
from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.checksums import start_checksum
from datasets_app.store.drop_behind import DropBehind

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from pathlib import Path

    from datasets_app.services.import_parts import PartFile
    from datasets_app.sources.base import Data, SourceFile

# A pack is closed when so many files are in it, or so many seconds after its first, so that little is lost in a crash.
PACK_FILES: Final = 1000
PACK_SECONDS: Final = 5.0
MOST_FAILED: Final = 100
# Larger writes to a growing file take several times as long: the kernel zeroes each page beforehand.
WRITE_BYTES: Final = 256 * 1024
# What Linux takes in one call (IOV_MAX).
WRITE_PIECES: Final = 1024
# How much of a large file has to be fetched again, at most, when a machine fails.
DURABLE_BYTES: Final = 256 * 2**20


class PackBuffer:
    """Small files that were fetched, until they are written as one pack: in their order, each bytes once."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.copied: list[Copied] = []
        self.failed: list[Failed] = []
        self.parts: set[HeldPart] = set()
        self._bytes: dict[bytes, Data] = {}
        self._size = 0
        # Looked at for every file; a setting is found by a function of Python's.
        self._most_bytes = settings.PACK_BYTES
        self._began_at = 0.0

    def add(self, part: HeldPart, copied: Copied, data: Data) -> None:
        """Take a file's bytes."""
        self._settle(part)
        self.copied.append(copied)
        if copied.sha256 not in self._bytes:
            self._bytes[copied.sha256] = data
            self._size += len(data)

    def add_failure(self, part: HeldPart, failed: Failed) -> None:
        """Take note of a file that could not be had."""
        self._settle(part)
        part.has_failed = True
        self.failed.append(failed)

    def close_part(self, part: HeldPart) -> None:
        """Take note of a part of which nothing has to be fetched."""
        self.parts.add(part)

    def _settle(self, part: HeldPart) -> None:
        if not self.parts:
            self._began_at = time.monotonic()
        part.left -= 1
        self.parts.add(part)

    def has_room(self, data: Data) -> bool:
        """Whether these bytes fit into the pack beside those that are here."""
        return not self._size or self._size + len(data) <= self._most_bytes

    @property
    def is_due(self) -> bool:
        """Whether it should be written now."""
        files = len(self.copied) + len(self.failed)
        full = self._size >= self._most_bytes or files >= PACK_FILES
        # Many failures are told soon: they may end the import.
        full = full or len(self.failed) >= MOST_FAILED
        return full or (bool(self.parts) and time.monotonic() - self._began_at > PACK_SECONDS)

    def write(self, *, everything: bool = False) -> StoredBytes:
        """Write what is new into a staging file, in the caller's thread; `everything`: also what is known already."""
        known = {} if everything else content.find_blobs(self._bytes)
        new = {digest: data for digest, data in self._bytes.items() if digest not in known}
        if not new:
            return StoredBytes(known=set(known))
        pack_id = uuid.uuid4()
        size = sum(map(len, new.values()))
        content.staging().create(pack_id, size)
        slices, offset = [], 0
        for digest, data in new.items():
            slices.append(Slice(digest, len(data), offset))
            offset += len(data)
        write_all(content.staging().path(pack_id), new.values())
        content.reserve_pack(pack_id=pack_id, size=size)
        return StoredBytes(pack_id, slices, set(known))


def write_all(path: Path, pieces: Iterable[Data]) -> None:
    """Write them one after the other, out of the memory in which they are, in blocks that the kernel takes quickly."""
    with path.open("wb", buffering=0) as file:
        block: list[memoryview] = []
        room = WRITE_BYTES
        for piece in pieces:
            view = memoryview(piece)
            while len(view) >= room:
                _write_block(file.fileno(), [*block, view[:room]])
                view, block, room = view[room:], [], WRITE_BYTES
            block.append(view)
            room -= len(view)
            if len(block) == WRITE_PIECES:
                _write_block(file.fileno(), block)
                block, room = [], WRITE_BYTES
        _write_block(file.fileno(), block)


def _write_block(descriptor: int, block: list[memoryview]) -> None:
    """Write all of it; nothing is left in the list."""
    while block:
        done = os.writev(descriptor, block)
        while block and done >= len(block[0]):
            done -= len(block.pop(0))
        if done:
            block[0] = block[0][done:]


class LargeFile:
    """One large file on its way into a staging file: ranges are written anywhere, and hashed in their order.

    The file is closed when nobody holds this object any more: a thread that is late can't write into another's.
    """

    def __init__(self, part: HeldPart, file: PartFile, *, staged_as: uuid.UUID | None, staged_size: int) -> None:
        """Go on behind the first `staged_size` bytes of an earlier try's staging file, if it is on this disk."""
        self.part = part
        self.file = file
        self.source: SourceFile = file.source
        self.error: Exception | None = None
        self.pack_id = staged_as or uuid.uuid4()
        self.is_restarted = False
        self.is_kept = staged_as is not None
        self.syncing: Future[int] | None = None
        self._resume_at = self._present(staged_size) if staged_as is not None else 0
        if not self._resume_at:
            # Nothing is left: a key of the store is never used twice.
            self.pack_id = uuid.uuid4()
            content.staging().create(self.pack_id, self.source.size)
        self._descriptor = os.open(content.staging().path(self.pack_id), os.O_RDWR | os.O_CLOEXEC)
        self.start(self.source)

    def __del__(self) -> None:
        """Close the file."""
        with suppress(AttributeError, OSError):
            os.close(self._descriptor)

    def start(self, source: SourceFile) -> None:
        """Begin the hashes; what is there already is read from the disk by `rehash`."""
        self.source = source
        self.error = None
        self.hashed = 0
        self._behind = DropBehind(self._descriptor, 0)
        self.durable = self._resume_at
        self._sha256 = hashlib.sha256()
        name, _, self._expected = source.checksum.partition(":")
        self._checksum = start_checksum(name, source.size) if self._expected else None

    def restart(self, source: SourceFile) -> None:
        """Begin anew, once, because the object has changed or its bytes were damaged."""
        self.is_restarted = True
        self._resume_at = 0
        os.ftruncate(self._descriptor, 0)
        self.start(source)

    @property
    def resume_at(self) -> int:
        """The first byte that has to be fetched."""
        return self._resume_at

    def rehash(self) -> None:
        """Hash what an earlier try has left. For any thread."""
        while self.hashed < self._resume_at:
            data = os.pread(self._descriptor, min(2**20, self._resume_at - self.hashed), self.hashed)
            if not data:
                raise Gone("The bytes that were fetched are no longer here.")
            self.hash(data)

    def write(self, offset: int, data: Data) -> None:
        """Write one range. For any thread."""
        view = memoryview(data)
        for start in range(0, len(view), WRITE_BYTES):
            block = view[start : start + WRITE_BYTES]
            done = 0
            while done < len(block):
                done += os.pwrite(self._descriptor, block[done:], offset + start + done)

    def hash(self, data: Data) -> None:
        """Take the next bytes in their order."""
        self._sha256.update(data)
        if self._checksum is not None:
            self._checksum.update(data)
        self.hashed += len(data)
        # All before it lies in the file: ranges are written before they are handed over to be hashed.
        self._behind.reach(self.hashed)

    @property
    def is_worth_syncing(self) -> bool:
        """Whether much was hashed since it was last made durable, and can be of use to a later try."""
        return self.hashed - self.durable >= DURABLE_BYTES and not self.is_restarted

    def sync(self) -> int:
        """Make what was hashed so far durable, and say how much that is. For any thread."""
        reached = self.hashed
        os.fdatasync(self._descriptor)
        return reached

    def finish(self) -> Copied:
        """Check the whole file; raises SourceError (DAMAGED) when it is not what was listed."""
        digest = self._sha256.digest()
        claimed = self.source.sha256
        if self.hashed != self.source.size or (claimed is not None and claimed != digest):
            raise SourceError(Cause.DAMAGED, "The bytes that came are not those of the SHA-256 that was listed.")
        if self._checksum is not None and self._checksum.hexdigest() != self._expected:
            name = self.source.checksum.partition(":")[0]
            raise SourceError(Cause.DAMAGED, f"The bytes that came don't have the {name} that the store tells.")
        return Copied(self.file.path, self.file.source.size, self.source, digest)

    def discard(self) -> None:
        """Remove the staging file."""
        self.is_kept = False
        content.staging().remove(self.pack_id)

    def _present(self, size: int) -> int:
        """Count the bytes that are here of those that an earlier try made durable: all, or none."""
        try:
            return size if content.staging().offset(self.pack_id) >= size else 0
        except Gone:
            return 0
