"""Try again what may work later: with growing pauses, jitter, and as long as the store asks for."""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from datasets_app.sources.base import Cause, SourceError

P = ParamSpec("P")
T = TypeVar("T")

# Tries of one request; the pauses between them are about 0.5, 1, 2, 4 seconds.
TRIES: Final = 5
# By then, what was on its way when a store fell silent has come or is lost: it tells nothing of how the store is now.
SETTLED_TRIES: Final = 2
# A store that is busy says so quickly, and it is not the object's fault.
BUSY_TRIES: Final = 12
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
# Whoever is asked to wait for longer should do something else meanwhile.
LONGEST_WAIT: Final = 30.0


class OutageError(Exception):
    """The store gives nothing to anybody at present; `cause` says why. Whatever was asked for is not at fault."""

    def __init__(self, cause: SourceError) -> None:
        super().__init__(cause.detail)
        self.cause = cause


class StoppedError(Exception):
    """Nobody wants the answer any more."""


class Patience:
    """Shared by all threads that use one store: what makes one of them slow down slows down all."""

    def __init__(self, stop: threading.Event, *, probe: Callable[[], object] | None = None) -> None:
        """`stop` ends every pause, with StoppedError. `probe` asks the store for something that it should give."""
        self.probe = probe
        self._stop = stop
        self._resume_at = 0.0
        self._answers = 0
        # How many answers there were when the store was last found silent.
        self._outage_at = -1
        self._callers = 0
        self._lock = threading.Lock()
        self._end: SourceError | None = None

    def end(self, error: SourceError) -> None:
        """Let nobody ask any more: every call raises this from now on."""
        self._end = self._end or error

    def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `work` returns; raises what it raises when no further try is of use.

        OutageError, where that is because nobody got an answer any more since its second try.
        """
        with self._lock:
            self._callers += 1
        try:
            return self._call(functools.partial(work, *args, **kwargs))
        finally:
            with self._lock:
                self._callers -= 1

    def _call(self, work: Callable[[], T]) -> T:
        answers = tries = 0
        while True:
            self._wait_until(self._resume_at)
            if self._end is not None:
                raise self._end
            try:
                result = work()
            except SourceError as error:
                tries += 1
                if tries <= SETTLED_TRIES:
                    answers = self._answers
                if not error.transient:
                    self._answers += 1
                    raise
                self._pause(error, tries, is_outage=self._answers == answers)
            else:
                # Of two threads that count at once, one may be lost; only that it changes matters.
                self._answers += 1
                return result

    def _pause(self, error: SourceError, tries: int, *, is_outage: bool) -> None:
        busy = error.cause == Cause.BUSY
        wanted = error.retry_after or 0.0
        if wanted > LONGEST_WAIT:
            raise OutageError(error) from error
        if tries >= TRIES and is_outage and (busy or not self._is_at_fault()):
            self._outage_at = self._answers
            raise OutageError(error) from error
        if tries >= (BUSY_TRIES if busy else TRIES):
            raise error
        # Jitter, so that those who failed together don't come back together.
        growing = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (tries - 1)) * random.uniform(0.5, 1.5)  # noqa: S311
        until = time.monotonic() + max(wanted * random.uniform(1.0, 1.2), growing)  # noqa: S311
        if busy:
            self._resume_at = max(self._resume_at, until)
        self._wait_until(until)

    def _is_at_fault(self) -> bool:
        """Tell whether it is what was asked for that does not come, while the store answers other questions.

        Where several wait in vain, it is the store.
        """
        if self._callers > 1 or self._outage_at == self._answers or self.probe is None:
            return False
        try:
            self.probe()
        except SourceError as error:
            return not error.transient
        return True

    def _wait_until(self, moment: float) -> None:
        while (left := moment - time.monotonic()) > 0:
            if self._stop.wait(left):
                raise StoppedError
        if self._stop.is_set():
            raise StoppedError
