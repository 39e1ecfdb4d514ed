"""The copier: one worker's turn at fetching an import's files, in their order, many at a time.

Only the thread that calls `run` uses the database. Others fetch; of what they were asked for, at most WINDOW_BYTES are
on their way or wait to be taken. Files are taken in the order of the listing, so what lies together there lies together
in packs.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import CancelledError
from functools import partial
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.utils import timezone

from datasets_app.models import Import
from datasets_app.services.copy_turn import CopyTurn, Unit
from datasets_app.services.fetching import Again, fetch_files
from datasets_app.services.import_claims import Claims
from datasets_app.services.import_parts import is_large
from datasets_app.services.import_record import Copied, Failed
from datasets_app.services.import_watch import ends_soon
from datasets_app.services.landing import PackBuffer
from datasets_app.services.large_copies import LargeCopies

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from datasets_app.services.import_claims import Claimed
    from datasets_app.services.import_parts import PartFile
    from datasets_app.services.import_record import HeldPart
    from datasets_app.services.import_watch import Watch
    from datasets_app.sources.base import Tree

WINDOW_BYTES: Final = 64 * 2**20
WINDOW_UNITS: Final = 4
# Threads that hand over every small file by itself spend their time doing that.
BATCH_FILES: Final = 8
BATCH_BYTES: Final = 2**20
# Where the lister is slower than the copier: how often to look for more, and for how long before the turn ends.
LOOK_SECONDS: Final = 0.05
IDLE_SECONDS: Final = 3.0


class Copier:
    """One worker's turn."""

    def __init__(self, run: Import, tree: Tree, watch: Watch, *, may_fail: bool) -> None:
        """Take `run`'s files from `tree`; for `may_fail` see CopyTurn."""
        self._turn = CopyTurn(run.pk, tree, watch, Claims(run.pk, run.version_id, watch), may_fail)
        self._buffer = PackBuffer()
        self._large = LargeCopies(self._turn, fail=self._fail)
        self._current: Iterator[Unit] = iter(())
        self._queue: deque[Unit] = deque()
        self._asked = 0
        self._look_at = 0.0
        self._busy_at = time.monotonic()

    def run(self) -> None:
        """Copy until nothing is left to take up, or the turn is over. Raises what ended it before that.

        That is SourceError, when going on is of no use, OutageError, when it is of no use now, StoppedError.
        """
        try:
            while self._step():
                pass
            self._flush()
        finally:
            self._turn.close()
        if self._turn.end is not None:
            raise self._turn.end

    def _step(self) -> bool:
        """Take the oldest unit, once it is here; False when there is nothing to wait for."""
        self._feed()
        if not self._queue:
            self._flush()
            return bool(self._large.again) or self._wait_for_lister()
        unit = self._queue[0]
        while not ends_soon(unit.future):
            self._turn.watch.tick()
            if self._buffer.is_due:
                self._flush()
        self._queue.popleft()
        self._asked -= unit.size
        unit.take(unit)
        del unit
        if self._buffer.is_due:
            self._flush()
        self._turn.watch.tick()
        return True

    def _feed(self) -> None:
        """Ask for more, as far as the window goes."""
        most = WINDOW_UNITS * settings.IMPORT_THREADS
        while self._asked < WINDOW_BYTES and len(self._queue) < most and (unit := self._next_unit()) is not None:
            self._queue.append(unit)
            self._asked += unit.size
            self._busy_at = time.monotonic()
        if self._turn.end is not None:
            for unit in self._queue:
                unit.future.cancel()

    def _next_unit(self) -> Unit | None:
        while (unit := next(self._current, None)) is None:
            if self._large.again:
                self._current = self._large.again.pop()
                continue
            if self._turn.is_ending or time.monotonic() < self._look_at:
                return None
            claimed = self._turn.claims.take()
            if claimed is None:
                self._look_at = time.monotonic() + LOOK_SECONDS
                return None
            if not claimed.needed:
                self._buffer.close_part(claimed.held)
                self._turn.has_begun = True
            elif is_large(claimed.needed[0].source):
                self._current = self._large.begin(claimed)
            else:
                self._current = self._small(claimed)
        self._turn.has_begun = True
        return unit

    def _wait_for_lister(self) -> bool:
        """Wait a moment, if somebody is just listing what could be copied next."""
        turn = self._turn
        if turn.end is not None or turn.watch.is_over or time.monotonic() - self._busy_at > IDLE_SECONDS:
            return False
        listing = Import.objects.filter(pk=turn.run_id, is_listed=False, lease_until__gt=timezone.now())
        if not listing.exists() and time.monotonic() < self._look_at:
            return False
        time.sleep(LOOK_SECONDS)
        turn.watch.tick()
        return True

    def _small(self, claimed: Claimed) -> Iterator[Unit]:
        """Give batches of a part's files."""
        turn = self._turn
        again = Again(turn.tree, turn.watch.patience, claimed.files)
        for batch in _batches(claimed.needed):
            if turn.is_ending:
                return
            future = turn.pool.submit(fetch_files, turn.tree, turn.watch.patience, batch, again)
            yield Unit(sum(file.source.size for file in batch), future, partial(self._take_batch, claimed.held))

    def _take_batch(self, held: HeldPart, unit: Unit) -> None:
        try:
            outcomes = unit.future.result()
        except CancelledError:
            return
        for one in outcomes:
            file: PartFile = one.file
            if one.error is None:
                # Fuller packs are fewer, and each costs some transactions.
                if not self._buffer.has_room(one.data):
                    self._flush()
                self._buffer.add(held, Copied(file.path, file.source.size, one.source, one.sha256), one.data)
            elif (error := self._turn.sort_error(one.error)) is not None:
                self._fail(held, Failed(file.path, file.source.key, error))

    def _fail(self, held: HeldPart, failed: Failed) -> None:
        self._buffer.add_failure(held, failed)

    def _flush(self) -> None:
        """Store what was fetched, and record what became of it."""
        buffer, self._buffer = self._buffer, PackBuffer()
        if buffer.parts:
            self._turn.store(
                lambda everything: buffer.write(everything=everything),
                copied=buffer.copied,
                failed=buffer.failed,
                parts=buffer.parts,
            )


def _batches(files: Iterable[PartFile]) -> Iterator[list[PartFile]]:
    batch: list[PartFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == BATCH_FILES or size + file.source.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.source.size
    if batch:
        yield batch
