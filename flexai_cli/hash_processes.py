"""Processes that hash many small files side by side, where there are enough of them to be worth the start."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from flexai_cli.hash_process import Answer, Asked, hash_files, receive, send

# Two processes are started in the time that so many files take.
WORTH_FILES: Final = 4_000


class HashProcesses:
    """As many processes as there are threads that ask, started once `WORTH_FILES` were hashed without them."""

    def __init__(self, count: int) -> None:
        self._count = count if sys.executable else 0
        self._lock = threading.Lock()
        self._done = 0
        self._begun = 0
        self._free: list[subprocess.Popen[bytes]] = []

    def hash(self, files: Sequence[Asked]) -> list[Answer]:
        """Hash small files, in a process or here; may be called by many threads."""
        process = self._take(len(files))
        if process is None:
            return hash_files(files)
        try:
            send(process.stdin, [(source, tuple(about)) for source, about in files])  # type: ignore[arg-type]
            found: list[Answer] = receive(process.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError):
            # It was killed, perhaps for want of memory.
            _end(process)
            return hash_files(files)
        except BaseException:
            _end(process)
            raise
        with self._lock:
            if self._count:
                self._free.append(process)
                return found
        # It was closed meanwhile: a walk that is broken off does not wait for its threads.
        _end(process)
        return found

    def close(self) -> None:
        """End them."""
        with self._lock:
            self._count = 0
            while self._free:
                _end(self._free.pop())

    def _take(self, files: int) -> subprocess.Popen[bytes] | None:
        with self._lock:
            self._done += files
            if self._done <= WORTH_FILES or not self._count:
                return None
            if self._free:
                return self._free.pop()
            if self._begun == self._count:
                return None
            self._begun += 1
        command = [sys.executable, "-m", "flexai_cli.hash_process"]
        with suppress(OSError):
            return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process that may be in the midst of something; it has nothing to lose."""
    process.kill()
    for pipe in (process.stdin, process.stdout):
        # What it was to be told goes with it.
        with suppress(OSError):
            if pipe is not None:
                pipe.close()
    process.wait()
