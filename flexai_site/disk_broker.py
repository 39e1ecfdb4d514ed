"""A Celery broker in a folder: kombu's filesystem transport with four of its faults mended.

kombu writes a message under its final name, so that a worker may read half of it, and moves a message that it
takes into the system's temporary folder, which may be another disk. Here a message appears whole, and stays in the
broker's folder. And kombu looks for messages only now and then; here a named pipe beside them wakes a worker at once.
Last, it knows no event loop, with which a worker survives the death of any of its processes (see `Transport`).
"""

import logging
import os
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu import Connection
from kombu.asynchronous import Hub
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads
from typing_extensions import override

logger = logging.getLogger(__name__)

WAKE = "wake"


class Channel(filesystem.Channel):
    """Queues as files named `<time>_<id>.<queue>.msg`, oldest first."""

    @override
    def _put(self, queue: str, payload: Any, **_kwargs: Any) -> None:  # type: ignore[override]
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020}_{uuid.uuid4().hex}.{queue}.msg"
        draft = folder / f"{name}.draft"
        draft.write_text(dumps(payload))
        draft.rename(folder / name)
        # No worker runs, or its pipe is full: it will look for messages in any case.
        with suppress(OSError):
            pipe = os.open(Path(self.control_folder) / WAKE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(pipe, "wb", buffering=0) as waker:
                waker.write(b"!")

    @override
    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = Path(self.data_folder_in)
        ending = f".{queue}.msg"
        # listdir: this runs at each turn of the worker, and Path.iterdir makes an object for each file of a long queue.
        for name in sorted(name for name in os.listdir(folder) if name.endswith(ending)):  # noqa: PTH208
            taken = folder / f"{name}.taken-{os.getpid()}"
            try:
                # Of several workers, only the first can rename it.
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue
            text = taken.read_text()
            taken.unlink()
            try:
                return loads(text)
            except ValueError:
                # A power cut may leave an empty file. The rows hold the work, so that nothing is lost with a message.
                logger.warning("The message %s can't be read and was dropped.", name)
        raise Empty


class Transport(filesystem.Transport):
    """For Celery's `broker_transport`."""

    Channel = Channel

    # Says that `register_with_event_loop` is there. Without it, Celery gives tasks to its processes through one pipe
    # with a lock, and a process that is killed while it waits for a task keeps that lock: no task would run any more.
    implements = filesystem.Transport.implements.extend(asynchronous=True)

    def __init__(self, client: Connection, **options: Any) -> None:
        super().__init__(client, **options)
        self._folder = Path((client.transport_options or {})["control_folder"])
        self._loop: Hub | None = None
        self._pipe: int | None = None

    @override
    def register_with_event_loop(self, connection: Any, loop: Hub) -> None:
        """Look for messages at each turn of the loop, and have a turn when one is sent, or now and then.

        Of several workers the first one awake empties the pipe. The others find what is left by looking now and then.
        """
        self._loop = loop
        loop.on_tick.add(self._take)  # type: ignore[attr-defined]  # a set, a list only in its stub
        loop.call_repeatedly(float(self.polling_interval or 1), _have_a_turn)
        self._pipe = _open_pipe(self._folder / WAKE)
        if self._pipe is not None:
            loop.add_reader(self._pipe, self._empty_pipe)

    @override
    def close_connection(self, connection: Any) -> None:
        if self._loop is not None:
            # It turns on while the worker's processes end their tasks.
            self._loop.on_tick.discard(self._take)  # type: ignore[attr-defined]
            if self._pipe is not None:
                self._loop.remove(self._pipe)
                os.close(self._pipe)
            self._loop = self._pipe = None
        super().close_connection(connection)

    def _take(self) -> None:
        """Deliver what is there, as much as the worker wants now."""
        with suppress(Empty):
            while True:
                self.cycle.get(self._deliver)  # type: ignore[union-attr]  # None only in its stub
                if self._pipe is not None:
                    # The pool may have had its part of this turn already: the next one is to come at once.
                    with suppress(BlockingIOError):
                        os.write(self._pipe, b"!")

    def _empty_pipe(self) -> None:
        if self._pipe is not None:
            with suppress(BlockingIOError):
                os.read(self._pipe, 4096)


def _have_a_turn() -> None:
    """Do nothing: it is enough that the loop turns."""


def _open_pipe(place: Path) -> int | None:
    """Open the pipe to read from it; None where the disk knows no pipes."""
    try:
        with suppress(FileExistsError):
            os.mkfifo(place, 0o600)
        # To write, too: else it would be at its end, and no reason to wait, whenever a sender has closed it.
        return os.open(place, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
