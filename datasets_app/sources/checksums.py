"""The checksums that stores tell with their listings: "name:hex", over the whole object."""

from __future__ import annotations

import hashlib
import zlib
from typing import Final, Protocol

import google_crc32c

from datasets_app.sources.base import Cause, Data, SourceError, SourceFile

# Enough for git's object ids and S3's ETags: nobody relies on them against an attacker, SHA-256 is always ours.
_NAMES: Final = ("md5", "crc32", "crc32c", "git-sha1", "sha1", "sha256")


class Hasher(Protocol):
    """Takes the bytes in order."""

    def update(self, data: Data, /) -> None:
        """Take the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Give the checksum in lower case."""
        ...


class _Crc32c:
    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: Data, /) -> None:
        # This library takes nothing but bytes.
        self._sum = google_crc32c.extend(self._sum, bytes(data))

    def hexdigest(self) -> str:
        return f"{self._sum:08x}"


class _Crc32:
    def __init__(self) -> None:
        self._sum = 0

    def update(self, data: Data, /) -> None:
        self._sum = zlib.crc32(data, self._sum)

    def hexdigest(self) -> str:
        return f"{self._sum:08x}"


def start_checksum(name: str, size: int) -> Hasher | None:
    """Begin a checksum over `size` bytes; None for a name that is not known here."""
    if name not in _NAMES:
        return None
    if name == "crc32c":
        return _Crc32c()
    if name == "crc32":
        return _Crc32()
    if name == "git-sha1":
        hasher = hashlib.sha1(usedforsecurity=False)
        hasher.update(b"blob %d\0" % size)
        return hasher
    return hashlib.new(name, usedforsecurity=False)


def verify_checksum(file: SourceFile, data: Data) -> None:
    """Compare a whole object with what its listing told. Raises SourceError (DAMAGED)."""
    name, _, expected = file.checksum.partition(":")
    hasher = start_checksum(name, file.size) if expected else None
    if hasher is None:
        return
    hasher.update(data)
    if hasher.hexdigest() != expected:
        raise SourceError(Cause.DAMAGED, f"{file.key}: the bytes that came don't have the {name} that the store tells.")
