"""The checksums that stores tell with their listings: "name:hex", over the whole object."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Final, Protocol

import anycrc
import google_crc32c

from datasets_app.sources.base import Cause, Data, SourceError, SourceFile

# Enough for git's object ids and S3's ETags: nobody relies on them against an attacker, SHA-256 is always ours.
_NAMES: Final = ("md5", "git-sha1", "sha1", "sha256")


class Hasher(Protocol):
    """Takes the bytes in order."""

    def update(self, data: Data, /) -> None:
        """Take the next bytes."""
        ...

    def hexdigest(self) -> str:
        """Give the checksum in lower case."""
        ...


class _Crc:
    """One of the CRCs: `extend` takes the sum of what came before, and what comes next."""

    def __init__(self, extend: Callable[[int, Data], int], digits: int) -> None:
        self._extend = extend
        self._digits = digits
        self._sum = 0

    def update(self, data: Data, /) -> None:
        self._sum = self._extend(self._sum, data)

    def hexdigest(self) -> str:
        return f"{self._sum:0{self._digits}x}"


# This library takes nothing but bytes.
def _extend_crc32c(value: int, data: Data) -> int:
    return int(google_crc32c.extend(value, bytes(data)))


_CRC64_NVME: Final = anycrc.Model("CRC64-NVME")
_CRCS: Final[dict[str, tuple[Callable[[int, Data], int], int]]] = {
    "crc32": (lambda value, data: zlib.crc32(data, value), 8),
    "crc32c": (_extend_crc32c, 8),
    "crc64nvme": (lambda value, data: int(_CRC64_NVME.calc(data, value)), 16),
}


def start_checksum(name: str, size: int) -> Hasher | None:
    """Begin a checksum over `size` bytes; None for a name that is not known here."""
    if name in _CRCS:
        return _Crc(*_CRCS[name])
    if name not in _NAMES:
        return None
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
