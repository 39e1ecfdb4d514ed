"""What moves bytes from a server to a client: in the kernel where it can, through memory elsewhere."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from typing import Final

# What one wake-up moves at most, so that one fast transfer does not starve the others.
PIPE_BYTES: Final = 1 << 20
# Empty pipes that are kept.
KEPT: Final = 8


class SplicePipe:
    """A pipe of the kernel: no byte comes to this process. `held` have left the server, but not reached the client."""

    def __init__(self) -> None:
        self.held = 0
        self._out, self._in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        # An ordinary user may hold only so many pages in pipes; beyond, it stays at the usual 64 KiB.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._in, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def fill(self, source: socket.socket) -> int:
        """Take what is there; 0 at the end of the stream."""
        count = os.splice(source.fileno(), self._in, PIPE_BYTES)
        self.held += count
        return count

    def drain(self, sink: socket.socket) -> None:
        """Give what the client takes."""
        self.held -= os.splice(self._out, sink.fileno(), self.held)

    def close(self) -> None:
        """Drop what is held."""
        os.close(self._out)
        os.close(self._in)


class CopyPipe:
    """The same through memory."""

    def __init__(self) -> None:
        self.held = 0
        self._data = memoryview(b"")

    def fill(self, source: socket.socket) -> int:
        """Take what is there; 0 at the end of the stream."""
        self._data = memoryview(source.recv(PIPE_BYTES // 4))
        self.held = len(self._data)
        return self.held

    def drain(self, sink: socket.socket) -> None:
        """Give what the client takes."""
        self._data = self._data[sink.send(self._data) :]
        self.held = len(self._data)

    def close(self) -> None:
        """Drop what is held."""
        self._data = memoryview(b"")
        self.held = 0


Pipe = SplicePipe | CopyPipe
CAN_SPLICE: Final = hasattr(os, "splice") and hasattr(fcntl, "F_SETPIPE_SZ")


class Pipes:
    """Empty pipes for use again: most transfers need one for a moment only."""

    def __init__(self, *, splice: bool = CAN_SPLICE) -> None:
        self._kind: type[Pipe] = SplicePipe if splice else CopyPipe
        self._empty: list[Pipe] = []

    def take(self) -> Pipe:
        """Return a pipe that holds nothing."""
        return self._empty.pop() if self._empty else self._kind()

    def close(self) -> None:
        """Close those that are empty."""
        while self._empty:
            self._empty.pop().close()

    def give_back(self, pipe: Pipe) -> None:
        """Keep it when it is empty; what a broken connection left in it is dropped with it."""
        if pipe.held or len(self._empty) >= KEPT:
            pipe.close()
        else:
            self._empty.append(pipe)
