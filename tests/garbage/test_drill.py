"""The real application under kill -9, with a collector that never rests: what is sealed stays, what is unused goes."""

from __future__ import annotations

import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.imports.bucket import SHARED as BUCKET
from tests.imports.bucket import s3_client, settings_of
from tests.postgresql import start_postgresql
from tests.servers import LiveApplication, S3Server, serve_application
from tests.store.naive import digest_of
from tests.uploads.live_sender import LiveSender
from tests.uploads.test_kill import PartKiller

pytestmark = pytest.mark.server

# A collection each second or so, and a grace period of seconds: long enough for a request, short enough to matter.
HURRY = {
    "LEASE_SECONDS": "5",
    "REAP_SECONDS": "1",
    "COLLECT_HOURS": "0.0002",
    "GRACE_HOURS": "0.0015",
    "COMPACT_BELOW_PERCENT": "90",
    "ALLOWED_SOURCE_NETWORKS": "127.0.0.0/8",
}
# Few, so that versions share what is just being collected.
SHARED = [bytes([number]) * (3_000 * number + 1) for number in range(12)]
Files = dict[str, bytes]
# What imports bring: a part of it is what uploads bring too.
FOLDERS: dict[str, Files] = {
    f"folder{n}": {f"shared/{m % 3}/{m}": SHARED[m] for m in range(n, 12, 3)} | {f"remote/{n}": b"remote" * (n + 1)}
    for n in range(3)
}
# A collection that was under way when all ended keeps its lease for some seconds.
COLLECT = """
import time
from datasets_app.models import CollectionRun
from datasets_app.services.garbage import collect_now
while CollectionRun.objects.active().exclude(pk__in=CollectionRun.objects.unleased()).exists():
    time.sleep(0.2)
for _ in range(2):
    run = collect_now()
    assert run.status == "finished" and not run.notes, (run.error, run.notes)
"""


