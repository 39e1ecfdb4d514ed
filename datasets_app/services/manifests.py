"""Manifests: a version's files as lines of JSON, for people, for tools, and to rebuild a lost database."""

from __future__ import annotations

import uuid
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
import zstandard

from datasets_app.models import Version
from datasets_app.services import content
from datasets_app.services.walking import walk_files

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

FORMAT = "flexai-manifest-1"
FOLDER = "manifests"
LINES = 2_000


def manifest_lines(version: Version) -> Iterator[bytes]:
    """One JSON object a file, in tree order: path, size in bytes, sha256 in hex. About 2,000 lines a block."""
    yield from _blocks(version, lambda _block: None, where=False)


def store_manifest(version: Version, *, progress: Callable[[int], None]) -> str:
    """Store the version's manifest beside its packs (NDJSON, zstd) and return its key.

    The first line describes the version; the others add to each file where its bytes rest: pack and offset.
    """
    name = uuid.uuid4().hex
    key = f"{FOLDER}/{name[:2]}/{name}.ndjson.zst"
    content.put_manifest(key=key, lines=_compressed(version, progress))
    return key


def restore_manifest(version: Version, *, progress: Callable[[int], None]) -> None:
    """Store the manifest of a sealed version again, under its own key, after the object was lost or damaged."""
    content.put_manifest(key=version.manifest_key, lines=_compressed(version, progress), anew=True)


def read_header(key: str) -> dict[str, Any]:
    """Return what a stored manifest says of its version; ValueError when it is none, or damaged."""
    with closing(_stored_lines(key)) as lines:
        header = next(lines, {})
    if header.get("format") != FORMAT:
        raise ValueError(f"{key} is not a manifest of the format {FORMAT}")
    return header


def was_sealed_later(header: dict[str, Any], *, modified: float) -> bool:
    """Tell whether the database has the manifest's version as an open one that nobody has ever tried to seal.

    Then it is a backup from before the seal. `modified`: when the manifest was stored, a POSIX time; one that is older
    than the version is of another one of the same name, which was purged.
    """
    team, dataset, number = (header.get(name) for name in ("team", "dataset", "version"))
    opened = Version.objects.filter(status__in=(Version.Status.UPLOADING, Version.Status.SYNCING), attempts=0)
    stored = datetime.fromtimestamp(modified, tz=UTC)
    named = opened.filter(dataset__team__name=team, dataset__name=dataset, number=number or 0)
    return named.filter(created_at__lte=stored).exists()


def read_files(key: str) -> Iterator[dict[str, Any]]:
    """Give each file of a stored manifest: path, size, sha256 (hex), pack and offset. ValueError when it is damaged."""
    return islice(_stored_lines(key), 1, None)


def _stored_lines(key: str) -> Generator[dict[str, Any]]:
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    try:
        for block in content.read_manifest(key):
            *lines, rest = (rest + decompressor.decompress(block)).split(b"\n")
            yield from map(orjson.loads, lines)
        if rest or not decompressor.eof:
            raise ValueError(f"the manifest {key} ends too early")
    except zstandard.ZstdError as error:
        raise ValueError(f"the manifest {key} is damaged: {error}") from error


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
    line: dict[str, Any]
    for path, sha256, size, _, pack_key, offset in walk_files(version.root):
        line = {"path": path, "size": size, "sha256": sha256.hex()}
        if where:
            line["pack"], line["offset"] = pack_key, offset
        lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        if len(lines) == LINES:
            yield b"".join(lines)
            progress(LINES)
            lines.clear()
    yield b"".join(lines)
