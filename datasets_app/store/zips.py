"""A ZIP without compression, made while it is sent; its length is known before its first byte."""

from __future__ import annotations

import zipfile
from typing import IO, TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Below where `zipfile` needs 64 bits for the sizes beside the bytes of an entry (it adds a margin): so it is always us
# who decide, and the length can be told.
ZIP64_BYTES: Final = 2**30
# Fixed parts of the format (APPNOTE 4.3): header before the bytes, what follows them, line of the directory, its end.
LOCAL: Final = 30
AFTER: Final = 16
CENTRAL: Final = 46
END: Final = 22
# What 64-bit numbers add: a field of two sizes; two longer sizes; of the directory, a head and each number that is too
# large; at the end a record and its locator.
LOCAL_64: Final = 20
AFTER_64: Final = 8
FIELD_HEAD: Final = 4
NUMBER: Final = 8
END_64: Final = 56 + 20


def zip_parts(members: Iterable[tuple[str, int, Iterable[bytes]]]) -> Iterator[bytes]:
    """Write (path, size in bytes, blocks) as a ZIP, with ZIP64 where it is needed; equal members give equal bytes."""
    sink = _Sink()
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for path, size, blocks in members:
            # The least time that the format knows: equal folders give equal bytes.
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100444 << 16
            entry.file_size = size
            with archive.open(entry, "w", force_zip64=size >= ZIP64_BYTES) as member:
                for block in blocks:
                    member.write(block)
                    yield sink.take()
            yield sink.take()
    yield sink.take()


def zip_size(members: Iterable[tuple[str, int]]) -> int:
    """Return how many bytes `zip_parts` makes of members with these paths and sizes."""
    at = directory = count = 0
    limit = zipfile.ZIP64_LIMIT
    for path, size in members:
        count += 1
        name = len(path.encode())
        numbers = 2 * (size > limit) + (at > limit)
        directory += CENTRAL + name + (FIELD_HEAD + NUMBER * numbers if numbers else 0)
        at += LOCAL + name + size + AFTER + (LOCAL_64 + AFTER_64 if size >= ZIP64_BYTES else 0)
    is_large = count > zipfile.ZIP_FILECOUNT_LIMIT or at > limit or directory > limit
    return at + directory + END + (END_64 if is_large else 0)


class _Sink:
    """What a ZipFile writes to: a stream that can't go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Keep a part."""
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""

    def take(self) -> bytes:
        """Give what was written since."""
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken
