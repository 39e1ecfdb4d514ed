"""A Celery broker in a folder: kombu's filesystem transport with three of its faults mended.

kombu writes a message under its final name, so that a worker may read half of it, and moves a message that it
takes into the system's temporary folder, which may be another disk. Here a message appears whole, and stays in the
broker's folder. And kombu looks for messages only now and then; here a named pipe beside them wakes a worker at once.
"""

import os
import select
import time
import uuid
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from kombu import Connection
from kombu.transport import filesystem
from kombu.utils.json import dumps, loads
from typing_extensions import override

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
        # listdir: this runs 20 times a second, and Path.iterdir makes an object for every file of a long queue.
        for name in sorted(name for name in os.listdir(folder) if name.endswith(ending)):  # noqa: PTH208
            taken = folder / f"{name}.taken-{os.getpid()}"
            try:
                # Of several workers, only the first can rename it.
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue
            text = taken.read_text()
            taken.unlink()
            return loads(text)
        raise Empty


class Transport(filesystem.Transport):
    """For Celery's `broker_transport`."""

    Channel = Channel

    def __init__(self, client: Connection, **options: Any) -> None:
        super().__init__(client, **options)
        self._folder = Path((client.transport_options or {})["control_folder"])
        self._pipe: int | None = None

    @override
    def drain_events(self, connection: Any, timeout: float | None = None, **_others: Any) -> None:
        """Deliver a message; `socket.timeout` when none comes in time.

        Of several workers the first one awake empties the pipe. The others find what is left by looking now and then.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.cycle.get(self._deliver, timeout=timeout)  # type: ignore[union-attr]  # None only in its stub
            except Empty:
                rest = float(self.polling_interval or 1)
                left = rest if end is None else min(rest, end - time.monotonic())
                if left <= 0:
                    raise TimeoutError from None
                self._wait(left)
            else:
                return

    @override
    def close_connection(self, connection: Any) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        super().close_connection(connection)

    def _wait(self, seconds: float) -> None:
        """Sleep until something is sent, but not longer."""
        if self._pipe is None:
            self._pipe = _open_pipe(self._folder / WAKE)
        if self._pipe is None:
            time.sleep(seconds)
            return
        waiting = select.poll()
        waiting.register(self._pipe, select.POLLIN)
        if waiting.poll(seconds * 1000):
            with suppress(BlockingIOError):
                os.read(self._pipe, 4096)


def _open_pipe(place: Path) -> int | None:
    """Open the pipe to read from it; None where the disk knows no pipes."""
    try:
        with suppress(FileExistsError):
            os.mkfifo(place, 0o600)
        # To write, too: else it would be at its end, and no reason to wait, whenever a sender has closed it.
        return os.open(place, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
