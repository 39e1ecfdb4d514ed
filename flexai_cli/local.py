"""Which files of a version are on this machine already, with the same bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

from flexai_cli.cache import Cache
from flexai_cli.chunks import Chunk, Stat
from flexai_cli.manifest import Listed
from flexai_cli.reading import Unread, hash_file


class LocalFiles:
    """The files below a folder; digests come from the cache, or are computed in the pool's threads."""

    def __init__(self, directory: Path, cache: Cache, pool: ThreadPoolExecutor) -> None:
        self._directory = os.path.abspath(directory)  # noqa: PTH100 - keeps symbolic links
        self._cache = cache
        self._pool = pool

    def missing(self, files: Sequence[Listed]) -> list[Listed]:
        """Return those that are not there, or not with these bytes."""
        missing: list[Listed] = []
        for folder, group in groupby(files, key=lambda file: file.path.rpartition("/")[0]):
            missing += self._in_folder(folder, list(group))
        return missing

    def _in_folder(self, folder: str, files: list[Listed]) -> list[Listed]:
        here = f"{self._directory}/{folder}" if folder else self._directory
        if not os.path.isdir(here):  # noqa: PTH112
            return files
        same: dict[str, Stat] = {}
        for file in files:
            name = file.path.rpartition("/")[2]
            try:
                found = os.stat(f"{here}/{name}")  # noqa: PTH116
            except OSError:
                continue
            if stat.S_ISREG(found.st_mode) and found.st_size == file.size:
                same[name] = Stat.of(found)
        if not same:
            return files
        chunk = Chunk(here, "", list(same), list(same), list(same.values()), [None] * len(same))
        self._cache.fill(chunk)
        unknown = [index for index, digest in enumerate(chunk.digests) if digest is None]
        for index, digest in zip(unknown, self._pool.map(lambda index: _hash(chunk, index), unknown), strict=True):
            chunk.digests[index] = digest
        self._cache.keep(chunk, unknown)
        digests = dict(zip(chunk.names, chunk.digests, strict=True))
        return [file for file in files if digests.get(file.path.rpartition("/")[2]) != file.sha256]


def _hash(chunk: Chunk, index: int) -> bytes | None:
    try:
        return hash_file(chunk.source(index), chunk.stats[index])
    except Unread:
        return None
