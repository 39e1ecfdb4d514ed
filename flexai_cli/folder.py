"""The files to push, walked as often as needed: to learn their digest, and to send them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from flexai_cli.cache import Cache
from flexai_cli.chunks import Chunk
from flexai_cli.digest import Root, TreeDigest, folder_root
from flexai_cli.hash_process import hash_files
from flexai_cli.hash_processes import HashProcesses
from flexai_cli.manifest import Listed
from flexai_cli.patterns import Patterns
from flexai_cli.pipeline import STREAMS, Batch, Pipeline
from flexai_cli.progress import Progress
from flexai_cli.scan import scan
from flexai_cli.sending import Sender
from flexai_cli.sources import Node

NAMED_FAILURES: Final = 1000


class Failure(NamedTuple):
    """A file that can't be taken: where it is on this machine, why, and its path in the version if it was declared."""

    source: str
    reason: str
    path: str


class Folder:
    """Files of this machine as they shall be in a dataset."""

    def __init__(self, tree: Node, exclude: Sequence[str], cache: Cache, progress: Progress) -> None:
        self._tree = tree
        self._exclude = Patterns(exclude=exclude)
        self._cache = cache
        self._progress = progress
        self._failures: dict[str, Failure] = {}
        self.file_count = 0
        self.size = 0

    @property
    def failures(self) -> list[Failure]:
        """What could not be taken on the last walk."""
        return list(self._failures.values())

    def named_failures(self) -> list[dict[str, str]]:
        """Return the first thousand failures, as messages and JSON show them."""
        return [{"path": failure.source, "detail": failure.reason} for failure in self.failures[:NAMED_FAILURES]]

    def fail(self, source: str, reason: str, path: str = "") -> None:
        """Note a file that can't be taken."""
        self._failures[source] = Failure(source, reason, path)

    def hash(self) -> Root | None:
        """Return the digest of it all, with as little reading as the cache allows; None for no files."""
        return self._digest(self._hashed(whole=True))

    def listed(self) -> Iterator[Listed]:
        """Every file with its digest, in tree order."""
        for chunk, fresh in self._hashed(whole=False):
            self._cache.keep(chunk, fresh)
            for index, digest in enumerate(chunk.digests):
                if digest is not None:
                    yield Listed(chunk.path(index), digest, chunk.stats[index].size)

    def send(self, sender: Sender) -> Root | None:
        """Send everything, and return its digest; None for no files."""
        self._begin("sending")
        pipeline = Pipeline(sender.send, lambda _item: True, streams=STREAMS)
        return self._digest(pipeline.run(self._chunks(whole=False)))

    def _hashed(self, *, whole: bool) -> Iterator[tuple[Chunk, list[int]]]:
        self._begin("hashing")
        processes = HashProcesses(_cores())
        pipeline = Pipeline(partial(self._hash, processes), lambda item: item.digest is None, streams=_cores())
        try:
            for chunk, fresh in pipeline.run(self._chunks(whole=whole)):
                if chunk.root is not None:
                    self._progress.handled(chunk.root.file_count, chunk.root.size)
                elif len(fresh) < len(chunk.names):
                    known = set(range(len(chunk.names))) - set(fresh)
                    self._progress.handled(len(known), sum(chunk.stats[index].size for index in known))
                yield chunk, fresh
        finally:
            processes.close()

    def _begin(self, stage: str) -> None:
        self._failures.clear()
        self._progress.restart(stage)
        self.file_count = self.size = 0

    def _chunks(self, *, whole: bool) -> Iterator[Chunk]:
        for chunk in scan(self._tree, exclude=self._exclude, report=self.fail):
            self._cache.fill(chunk, whole=whole)
            yield chunk

    def _hash(self, processes: HashProcesses, batch: Batch) -> None:
        files = [(chunk.source(place), chunk.stats[place]) for chunk, place in batch.items]
        if batch.is_large:
            with self._progress.begun() as reach:
                found = hash_files(files, reach)
        else:
            found = processes.hash(files)
        for (chunk, place), answer in zip(batch.items, found, strict=True):
            if isinstance(answer, bytes):
                chunk.digests[place] = answer
            else:
                self.fail(chunk.source(place), answer)
        self._progress.handled(len(batch.items), batch.size)

    def _digest(self, chunks: Iterator[tuple[Chunk, list[int]]]) -> Root | None:
        tree = TreeDigest()
        for chunk, fresh in chunks:
            if chunk.root is None:
                self._add(tree, chunk, fresh)
            else:
                tree.add_folder(chunk.prefix, chunk.root)
        root = tree.finish()
        self.file_count, self.size = (root.file_count, root.size) if root else (0, 0)
        return root

    def _add(self, tree: TreeDigest, chunk: Chunk, fresh: list[int]) -> None:
        self._cache.keep(chunk, fresh)
        kept = [index for index, digest in enumerate(chunk.digests) if digest is not None]
        names = [chunk.names[index] for index in kept]
        sizes = [chunk.stats[index].size for index in kept]
        digests = [digest for digest in chunk.digests if digest is not None]
        if chunk.is_all and len(kept) == len(chunk.names):
            root = folder_root(names, digests, sizes)
            tree.add_folder(chunk.prefix, root)
            self._cache.keep_root(chunk, root)
        elif kept:
            tree.add_files(chunk.prefix, names, digests, sizes)


def _cores() -> int:
    return min(os.cpu_count() or 1, STREAMS)
