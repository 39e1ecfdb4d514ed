"""Bytes packed by gzip or zstd, of tables and archives."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING, Final

from datasets_app.previews.base import MIB, as_file

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
# What of a packed file is unpacked to tell what it is.
PEEKED: Final = 16 * 1024


def unpacked_name(head: bytes, name: str) -> tuple[str, bool]:
    """Return a name without its ending for packed files, where the bytes are packed so; and whether they are."""
    for suffix, magic in ((".gz", GZIP), (".zst", ZSTD)):
        if head.startswith(magic) and name.endswith(suffix):
            return name.removesuffix(suffix), True
    return name, False


def unpack_head(head: bytes) -> bytes:
    """Unpack the beginning of a file, as far as a glance needs it; nothing of what is damaged."""
    try:
        if head.startswith(GZIP):
            return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, PEEKED)
        if head.startswith(ZSTD):
            import zstandard

            return bytes(zstandard.ZstdDecompressor().stream_reader(head).read(PEEKED))
    except Exception:  # noqa: BLE001 - zlib's and zstandard's errors, the latter only known after the import
        return b""
    return head


def open_unpacked(reader: Reader) -> io.BufferedIOBase:
    """Open the bytes of a file, unpacked where they are packed."""
    head = reader.read(0, len(ZSTD))
    file = as_file(reader, buffer=MIB)
    if head.startswith(GZIP):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(ZSTD):
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    return file
