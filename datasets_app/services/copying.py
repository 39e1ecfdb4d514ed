"""Lay files of versions out on this disk: linked to the store where that can be, otherwise copied and verified."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from datasets_app.errors import Unavailable
from datasets_app.models import Damage
from datasets_app.services.content import Place, note_damage, pack_store, read_pack
from datasets_app.services.walking import WalkedFile
from datasets_app.store.folder import FolderWriter

# At most this many reads of this many bytes are under way: it hides the latency of a remote store, and bounds memory.
READ_BYTES: Final = 4 * 1024 * 1024
READS: Final = 8

Read = tuple[str, int, int]


def copy_files(files: list[WalkedFile], writer: FolderWriter, tick: Callable[[], None]) -> int:
    """Write the files, in the order in which the store holds them; return how many bytes were copied, not linked.

    `tick` is called often. Raises Unavailable, with the path, when the bytes are not those that the version names.
    """
    wanted: dict[int, list[WalkedFile]] = {}
    for file in files:
        wanted.setdefault(file.blob_id, []).append(file)
    firsts = sorted((same[0] for same in wanted.values()), key=lambda file: (file.pack_key, file.offset))
    to_copy = [file for file in firsts if not _link(file, writer)]
    stream = _Stream(_reads(to_copy), tick)
    for file in to_copy:
        _copy(file, writer, stream)
    copied = sum(file.size for file in to_copy)
    for same in wanted.values():
        copied += _repeat(same, writer, tick)
    return copied


def _repeat(same: list[WalkedFile], writer: FolderWriter, tick: Callable[[], None]) -> int:
    """Give equal files one set of bytes; a new one wherever the file system allows no further link."""
    first, copied = same[0], 0
    for file in same[1:]:
        tick()
        if file.size == 0 or not writer.link_within(first.path, file.path):
            _copy(file, writer, _Stream(_reads([file]), tick))
            first, copied = file, copied + file.size
    return copied


def _link(file: WalkedFile, writer: FolderWriter) -> bool:
    # At offset 0 of a pack that is no longer it is the whole pack. Empty files would all share one inode.
    # (Linux allows some 65,000 links.)
    if file.offset != 0 or file.size == 0:
        return False
    pack = pack_store().open_local(file.pack_key)
    return pack is not None and writer.link(Path(pack), file.path, size=file.size)


def _copy(file: WalkedFile, writer: FolderWriter, stream: _Stream) -> None:
    hasher = hashlib.sha256()
    descriptor = writer.create(file.path)
    try:
        for piece in stream.take(file.size):
            hasher.update(piece)
            view = piece
            while view:
                view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
    if hasher.digest() != file.sha256:
        note_damage(file.blob_id, Damage.Cause.CHANGED, Place(file.pack_key, file.offset))
        message = f"The stored bytes of {file.path} are damaged. Tell whoever runs this server."
        raise Unavailable(message, errors=[{"path": file.path, "detail": f"pack {file.pack_key} at {file.offset}"}])


def _reads(files: Iterable[WalkedFile]) -> Iterator[Read]:
    """Cover the files, back to back and in their order, with reads of neighbouring bytes."""
    key, start, end = "", 0, 0
    for file in files:
        if file.pack_key != key or file.offset != end:
            yield from _split(key, start, end)
            key, start, end = file.pack_key, file.offset, file.offset
        end += file.size
        if end - start >= READ_BYTES:
            whole = end - (end - start) % READ_BYTES
            yield from _split(key, start, whole)
            start = whole
    yield from _split(key, start, end)


def _split(key: str, start: int, end: int) -> Iterator[Read]:
    for offset in range(start, end, READ_BYTES):
        yield key, offset, min(READ_BYTES, end - offset)


class _Stream:
    """The bytes of many reads as one stream, read ahead by threads."""

    def __init__(self, reads: Iterator[Read], tick: Callable[[], None]) -> None:
        self._blocks = _read_ahead(reads, tick)
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[memoryview]:
        while size > 0:
            if not self._rest:
                self._rest = memoryview(next(self._blocks))
            piece = self._rest[:size]
            self._rest = self._rest[size:]
            size -= len(piece)
            yield piece


def _read_ahead(reads: Iterator[Read], tick: Callable[[], None]) -> Iterator[bytes]:
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(READS, thread_name_prefix="mount") as pool:
        for key, offset, length in reads:
            waiting.append(pool.submit(_read, key, offset, length))
            if len(waiting) == READS:
                yield waiting.popleft().result()
            tick()
        while waiting:
            yield waiting.popleft().result()
            tick()


def _read(key: str, offset: int, length: int) -> bytes:
    return b"".join(read_pack(key=key, offset=offset, length=length))
