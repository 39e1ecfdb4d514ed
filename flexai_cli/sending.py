"""Bring the bytes of one batch to the server: ask what it needs, and send that."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Final

import httpx

from flexai_cli.chunks import Report
from flexai_cli.errors import Problem
from flexai_cli.pipeline import Batch, Item
from flexai_cli.progress import Progress
from flexai_cli.reading import CHANGED, Unread, hash_file, read_range, read_whole
from flexai_cli.target import Target, Vanished

# Plans of the same files, while every one of them finds something that is still needed.
MOST_ROUNDS: Final = 5


class Sender:
    """Sends batches to one version; may be used by many threads."""

    def __init__(self, target: Target, progress: Progress, report: Report) -> None:
        self._target = target
        self._progress = progress
        self._report = report
        self._reading = threading.Lock()

    def send(self, batch: Batch) -> None:
        """Bring one batch in; files that can't be taken lose their digest and are reported."""
        if batch.is_large:
            with self._progress.begun() as reach:
                self._send_large(batch.items[0], reach)
                self._progress.handled(1, batch.size)
        else:
            self._send_small(batch.items)
            self._progress.handled(len(batch.items), batch.size)

    def _send_large(self, item: Item, reach: Callable[[int], None]) -> None:
        source, about = item.chunk.source(item.place), item.chunk.stats[item.place]
        hashed = 0
        try:
            if item.digest is None:
                # It is read twice: each time counts a half.
                hashed = item.size // 2
                item.chunk.digests[item.place] = hash_file(source, about, lambda length: reach(length // 2))
            for _round in range(MOST_ROUNDS):
                (planned,) = self._target.plan([item])
                if planned["state"] == "stored":
                    self._progress.saved(item.size)
                    return
                offset = planned["offset"] or 0
                upload = planned["upload"] or self._target.create_upload(item)

                def body(start: int, length: int) -> Iterator[bytes]:
                    done = start
                    for block in read_range(source, about, start, length):
                        yield block
                        self._progress.moved(len(block))
                        done += len(block)
                        reach(hashed + done * (item.size - hashed) // item.size)

                try:
                    self._target.append(upload, item.size, body, offset)
                except Vanished:
                    continue
                self._progress.saved(offset)
                return
            self._fail(item, "The server loses this upload again and again.")
        except Unread as error:
            self._fail(item, str(error))
        except Problem as error:
            self._refused(error, [item])

    def _send_small(self, items: list[Item]) -> None:
        """Read what has no digest yet, and of the rest only what the server needs."""
        held: dict[Item, memoryview] = {}
        whole = self._read([item for item in items if item.digest is None], held)
        waiting = items
        for number in range(MOST_ROUNDS):
            waiting = [item for item in waiting if item.digest is not None]
            needed, upload = self._ask(waiting)
            if number == 0:
                self._progress.saved(sum(item.size for item in waiting) - sum(item.size for item in needed))
            if not needed:
                return
            if missing := [item for item in needed if item not in held]:
                self._read(missing, held)
            waiting = [item for item in needed if item.digest is not None]
            if not waiting:
                return
            size = sum(item.size for item in waiting)
            is_whole = whole is not None and len(held) == len(waiting) and len(whole) == size
            body = whole if is_whole and whole is not None else memoryview(b"".join(held[item] for item in waiting))
            if self._send_bundle(waiting, body, upload if len(waiting) == len(needed) else None):
                return
        for item in waiting:
            self._fail(item, "The server still asks for this file after it was sent several times.")

    def _ask(self, items: list[Item]) -> tuple[list[Item], str | None]:
        """Plan; return what has to be sent, and the upload that waits for it, if there is one."""
        if not items:
            return [], None
        try:
            return self._target.plan_bundle(items)
        except Problem as error:
            self._refused(error, items)
            return self._ask([item for item in items if item.digest is not None])

    def _read(self, items: list[Item], held: dict[Item, memoryview]) -> memoryview | None:
        """Read and hash files, into one piece of memory; return it when all of them could be read."""
        # One thread at a time. Of reading a small file, half is Python's own work, and threads that all do it spend a
        # third more on waiting for each other; those that wait for the server are many enough.
        with self._reading:
            return self._read_all(items, held)

    def _read_all(self, items: list[Item], held: dict[Item, memoryview]) -> memoryview | None:
        buffer = memoryview(bytearray(sum(item.size for item in items)))
        end = 0
        is_whole = True
        for item in items:
            part = buffer[end : end + item.size]
            end += item.size
            try:
                digest = read_whole(item.chunk.source(item.place), item.chunk.stats[item.place], part)
            except Unread as error:
                self._fail(item, str(error))
                is_whole = False
                continue
            if item.digest not in {None, digest}:
                self._fail(item, CHANGED)
                is_whole = False
                continue
            item.chunk.digests[item.place] = digest
            held[item] = part
        return buffer if is_whole else None

    def _send_bundle(self, items: list[Item], body: memoryview, upload: str | None = None) -> bool:
        """Send small files back to back, by `upload` if it was made for them; False when they must be planned again."""
        try:
            upload = upload or self._target.create_bundle(items)
        except Problem as error:
            if error.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE and len(items) > 1:
                # This server's packs are smaller than usual.
                middle = len(items) // 2
                size = sum(item.size for item in items[:middle])
                first = self._send_bundle(items[:middle], body[:size])
                return self._send_bundle(items[middle:], body[size:]) and first
            if error.status == httpx.codes.CONFLICT:
                # Some are stored already: the answer to an earlier request was lost.
                return False
            raise
        try:
            self._target.append(upload, len(body), lambda start, length: [body[start : start + length]], 0)
        except Vanished:
            return False
        except Problem as error:
            return not self._refused(error, items)
        self._progress.moved(len(body))
        return True

    def _refused(self, problem: Problem, items: list[Item]) -> list[Item]:
        """Report the files that a refusal names, and return them; raise what names none of them."""
        reasons = {str(found["path"]): str(found.get("detail", "")) for found in problem.items if "path" in found}
        refused = [item for item in items if item.path in reasons]
        if not refused:
            raise problem
        for item in refused:
            self._fail(item, reasons[item.path])
        return refused

    def _fail(self, item: Item, reason: str) -> None:
        item.chunk.digests[item.place] = None
        self._report(item.chunk.source(item.place), reason, item.path)
