"""A Celery broker in a folder: kombu's filesystem transport with two of its faults mended.

kombu writes a message under its final name, so that a worker may read half of it, and moves a message that it
takes into the system's temporary folder, which may be another disk. Here a message appears whole, and stays in the
broker's folder.
"""

import os
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import filesystem
from kombu.utils.json import dumps, loads
from typing_extensions import override


class Channel(filesystem.Channel):
    """Queues as files named `<time>_<id>.<queue>.msg`, oldest first."""

    @override
    def _put(self, queue: str, payload: Any, **_kwargs: Any) -> None:  # type: ignore[override]
        folder = Path(self.data_folder_out)
        name = f"{time.time_ns():020}_{uuid.uuid4().hex}.{queue}.msg"
        draft = folder / f"{name}.draft"
        draft.write_text(dumps(payload))
        draft.rename(folder / name)

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
