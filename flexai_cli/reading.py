"""Read files of this machine and hash them, noticing when they change meanwhile."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator

from flexai_cli.chunks import Stat, reason_of
from flexai_cli.digest import BLOCK_BYTES


class Unread(Exception):
    """A file could not be taken; the text is a sentence for its owner."""


# Up to here a file is read in one piece.
SMALL_BYTES = 256 * 1024
FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0)
CHANGED = "The file changed while it was sent."


def read_whole(source: str, about: Stat, into: memoryview) -> bytes:
    """Read a small file into memory of its size, and return its SHA-256 (32 bytes). Raise Unread."""
    try:
        with io.FileIO(source) as file:
            length = 0
            while length < about.size and (count := file.readinto(into[length:])):
                length += count
            if Stat.of(os.fstat(file.fileno())) != about or length != about.size:
                raise Unread(CHANGED)
    except OSError as error:
        raise Unread(f"{reason_of(error)}.") from None
    return hashlib.sha256(into).digest()


def hash_file(source: str, about: Stat, reach: Callable[[int], None] | None = None) -> bytes:
    """Return the SHA-256 of a file of any size. `reach` is told how many bytes are done. Raise Unread."""
    if about.size < SMALL_BYTES:
        return _hash_small(source, about)
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(min(BLOCK_BYTES, max(about.size, 1))))
    try:
        with io.FileIO(source) as file:
            length = 0
            while count := file.readinto(buffer):
                hasher.update(buffer[:count])
                length += count
                if reach is not None:
                    reach(length)
            if Stat.of(os.fstat(file.fileno())) != about or length != about.size:
                raise Unread(CHANGED)
    except OSError as error:
        raise Unread(f"{reason_of(error)}.") from None
    return hasher.digest()


def _hash_small(source: str, about: Stat) -> bytes:
    """As `hash_file`, by as few calls as there can be: it is called a million times."""
    try:
        descriptor = os.open(source, FLAGS)
        try:
            data = os.read(descriptor, about.size + 1)
            found = os.fstat(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Unread(f"{reason_of(error)}.") from None
    if len(data) != about.size or about != (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino):
        raise Unread(CHANGED)
    return hashlib.sha256(data).digest()


def read_range(source: str, about: Stat, offset: int, length: int) -> Iterator[bytes]:
    """Give a part of a file, in blocks of 1 MiB. Raise Unread when it is no longer the file that was hashed."""
    try:
        with io.FileIO(source) as file:
            file.seek(offset)
            left = length
            while left:
                block = file.read(min(left, BLOCK_BYTES))
                if not block or Stat.of(os.fstat(file.fileno())) != about:
                    raise Unread(CHANGED)
                left -= len(block)
                yield block
    except OSError as error:
        raise Unread(f"{reason_of(error)}.") from None
