"""How much of a machine's workers one kind of work may take: places that the kernel frees when their holder dies."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings


@contextmanager
def hold_slot(kind: str, count: int) -> Iterator[bool]:
    """Hold one of this machine's `count` slots for work of this kind; False when all are taken."""
    folder = settings.SLOTS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        with (folder / f"{kind}-{socket.gethostname()}-{number}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield True
            return
    yield False
