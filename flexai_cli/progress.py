"""How far a push or a pull is: counters that the workers raise, and a display that looks at them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Progress:
    """Counters; files and bytes. `total_*` are None until everything was found.

    handled: hashed and known to be there, or fetched. moved: bytes that travelled. saved: bytes that need not travel.
    begun: bytes of those files, not handled yet, on which work is under way.
    """

    total_files: int | None = None
    total_bytes: int | None = None
    handled_files: int = 0
    handled_bytes: int = 0
    moved_bytes: int = 0
    saved_bytes: int = 0
    begun_bytes: int = 0
    stage: str = ""
    started: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def handled(self, files: int, size: int) -> None:
        """Count files that are done."""
        with self._lock:
            self.handled_files += files
            self.handled_bytes += size

    def moved(self, size: int) -> None:
        """Count bytes that travelled."""
        with self._lock:
            self.moved_bytes += size

    def saved(self, size: int) -> None:
        """Count bytes that were there already."""
        with self._lock:
            self.saved_bytes += size

    @contextmanager
    def begun(self) -> Iterator[Callable[[int], None]]:
        """Count a large file while it is worked on: call what is given with the bytes that were reached so far."""
        counted = 0

        def reach(size: int) -> None:
            nonlocal counted
            with self._lock:
                self.begun_bytes += size - counted
            counted = size

        try:
            yield reach
        finally:
            # It is counted as a whole from here on, or has failed.
            reach(0)

    def restart(self, stage: str) -> None:
        """Begin another walk over the same files."""
        with self._lock:
            self.stage = stage
            self.handled_files = self.handled_bytes = self.begun_bytes = 0
            self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since this stage began."""
        return max(time.monotonic() - self.started, 1e-6)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while the work goes on. These counters show nothing; `display.Bars` does."""
        yield
