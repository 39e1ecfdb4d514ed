"""Lists of slices: beside each pack that compaction made, what lies where in it, for the day the database is lost.

Manifests tell where bytes were when their version was sealed, and are never changed; a list of slices tells of later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson
import zstandard

from datasets_app.services import content

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FOLDER = "slices"
SUFFIX = ".ndjson.zst"


class ListedSlice(NamedTuple):
    """`size` bytes at `offset` of the pack `pack`, with their SHA-256 (32 bytes)."""

    sha256: bytes
    size: int
    pack: str
    offset: int


def list_key(pack_key: str) -> str:
    """Return where the list of a pack is, or would be."""
    return f"{FOLDER}/{pack_key}{SUFFIX}"


def put_slices(pack_key: str, slices: Iterable[ListedSlice]) -> None:
    """Store the list of a pack; the one that is there already stays."""
    lines = [
        orjson.dumps({"sha256": piece.sha256.hex(), "size": piece.size, "offset": piece.offset}) for piece in slices
    ]
    packed = zstandard.compress(b"\n".join(lines), 3)
    if not content.pack_store().exists(list_key(pack_key)):
        content.put_manifest(key=list_key(pack_key), lines=iter([packed]))


def read_slices(key: str) -> Iterator[ListedSlice]:
    """Read a list by its own key."""
    pack = key.removeprefix(f"{FOLDER}/").removesuffix(SUFFIX)
    text = zstandard.ZstdDecompressor().decompressobj().decompress(b"".join(content.read_manifest(key)))
    for line in text.splitlines():
        item = orjson.loads(line)
        yield ListedSlice(bytes.fromhex(item["sha256"]), item["size"], pack, item["offset"])
