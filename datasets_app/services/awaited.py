"""Answers that pages wait for while a worker makes them: asked of it once, and again only when it has died.

Beside the place of the kept answer lies a note. Who asks writes it, and who works at it touches it, each for
LEASE_SECONDS: as long as it is fresh, nobody else asks. Two workers may take up the same: both make the same answer.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from django.conf import settings

from datasets_app.queue import enqueue
from datasets_app.services import preview_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from datasets_app.previews.base import Ask


def ask_worker(task: str, *, digest: str, kind: str, ask: Ask, **arguments: Any) -> None:
    """Queue the task that makes an answer, unless it was asked for or worked at in the last LEASE_SECONDS."""
    note = _note(digest, kind, ask)
    with suppress(OSError):
        if time.time() - note.stat().st_mtime < settings.LEASE_SECONDS:
            return
        note.unlink()
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(note, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    except OSError:
        # A full disk: better asked twice than never.
        pass
    enqueue(task, **arguments)


@contextmanager
def work_at(*, digest: str, kind: str, ask: Ask) -> Iterator[None]:
    """Keep the note fresh while an answer is made; a worker that dies or fails leaves it to grow stale."""
    note, is_done = _note(digest, kind, ask), threading.Event()

    def renew() -> None:
        while True:
            with suppress(OSError):
                note.touch()
            if is_done.wait(settings.LEASE_SECONDS / 4):
                return

    renewing = threading.Thread(target=renew, daemon=True)
    renewing.start()
    try:
        yield
    finally:
        is_done.set()
        renewing.join()
    with suppress(OSError):
        note.unlink()


def _note(digest: str, kind: str, ask: Ask) -> Path:
    place = preview_cache.place_of(digest, kind, ask)
    return place.with_name(f"{place.name}.asked")
