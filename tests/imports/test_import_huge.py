"""One enormous object: in bounded memory, and after the death of a worker not from its beginning."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.imports import test_import_killed
from tests.imports.huge import KEY, HugeStore
from tests.imports.test_import_killed import application, row, start_import, wait_for_version
from tests.servers import LiveApplication, S3Server

__all__ = ["application"]

pytestmark = [pytest.mark.server, pytest.mark.nightly]

# The disk has to hold it: 50 on a machine of one's own.
GIB = int(os.environ.get("HUGE_GIB", "3"))
DURABLE = 2**29
MOST_MEMORY_MIB = 400
SECONDS = 3600


def durable_bytes(app: LiveApplication) -> int:
    """How much of the object a new worker need not fetch."""
    with closing(sqlite3.connect(f"file:{app.folder}/db.sqlite3?mode=ro", uri=True, timeout=30)) as database:
        found = database.execute("SELECT max(staged_size) FROM datasets_app_importpart").fetchone()
    return int(found[0] or 0)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for it, for very long."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def peaks(app: LiveApplication) -> dict[int, int]:
    """The largest memory in MiB of each of the worker's processes."""
    found = {}
    for pid in app.pids("worker"):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        found[pid] = sum(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
    return found


def digest_of(store: HugeStore) -> str:
    """Return the digest of a version that holds the object alone."""
    entry = f"file {store.digest().hex()} {store.size} {KEY}\0"
    return "sha256:" + hashlib.sha256(b"directory\n" + entry.encode()).hexdigest()


def test_it_takes_no_memory_and_goes_on_after_a_death(
    application: LiveApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_import_killed, "SECONDS", SECONDS)
    store = HugeStore(GIB * 2**30 + 12_345).start()
    try:
        run_id = start_import(application, S3Server(store.url, "key", "secret"), store.url, "huge/data")
        wait_until(lambda: durable_bytes(application) >= DURABLE)
        before = peaks(application)
        # Who is at it has the most memory.
        os.kill(max(before, key=lambda pid: before[pid]), signal.SIGKILL)
        store.forget()
        digest = wait_for_version(application, run_id)
        again = store.offsets()
    finally:
        store.stop()
    assert digest == digest_of(store)
    assert min(again) >= DURABLE
    ended = row(application, run_id)
    assert (ended["status"], ended["failed_files"], ended["copied_size"]) == ("finished", 0, store.size)
    assert max([*before.values(), *peaks(application).values()]) < MOST_MEMORY_MIB
