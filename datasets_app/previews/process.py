"""Run a preview in a process of its own that can read the file and nothing else, and be killed.

The two sides speak in frames: one letter, the length (4 bytes, big-endian), the body. The worker asks for bytes
(`R`: number of the file, offset and length), the parent answers (`B`); at the end comes a page (`P`, JSON), a product
(`X`: media type, a NUL, the bytes), a stream (`S`: its size, `C` for each block, `F`), or an error (`E`, text). Where
bubblewrap is installed, the worker has no network, no other processes, a read-only disk that has hardly more than the
libraries it needs (`previews.sandbox`), and no capabilities.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any, Final, Protocol

from datasets_app.previews.base import Ask, Budget, Preview, PreviewError, Product, Reader, Stream
from datasets_app.previews.frames import HEADER, MOST_FRAME, RANGE
from datasets_app.previews.registry import module_of
from datasets_app.previews.sandbox import ROOT, Sandbox, sandboxed

# How often the worker's memory is looked at.
WATCH_SECONDS: Final = 0.05
# The most that unpacking a stream may take of a processor, half of it.
STREAM_SECONDS: Final = 1800
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class WorkerDiedError(PreviewError):
    """The worker crashed, or was killed because it went beyond its budget."""


class Worker(Protocol):
    """A running worker; what is needed of subprocess.Popen."""

    @property
    def pid(self) -> int:
        """Its number."""
        ...

    @property
    def stdin(self) -> IO[bytes] | None:
        """What it reads."""
        ...

    @property
    def stdout(self) -> IO[bytes] | None:
        """What it writes."""
        ...

    @property
    def returncode(self) -> int | Any | None:  # noqa: ANN401 - as Popen has it
        """How it ended; None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        ...


Start = Callable[[Sandbox, Budget], AbstractContextManager[Worker]]


def run_preview(  # noqa: PLR0913 - what, of which file, within which limits
    kind: str,
    reader: Reader,
    ask: Ask,
    *,
    others: Sequence[Reader] = (),
    budget: Budget | None = None,
    sandbox: Sandbox | None = None,
    start: Start | None = None,
) -> Preview | Product:
    """Make a preview of a file, or of it and `others` together, in a worker (of `start`, for drills) and return it.

    Raises PreviewError with a sentence for people, whatever the file does to the decoder.
    """
    limits = budget or Budget()
    readers = [reader, *others]
    with (start or start_worker)(sandbox or Sandbox(), limits) as process:
        channel = _Channel(process, limits)
        _ask(channel, kind, readers, ask, limits)
        return _serve(channel, readers, limits)


def stream_part(kind: str, reader: Reader, ask: Ask, *, budget: Budget, sandbox: Sandbox | None = None) -> Stream:
    """Take a part out of a file in a worker, which runs for as long as the stream is read; close it to end it early.

    Raises PreviewError before the first block, or while it is read. `budget.seconds` is the longest wait for a block.
    """
    limits = replace(budget, read_bytes=2**62)
    blocks = _stream(kind, reader, ask, limits, sandbox or Sandbox())
    return Stream(int(next(blocks)), blocks)


def _stream(kind: str, reader: Reader, ask: Ask, limits: Budget, sandbox: Sandbox) -> Iterator[bytes]:
    with start_worker(sandbox, limits) as process:
        channel = _Channel(process, limits)
        _ask(channel, kind, [reader], ask, replace(limits, seconds=STREAM_SECONDS))
        while True:
            channel.renew()
            letter, body = channel.receive()
            if letter == b"R":
                _, offset, length = RANGE.unpack(body)
                channel.send(b"B", reader.read(offset, min(length, MOST_FRAME)))
            elif letter in {b"S", b"C"}:
                yield body
            elif letter == b"F":
                return
            else:
                raise PreviewError(body.decode(errors="replace"))


def _ask(channel: _Channel, kind: str, readers: Sequence[Reader], ask: Ask, limits: Budget) -> None:
    request = {
        "kind": kind,
        # So that the worker imports this one alone.
        "module": module_of(kind),
        "ask": {"name": ask.name, "part": ask.part, "options": dict(ask.options)},
        "sizes": [one.size for one in readers],
        "budget": asdict(limits),
    }
    channel.send(b"Q", json.dumps(request).encode())


