"""Carry a run's standard output and error from a pipe into a log file of bounded size."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread
from typing import Final

BLOCK: Final = 64 * 1024
TAIL_BYTES: Final = 64 * 1024


class LogPump(Thread):
    """Drains the pipe until its last writer is gone, so that a run never waits for its log.

    Keeps the first `limit` bytes and, of a longer log, the last 64 KiB, where a failed run says why. Closes `source`.
    """

    def __init__(self, source: int, log_path: Path, *, limit: int) -> None:
        super().__init__(name="job-log", daemon=True)
        self._source = source
        # Opened here, so that a log that can't be written fails the start and not a thread.
        self._log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        self._room = limit
        self._left_out = 0
        self._tail = bytearray()

    @property
    def tail(self) -> str:
        """The end of what was printed so far."""
        return bytes(self._tail).decode(errors="replace")

    def run(self) -> None:
        """Copy until the end."""
        try:
            while block := os.read(self._source, BLOCK):
                self._take(block)
            if self._left_out:
                kept = self._tail[-min(len(self._tail), self._left_out) :]
                between = self._left_out - len(kept)
                self._write(f"\n[flexai: the log is truncated here, {between} bytes are left out]\n".encode() + kept)
        finally:
            os.close(self._source)
            os.close(self._log)

    def _take(self, block: bytes) -> None:
        self._tail = (self._tail + block)[-TAIL_BYTES:]
        if kept := block[: self._room]:
            self._write(kept)
            self._room -= len(kept)
        self._left_out += len(block) - len(kept)

    def _write(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._log, view) :]
        except OSError:
            # A full disk costs the log, not the run; the supervisor watches the disk.
            self._room = 0
