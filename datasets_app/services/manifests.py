"""Manifests: a version's files as lines of JSON, for people, for tools, and to rebuild a lost database."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import orjson
import zstandard

from datasets_app.services import content
from datasets_app.services.walking import walk_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datasets_app.models import Version

FORMAT = "flexai-manifest-1"
LINES = 2_000


def manifest_lines(version: Version) -> Iterator[bytes]:
    """One JSON object a file, in tree order: path, size in bytes, sha256 in hex. About 2,000 lines a block."""
    yield from _blocks(version, lambda _block: None, where=False)


def store_manifest(version: Version, *, progress: Callable[[int], None]) -> str:
    """Store the version's manifest beside its packs (NDJSON, zstd) and return its key.

    The first line describes the version; the others add to each file where its bytes rest: pack and offset.
    """
    name = uuid.uuid4().hex
    key = f"manifests/{name[:2]}/{name}.ndjson.zst"
    content.put_manifest(key=key, lines=_compressed(version, progress))
    return key


def _compressed(version: Version, progress: Callable[[int], None]) -> Iterator[bytes]:
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    header = {
        "format": FORMAT,
        "team": version.dataset.team.name,
        "dataset": version.dataset.name,
        "description": version.dataset.description,
        "version": version.number,
        "digest": version.digest,
        "file_count": version.file_count,
        "size": version.size,
        "message": version.message,
        "source": version.source,
        "created_at": version.created_at,
        "created_by": version.created_by.get_username() if version.created_by else None,
        "base": version.base.number if version.base else None,
    }
    yield compressor.compress(orjson.dumps(header) + b"\n")
    for block in _blocks(version, progress, where=True):
        yield compressor.compress(block)
    yield compressor.flush()


def _blocks(version: Version, progress: Callable[[int], None], *, where: bool) -> Iterator[bytes]:
    if version.root is None:
        return
    lines: list[bytes] = []
    for file in walk_files(version.root):
        line: dict[str, Any] = {"path": file.path, "size": file.size, "sha256": file.sha256.hex()}
        if where:
            line |= {"pack": file.pack_key, "offset": file.offset}
        lines.append(orjson.dumps(line) + b"\n")
        if len(lines) == LINES:
            yield b"".join(lines)
            progress(LINES)
            lines.clear()
    yield b"".join(lines)
