"""The process that looks into a file for `previews.process`: one request, one answer, then it ends."""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import threading
from typing import BinaryIO, cast

from datasets_app.previews.base import Ask, Kind, PreviewError, Product, Stream
from datasets_app.previews.frames import HEADER, MOST_FRAME, RANGE


class PipedReader:
    """A file whose bytes the parent gives on request. Libraries may read from threads of their own."""

    def __init__(self, channel: Channel, number: int, size: int) -> None:
        self._channel, self._number = channel, number
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Ask the parent."""
        length = max(0, min(length, self.size - offset))
        parts = []
        while length > 0:
            part = self._channel.ask(RANGE.pack(self._number, offset, min(length, MOST_FRAME // 4)))
            if not part:
                raise PreviewError("The file ends too early.")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)


class Channel:
    """The two pipes."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source, self._sink = source, sink
        self._lock = threading.Lock()

    def ask(self, body: bytes) -> bytes:
        """Send a request for bytes, and wait for them."""
        with self._lock:
            self.send(b"R", body)
            return self.receive()

    def tell(self, letter: bytes, body: bytes) -> None:
        """Send a part of the answer. Not amid the question of a library's thread, which goes on reading."""
        with self._lock:
            self.send(letter, body)

    def send(self, letter: bytes, body: bytes) -> None:
        """Write a frame."""
        self._sink.write(HEADER.pack(letter, len(body)) + body)
        self._sink.flush()

    def receive(self) -> bytes:
        """Read a frame's body."""
        _, length = HEADER.unpack(self._source.read(HEADER.size))
        return self._source.read(length)


def main() -> None:
    """Answer the one request on standard input."""
    # Whatever a library prints must not come between the frames.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    channel = Channel(cast("BinaryIO", sys.stdin.buffer), sink)
    request = json.loads(channel.receive())
    _limit(request["budget"])
    ask = Ask(**request["ask"])
    readers = [PipedReader(channel, number, size) for number, size in enumerate(request["sizes"])]
    try:
        answer = _kind(*request["module"]).show_together(readers, ask)
        if isinstance(answer, Stream):
            channel.tell(b"S", str(answer.size).encode())
            for block in answer.blocks:
                channel.tell(b"C", block)
            channel.tell(b"F", b"")
        elif isinstance(answer, Product):
            channel.tell(b"X", answer.to_bytes())
        else:
            channel.tell(b"P", answer.to_json())
    except PreviewError as error:
        channel.tell(b"E", str(error).encode())
    except MemoryError:
        channel.tell(b"E", b"Looking into this file needs more memory than a preview may have.")
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they like at a broken file
        detail = " ".join(str(error).split())[:300]
        channel.tell(b"E", f"It can't be read: {detail or type(error).__name__}".encode())


def _kind(module: str, name: str) -> Kind:
    """Import one kind, not the registry: the others take longer to import than many a file to show."""
    return cast("Kind", getattr(importlib.import_module(module), name)())


def _limit(budget: dict[str, float]) -> None:
    seconds = int(budget["seconds"]) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (2 * seconds, 2 * seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Far above the memory that the parent watches, since libraries reserve more than they use.
    most = int(budget["memory_bytes"]) * 8
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(budget["memory_bytes"]),) * 2)


if __name__ == "__main__":
    main()
    # Libraries' threads and destructors have nothing more to say.
    sys.stdout.flush()
    os._exit(0)
