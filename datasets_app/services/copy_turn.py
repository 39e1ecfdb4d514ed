"""What the copying of small and of large files share in one worker's turn: threads, the record, and what ends it."""

from __future__ import annotations

import functools
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from django.conf import settings

from datasets_app.services import content
from datasets_app.services.content import VanishedBlobError
from datasets_app.services.fetching import FATAL
from datasets_app.services.import_record import Copied, Failed, HeldPart, StoredBytes, record_files
from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.patience import OutageError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from datasets_app.services.import_claims import Claims
    from datasets_app.services.import_watch import Watch
    from datasets_app.sources.base import Tree

P = ParamSpec("P")
T = TypeVar("T")

# Where not one of so many files could be had, the others need not be tried.
MOST_FAILED_IN_A_ROW: Final = 100


@dataclass(slots=True, eq=False)
class Unit:
    """What one thread fetches in one go, of `size` bytes. Units are taken in the order in which they were asked for."""

    size: int
    future: Future[Any]
    # Called with the unit once its future is done.
    take: Callable[[Unit], None]


def _fetchers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(settings.IMPORT_THREADS, thread_name_prefix="fetch")


@dataclass(slots=True, eq=False)
class CopyTurn:
    """One turn at one import. `may_fail`: what nobody gets an answer for has failed, and is no outage."""

    run_id: int
    tree: Tree
    watch: Watch
    claims: Claims
    may_fail: bool
    # However short its time: what only ever looks around comes to no end.
    has_begun: bool = False
    # What was met that ends the turn: the rest of the files is not at fault.
    end: SourceError | OutageError | None = None
    pool: ThreadPoolExecutor = field(default_factory=_fetchers)
    # Storing must not wait behind what was asked for from the remote store.
    writer: ThreadPoolExecutor = field(default_factory=functools.partial(ThreadPoolExecutor, 1))

    @property
    def is_ending(self) -> bool:
        """Whether nothing more should be taken up: not before some of the files were, unless the store gives none."""
        return self.end is not None or (self.has_begun and self.watch.is_over)

    def ask(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Ask the remote store for something that is not a file's bytes, patiently. Raises as `Patience.call` does."""
        call = functools.partial(self.watch.patience.call, work, *args, **kwargs)
        return self.watch.wait(self.pool.submit(call))

    def sort_error(self, error: Exception) -> SourceError | None:
        """Return the error if it is the file's own; otherwise None, and the turn ends if it is everybody's."""
        if isinstance(error, OutageError) and self.may_fail:
            error = error.cause
        if isinstance(error, SourceError) and error.cause not in FATAL:
            return error
        if isinstance(error, SourceError | OutageError):
            self.end = self.end or error
        elif not isinstance(error, StoppedError | futures.CancelledError):
            raise error
        return None

    def store(
        self,
        write: Callable[[bool], StoredBytes],
        *,
        copied: Sequence[Copied],
        failed: Sequence[Failed] = (),
        parts: Collection[HeldPart],
    ) -> None:
        """Store what `write` writes, and record what becomes of the files.

        `write` is asked to write only what is not stored yet; and again, for everything, where some of what was
        stored has just been collected.
        """
        for everything in (False, True):
            stored = write(everything)
            try:
                if stored.pack_id is not None:
                    self.watch.wait(self.writer.submit(content.store_pack, stored.pack_id))
                run = record_files(self.run_id, stored=stored, copied=copied, failed=failed, parts=parts)
                break
            except VanishedBlobError:
                continue
            finally:
                if stored.pack_id is not None:
                    content.staging().remove(stored.pack_id)
        else:
            raise VanishedBlobError
        self.claims.forget_closed()
        if run.failed_in_a_row >= MOST_FAILED_IN_A_ROW and self.end is None:
            self.end = _hopeless(failed, run.failed_in_a_row)

    def close(self) -> None:
        """Let the threads end, without waiting for answers, and give back what is not done."""
        self.watch.stop.set()
        for threads in (self.pool, self.writer):
            threads.shutdown(wait=False, cancel_futures=True)
        self.claims.give_back()


def _hopeless(failed: Sequence[Failed], count: int) -> SourceError:
    last = failed[-1].error
    text = f"{count} files in a row could not be read, so the rest was not tried. The last one: {last.detail}"
    # Not one that is tried again by itself.
    return SourceError(Cause.DENIED if last.transient else last.cause, text)