def _serve(channel: _Channel, readers: Sequence[Reader], limits: Budget) -> Preview | Product:
    left = limits.read_bytes
    while True:
        letter, body = channel.receive()
        if letter == b"R":
            number, offset, length = RANGE.unpack(body)
            left -= length
            if left < 0 or length > MOST_FRAME:
                raise PreviewError("More of the file would have to be read than a preview may.")
            channel.send(b"B", readers[number].read(offset, length))
        elif letter == b"P":
            return Preview.from_json(body)
        elif letter == b"X":
            return Product.from_bytes(body)
        elif letter == b"E":
            raise PreviewError(body.decode(errors="replace"))
        else:
            raise WorkerDiedError("The preview's process answered nonsense.")


class _Channel:
    """The pipes to a worker, with a deadline and an eye on its memory."""

    def __init__(self, process: Worker, limits: Budget) -> None:
        self._process = process
        self._limits = limits
        self._end = time.monotonic() + limits.seconds
        self._next_look = 0.0
        self._out, self._in = _pipes(process)

    def renew(self) -> None:
        """Give the worker its time anew, for the next block."""
        self._end = time.monotonic() + self._limits.seconds

    def send(self, letter: bytes, body: bytes) -> None:
        """Write a frame; the worker may be too slow, or gone."""
        frame = memoryview(HEADER.pack(letter, len(body)) + body)
        while frame:
            self._wait(self._out, write=True)
            try:
                frame = frame[os.write(self._out, frame) :]
            except BrokenPipeError:
                raise self._death() from None

    def receive(self) -> tuple[bytes, bytes]:
        """Read a frame."""
        letter, length = HEADER.unpack(self._read(HEADER.size))
        if length > MOST_FRAME or (letter in b"PX" and length > self._limits.answer_bytes):
            raise PreviewError("What there is to show is larger than a preview may be.")
        return letter, self._read(length)

    def _read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            self._wait(self._in)
            part = os.read(self._in, length - len(parts))
            if not part:
                raise self._death()
            parts += part
        return bytes(parts)

    def _wait(self, descriptor: int, *, write: bool = False) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT if write else select.POLLIN)
        is_ready = False
        while not is_ready:
            is_ready = bool(poll.poll(WATCH_SECONDS * 1000))
            # A worker that always has something to say is watched like one that says nothing.
            self._watch()

    def _watch(self) -> None:
        now = time.monotonic()
        if now > self._end:
            raise WorkerDiedError(f"Looking into this file took longer than {self._limits.seconds:g} seconds.")
        if now < self._next_look:
            return
        self._next_look = now + WATCH_SECONDS
        if _resident(self._process.pid) > self._limits.memory_bytes:
            mib = self._limits.memory_bytes // 2**20
            raise WorkerDiedError(f"Looking into this file needs more memory than {mib} MiB.")

    def _death(self) -> WorkerDiedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        code = self._process.returncode
        # bubblewrap passes a signal on as a shell does.
        if code is not None and (code < 0 or code > 128):  # noqa: PLR2004
            name = signal.Signals(-code if code < 0 else code - 128).name
            return WorkerDiedError(f"The decoder crashed on this file ({name}).")
        return WorkerDiedError("The decoder gave up on this file.")


def _pipes(process: Worker) -> tuple[int, int]:
    if process.stdin is None or process.stdout is None:
        raise WorkerDiedError("The preview's process has no pipes.")
    os.set_blocking(process.stdin.fileno(), False)
    return process.stdin.fileno(), process.stdout.fileno()


@contextlib.contextmanager
def start_worker(sandbox: Sandbox, limits: Budget) -> Iterator[Worker]:
    """Start a worker in its sandbox; whatever happens, it is gone at the end."""
    process = subprocess.Popen(
        sandboxed(sandbox, ["-s", "-m", "datasets_app.previews.worker"], memory_bytes=limits.memory_bytes),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        cwd=ROOT,
        env=_environment(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        # One thread each: many previews may run at once. The pools of Arrow's own would reserve memory ahead.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def _resident(pid: int) -> int:
    """Bytes of memory that a process and its descendants hold."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE_BYTES
            waiting += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
    return total