class Life(threading.Thread):
    """One dataset's life: versions come, go to the trash, come back or are purged, until it is told to end."""

    def __init__(self, sender: LiveSender, end: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.sender, self._end = sender, end
        self.sealed: dict[int, Files] = {}
        self.trash: dict[int, Files] = {}
        self.rounds = 0
        # By a worker.
        self.seals = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Do one thing after another."""
        try:
            while not self._end() or not self.sealed:
                self._step()
                self.rounds += 1
        except BaseException as error:
            self.error = error
            raise

    def _step(self) -> None:
        chance = self.sender.chance
        what = chance.choice(
            ["make", "make", "make", "import", "import", "abandon", "delete", "delete", "restore", "purge", "purge"]
        )
        if what == "import":
            self._import()
        elif what == "make" or len(self.sealed) < 2:
            self._make()
        elif what == "abandon":
            number = self.sender.create_version(chance.choice([None, *self.sealed]))
            self.sender.fill(number, make_files(chance))
            # 404: it was done, but its answer was lost.
            assert self._post(number, "abandon") in {204, 404}
        elif what == "delete":
            number = chance.choice(list(self.sealed))
            status = self.sender.call("DELETE", f"{self.sender.versions}/{number}").status_code
            # 409: a version whose answer was lost started from it.
            assert status in {200, 404, 409}
            if status != 409:
                self.trash[number] = self.sealed.pop(number)
        elif self.trash:
            number = chance.choice(list(self.trash))
            files = self.trash.pop(number)
            if what == "restore":
                assert self._post(number, "restore") in {200, 404, 409}
                self.sealed[number] = files
            else:
                assert self._post(number, "purge", confirm=f"{self.sender.name}@{number}") in {204, 404}

    def _make(self) -> None:
        chance = self.sender.chance
        base = chance.choice([None, *self.sealed])
        number = self.sender.create_version(base)
        files = make_files(chance)
        self.sender.fill(number, files)
        self.sender.seal(number)
        self._note(number, base, files)

    def _import(self) -> None:
        base = self.sender.chance.choice([None, *self.sealed])
        number = self.sender.create_version(base)
        folder = self.sender.chance.choice(list(FOLDERS))
        self.sender.bring(number, "store", f"{BUCKET}/{folder}")
        self._note(number, base, FOLDERS[folder])

    def _note(self, number: int, base: int | None, files: Files) -> None:
        self.sealed[number] = (self.sealed[base] if base else {}) | files
        self.seals += 1

    def _post(self, number: int, what: str, **body: str) -> int:
        return self.sender.call("POST", f"{self.sender.versions}/{number}/{what}", json=body or None).status_code

    def check(self) -> None:
        """See that each version is what was sealed: by its digest, by its list, and a few files by their bytes."""
        for number, files in self.sealed.items():
            address = f"{self.sender.versions}/{number}"
            version = self.sender.call("GET", address).json()
            assert (version["status"], version["digest"]) == ("available", digest_of(files))
            lines = self.sender.call("GET", f"{address}/manifest").text.splitlines()
            listed = {item["path"]: item["sha256"] for item in map(json.loads, lines)}
            assert listed == {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
            for path in self.sender.chance.sample(sorted(files), min(4, len(files))):
                assert self.sender.call("GET", f"{address}/files/{path}").content == files[path]
        for number in self.trash:
            assert self.sender.call("GET", f"{self.sender.versions}/{number}").status_code == 404


class PatientKiller(PartKiller):
    """Lets at least one version be sealed between two kills: a busy machine may need long to start a worker again."""

    lives: list[Life]

    def _kill(self, kind: str) -> None:
        before = self._seals()
        # A life that waits in vain ends with an error.
        while self._seals() == before and not any(life.error for life in self.lives):
            time.sleep(self._chance.uniform(0.02, 0.3))
        super()._kill(kind)

    def _seals(self) -> int:
        return sum(life.seals for life in self.lives)


def make_files(chance: random.Random) -> Files:
    """Some that others have too, some that nobody has."""
    shared = {f"shared/{n % 3}/{n}": data for n, data in enumerate(SHARED) if chance.random() < 0.4}
    return shared | {f"own/{chance.randrange(6)}": chance.randbytes(chance.randint(1, 30_000)) for _ in range(3)}


def connect(sender: LiveSender, server: S3Server) -> None:
    """Fill a store, and give the team a connection to it."""
    client = s3_client(server)
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket=BUCKET)
    for folder, files in FOLDERS.items():
        for path, data in files.items():
            client.put_object(Bucket=BUCKET, Key=f"{folder}/{path}", Body=data)
    made = sender.call(
        "POST",
        f"/api/v1/teams/{sender.application.team}/connections",
        json={"name": "store", "provider": "minio", "values": settings_of(server)},
    )
    assert made.status_code == 201, made.text


def drill(folder: Path, server: S3Server, *, kills: int, seed: int, **variables: str) -> dict[str, int]:
    """Let three datasets live while processes are killed; return how many rounds and what was collected."""
    chance = random.Random(seed)
    with serve_application(folder, **HURRY, **variables) as application:
        application.bootstrap()
        killer = PatientKiller(application, chance, kills)
        lives: list[Life] = []
        killer.lives = lives
        for number in range(3):
            sender = LiveSender(application, f"life{number}", random.Random(seed * 10 + number))
            sender.create_dataset()
            lives.append(Life(sender, lambda: not killer.is_alive()))
        connect(lives[0].sender, server)
        killer.start()
        for life in lives:
            life.start()
        for thread in (killer, *lives):
            thread.join()
        assert [killer.error, *(life.error for life in lives)] == [None] * 4
        for life in lives:
            life.check()
    # At rest, with no grace: what nothing holds goes now, and what was moved by compaction with the second run.
    application.environment |= {"GRACE_HOURS": "0", "COMPACT_BELOW_PERCENT": "100"}
    application.manage("shell", "-c", COLLECT)
    held = check_rest(application)
    for life in lives:
        for files in (*life.sealed.values(), *life.trash.values()):
            assert {hashlib.sha256(data).digest() for data in files.values()} <= held.keys()
    return {"rounds": sum(life.rounds for life in lives), "retries": sum(life.sender.retries for life in lives)}


@contextmanager
def database(application: LiveApplication) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Ask the application's own database, past the application."""
    import sqlite3

    import psycopg

    url = application.environment.get("DATABASE_URL")
    with closing(psycopg.connect(url) if url else sqlite3.connect(application.folder / "db.sqlite3")) as connection:
        yield lambda statement: list(connection.cursor().execute(statement).fetchall())


def check_rest(application: LiveApplication) -> Mapping[bytes, int]:
    """Hash every blob where the database says that it lies; see that nothing else is stored. Sizes by digest."""
    with database(application) as ask:
        rows = ask(
            'SELECT b.sha256, b.size, b."offset", p.key FROM datasets_app_blob b '
            "JOIN datasets_app_pack p ON p.id = b.pack_id"
        )
        held = ask(
            "SELECT count(*) FROM datasets_app_blob b "
            "WHERE NOT EXISTS (SELECT 1 FROM datasets_app_file f WHERE f.blob_id = b.id) "
            "AND NOT EXISTS (SELECT 1 FROM datasets_app_stagedfile s WHERE s.blob_id = b.id)"
        )
    found: dict[bytes, int] = {}
    packs = application.folder / "packs"
    for digest, size, offset, key in rows:
        assert isinstance(digest, (bytes, memoryview))
        assert isinstance(size, int)
        assert isinstance(offset, int)
        with (packs / str(key)).open("rb") as file:
            file.seek(offset)
            assert hashlib.sha256(file.read(size)).digest() == bytes(digest)
        found[bytes(digest)] = size
    stored = [
        path.stat().st_size
        for path in packs.rglob("*")
        if path.is_file() and path.relative_to(packs).parts[0] not in {"manifests", "slices"}
    ]
    assert held == [(0,)]
    assert sum(stored) == sum(found.values())
    return found


def test_killed_three_times(tmp_path: Path, s3_server: S3Server) -> None:
    figures = drill(tmp_path / "application", s3_server, kills=3, seed=4)
    assert figures["rounds"] > 5


@pytest.mark.nightly
@pytest.mark.parametrize("vendor", ["sqlite", "postgresql"])
@pytest.mark.parametrize("seed", range(3))
def test_killed_twenty_times(tmp_path: Path, s3_server: S3Server, vendor: str, seed: int) -> None:
    variables = {"DATABASE_URL": start_postgresql()} if vendor == "postgresql" else {}
    figures = drill(tmp_path / "application", s3_server, kills=20, seed=500 + seed, **variables)
    assert figures["rounds"] > 30
