"""Kill -9 of web server and worker at random moments: no acknowledged byte is lost, nothing is half visible."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from typing_extensions import override

from tests.killing import Killer
from tests.servers import LiveApplication, serve_with_account
from tests.store.naive import digest_of
from tests.uploads.live_sender import LiveSender

pytestmark = pytest.mark.server


class PartKiller(Killer):
    """Kills the application or a part of it, and starts the application again when all of it has ended."""

    pauses = (0.05, 1.5)

    def __init__(self, application: LiveApplication, chance: random.Random, kills: int) -> None:
        super().__init__(application, chance, kills)
        self.done: list[str] = []

    @override
    def kill(self, number: int) -> None:
        # Each kind at least once in any five.
        kind = ("web child", "worker child", "everything", "web", "worker")[number % 5]
        self._kill(kind)
        self.done.append(kind)

    def _kill(self, kind: str) -> None:
        if kind == "everything":
            self._application.kill()
        else:
            role, _, child = kind.partition(" ")
            pids = self._application.pids(role)
            doomed = [self._chance.choice(pids[1:])] if child and len(pids) > 1 else pids[:1]
            for pid in doomed:
                os.kill(pid, signal.SIGKILL)
            if child:
                return
            # The rest ends by itself when one of the two has died.
            self._application.process.wait(30)
        self._application.start()


def make_files(chance: random.Random, round_number: int) -> dict[str, bytes]:
    """Some small files in folders, some large ones, some that are there already."""
    files = {f"s/{chance.randrange(5)}/{n}": chance.randbytes(chance.randint(0, 20_000)) for n in range(30)}
    files |= {f"large/{n}.bin": chance.randbytes(chance.randint(250_000, 1_500_000)) for n in range(2)}
    return files | {"same everywhere": b"same" * 1000, "é/unicode": str(round_number).encode()}


def check_visible(sender: LiveSender, wanted: Mapping[int, Mapping[str, bytes]]) -> None:
    """See that each version is whole and right, or not to be seen at all."""
    for number, files in wanted.items():
        version = sender.call("GET", f"{sender.versions}/{number}").json()
        tree = sender.call("GET", f"{sender.versions}/{number}/tree")
        if version["status"] != "available" and tree.status_code == 200:
            # It may have become so between the two questions.
            version = sender.call("GET", f"{sender.versions}/{number}").json()
        if version["status"] == "available":
            assert (version["digest"], version["file_count"]) == (digest_of(files), len(files))
        else:
            assert tree.status_code in {404, 409}
            assert (version["digest"], version["file_count"]) == (None, 0)


def check_store(folder: Path) -> int:
    """Hash every blob where the database says that it lies; return how many there are."""
    query = """SELECT b.sha256, b.size, b."offset", p."key", p.size FROM datasets_app_blob b
               JOIN datasets_app_pack p ON p.id = b.pack_id"""
    with closing(sqlite3.connect(f"file:{folder / 'db.sqlite3'}?mode=ro", uri=True)) as database:
        rows = database.execute(query).fetchall()
        open_ones = database.execute("SELECT count(*) FROM datasets_app_directory WHERE NOT closed").fetchone()
        dangling = database.execute("PRAGMA foreign_key_check").fetchall()
    for digest, size, offset, key, pack_size in rows:
        pack = folder / "packs" / key
        assert pack.stat().st_size == pack_size
        with pack.open("rb") as file:
            file.seek(offset)
            assert hashlib.sha256(file.read(size)).digest() == digest
    assert (open_ones, dangling) == ((0,), [])
    return len(rows)


def drill(folder: Path, *, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    # Short leases: a dead worker's seal is taken up in seconds. A part of the large files is finished by the worker,
    # where the process that has hashed what arrived is dead.
    settings = {"LEASE_SECONDS": "5", "REAP_SECONDS": "1", "FINISHED_IN_REQUEST_BYTES": "400000"}
    with serve_with_account(folder, **settings) as application:
        sender = LiveSender(application, "killed", random.Random(seed + 1))
        sender.create_dataset()
        wanted: dict[int, dict[str, bytes]] = {}
        with PartKiller(application, chance, kills) as killer:
            while killer.is_alive() or not wanted:
                files = make_files(sender.chance, len(wanted))
                base = max(wanted, default=None) if sender.chance.random() < 0.5 else None
                number = sender.create_version(base)
                wanted[number] = (wanted[base] if base else {}) | files
                sender.fill(number, files)
                check_visible(sender, wanted)
                sender.seal(number)
        assert killer.error is None
        assert len(killer.done) == kills
        # A clash of names would be a fault of the drill.
        assert all(len(set(files)) == len(files) for files in wanted.values())
        check_visible(sender, wanted)
        for number, files in wanted.items():
            for path in sender.chance.sample(sorted(files), 3):
                assert sender.call("GET", f"{sender.versions}/{number}/files/{path}").content == files[path]
        assert check_store(folder) > 30
        # The kills were noticed, and there was something to lose.
        assert sender.acknowledged
        assert sender.retries


def test_killed_five_times(tmp_path: Path) -> None:
    drill(tmp_path / "application", kills=5, seed=5)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(5))
def test_killed_fifty_times(tmp_path: Path, seed: int) -> None:
    drill(tmp_path / "application", kills=10, seed=100 + seed)
