"""Workers for drills of thousands of previews: forked from a process that has loaded the libraries, in some 5 ms.

A forked worker runs the same `worker.main` with the same pipes and limits, but outside bubblewrap.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from datasets_app.previews.base import Budget
    from datasets_app.previews.sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "datasets_app.previews.registry pyarrow.dataset "
    "PIL.Image PIL.ImageOps pyarrow.parquet pyarrow.csv pyarrow.json duckdb av h5py pypdfium2 pygments markdown_it"
)


class Child:
    """A forked worker, as `process` sees its own: pipes, a pid, and a wait."""

    def __init__(self, nursery: Nursery, pid: int, source: int, sink: int) -> None:
        self.pid = pid
        self.stdin, self.stdout = os.fdopen(sink, "wb", buffering=0), os.fdopen(source, "rb", buffering=0)
        self.returncode: int | None = None
        self._nursery = nursery

    def wait(self, timeout: float | None = None) -> int:
        """Ask the nursery, whose child it is; it ends by itself or was killed."""
        del timeout
        if self.returncode is None:
            self.returncode = self._nursery.wait()
        return self.returncode


class Nursery:
    """The process that forks; `peak` is the most memory (bytes) that any child has held so far."""

    def __init__(self) -> None:
        self.peak = 0
        self._ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.previews.nursery", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        theirs.close()

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._ours.close()
        self._process.wait()

    @contextlib.contextmanager
    def start(self, _sandbox: Sandbox, _limits: Budget) -> Iterator[Child]:
        """Fork a worker, as `process.start_worker` starts one."""
        (their_in, our_out), (our_in, their_out) = os.pipe(), os.pipe()
        socket.send_fds(self._ours, [b"F"], [their_in, their_out])
        os.close(their_in)
        os.close(their_out)
        child = Child(self, int(self._ours.recv(20)), our_in, our_out)
        os.set_blocking(our_out, False)
        try:
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            child.stdin.close()
            child.stdout.close()
            child.wait()

    def wait(self) -> int:
        """Wait for the only child; return its exit code, or the signal as a negative number."""
        self._ours.send(b"W")
        status, peak = map(int, self._ours.recv(100).split())
        self.peak = max(self.peak, peak * 1024)
        return os.waitstatus_to_exitcode(status)

    def children(self) -> list[psutil.Process]:
        """Return the workers that are still there."""
        return psutil.Process(self._process.pid).children()


def main(descriptor: int) -> None:
    """Fork when told to, and tell how the children ended."""
    import importlib

    from datasets_app.previews import worker

    for name in LIBRARIES.split():
        importlib.import_module(name)
    control = socket.socket(fileno=descriptor)
    pid = 0
    while True:
        message, pipes, _, _ = socket.recv_fds(control, 1, 2)
        if not message:
            return
        if message == b"W":
            _, status, usage = os.wait4(pid, 0)
            control.send(b"%d %d" % (status, usage.ru_maxrss))
            continue
        pid = os.fork()
        if pid == 0:
            control.close()
            os.dup2(pipes[0], 0)
            os.dup2(pipes[1], 1)
            os.closerange(3, 64)
            worker.main()
            os._exit(0)
        for pipe in pipes:
            os.close(pipe)
        control.send(b"%d" % pid)


if __name__ == "__main__":
    main(int(sys.argv[1]))
