"""Work on the files of many chunks in a few threads, and hand the chunks on in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from flexai_cli.chunks import Chunk

MIB: Final = 2**20
# What travels together, as the server takes it: packs of small files, and large ones each by itself.
LARGE_BYTES: Final = 8 * MIB
BATCH_BYTES: Final = 16 * MIB
BATCH_FILES: Final = 1000
STREAMS: Final = 4
# Batches between the first that is not done and the last that was begun. They hold names, not bytes.
WINDOW: Final = 32


class Item(NamedTuple):
    """One file: its chunk, and its place there."""

    chunk: Chunk
    place: int

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.chunk.stats[self.place].size

    @property
    def path(self) -> str:
        """Where it is in the dataset."""
        return self.chunk.path(self.place)

    @property
    def digest(self) -> bytes | None:
        """Its SHA-256, once known."""
        return self.chunk.digests[self.place]


@dataclass(slots=True)
class Batch:
    """Files that are worked on together: one large one, or many small ones."""

    items: list[Item] = field(default_factory=list)
    size: int = 0
    future: Future[None] | None = None

    @property
    def is_large(self) -> bool:
        """Whether this is one large file."""
        return self.size >= LARGE_BYTES and len(self.items) == 1


class Pipeline:
    """`work` sets the digests of a batch's items; `wanted` says which files need it."""

    def __init__(
        self, work: Callable[[Batch], None], wanted: Callable[[Item], bool], *, streams: int = STREAMS
    ) -> None:
        self._work = work
        self._wanted = wanted
        self._streams = streams
        self._open = Batch()
        self._running: deque[Future[None]] = deque()

    def run(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, list[int]]]:
        """Every chunk in order, once all of its files are done, with the places of those that were worked on."""
        waiting: deque[tuple[Chunk, list[int], list[Batch]]] = deque()
        pool = ThreadPoolExecutor(self._streams, thread_name_prefix="flexai")
        try:
            for chunk in chunks:
                waiting.append((chunk, *self._cut(chunk, pool)))
                while waiting and (_is_done(waiting[0][2]) or self._is_full()):
                    yield self._take(waiting.popleft(), pool)
            while waiting:
                yield self._take(waiting.popleft(), pool)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()

    def _is_full(self) -> bool:
        while self._running and self._running[0].done():
            self._running.popleft().result()
        return len(self._running) > WINDOW

    def _cut(self, chunk: Chunk, pool: ThreadPoolExecutor) -> tuple[list[int], list[Batch]]:
        places: list[int] = []
        used: list[Batch] = []
        if chunk.root is not None:
            # Its digest is known, so nothing is to be done for any of its files.
            return places, used
        for index in range(len(chunk.names)):
            item = Item(chunk, index)
            if not self._wanted(item):
                continue
            places.append(index)
            size = item.size
            if size >= LARGE_BYTES:
                alone = Batch([item], size)
                self._submit(alone, pool)
                used.append(alone)
                continue
            if len(self._open.items) == BATCH_FILES or (self._open.items and self._open.size + size > BATCH_BYTES):
                self._flush(pool)
            self._open.items.append(item)
            self._open.size += size
            if not used or used[-1] is not self._open:
                used.append(self._open)
        return places, used

    def _take(self, first: tuple[Chunk, list[int], list[Batch]], pool: ThreadPoolExecutor) -> tuple[Chunk, list[int]]:
        chunk, places, used = first
        for batch in used:
            if batch.future is None:
                self._flush(pool)
            if batch.future is not None:
                batch.future.result()
        return chunk, places

    def _flush(self, pool: ThreadPoolExecutor) -> None:
        self._submit(self._open, pool)
        self._open = Batch()

    def _submit(self, batch: Batch, pool: ThreadPoolExecutor) -> None:
        batch.future = pool.submit(self._work, batch)
        self._running.append(batch.future)


def _is_done(used: list[Batch]) -> bool:
    return all(batch.future is not None and batch.future.done() for batch in used)
