"""The whole application at an import, while its workers and the store are killed: the result is a plain copy's."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.imports.bucket import Bucket
from tests.imports.front import S3Front, serve_front
from tests.servers import LiveApplication, S3Server, serve_s3_process, serve_with_account
from tests.store.naive import digest_of

pytestmark = pytest.mark.server

MIB = 2**20
SECONDS = 120


@pytest.fixture
def application(tmp_path: Path) -> Iterator[LiveApplication]:
    """An application that notices soon when a worker is gone."""
    settings = {"ALLOWED_SOURCE_NETWORKS": "127.0.0.0/8", "LEASE_SECONDS": "5", "REAP_SECONDS": "1"}
    with serve_with_account(tmp_path / "application", **settings) as application:
        yield application


def start_import(app: LiveApplication, server: S3Server, endpoint: str, source_path: str) -> int:
    """Start an import by the services, as a page does, in a process of its own; return its id."""
    code = f"""
from datasets_app.models import User
from datasets_app.services.connections import create_connection
from datasets_app.services.imports import import_dataset
actor = User.objects.get(username={app.username!r})
values = {{"endpoint": {endpoint!r}, "access": "keys"}}
values |= {{"access_key": {server.access_key!r}, "secret_key": {server.secret_key!r}}}
connection = create_connection(actor, team={app.team!r}, name="store", provider="minio", values=values)
print(import_dataset(actor, team={app.team!r}, name="images", connection=connection, source_path={source_path!r}).pk)
"""
    return int(app.manage("shell", "--no-imports", "-c", code).strip().splitlines()[-1])


def row(app: LiveApplication, run_id: int) -> dict[str, Any]:
    """Read an import's row as it is now."""
    with closing(sqlite3.connect(f"file:{app.folder}/db.sqlite3?mode=ro", uri=True, timeout=30)) as database:
        database.row_factory = sqlite3.Row
        found = database.execute("SELECT * FROM datasets_app_import WHERE id = ?", [run_id]).fetchone()
    return dict(found)


def wait_for_version(app: LiveApplication, run_id: int) -> str:
    """Wait until the version is sealed; return its digest."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        status, body = app.request("GET", f"/api/v1/teams/{app.team}/datasets/images/versions/1")
        assert status == 200, body
        version = json.loads(body)
        if version["status"] == "available":
            return str(version["digest"])
        assert version["status"] != "error", version
        time.sleep(0.1)
    raise AssertionError(f"not within {SECONDS} s: {row(app, run_id)}")


def make_files(seed: int, count: int, large: int) -> dict[str, bytes]:
    """Small files, and a large one of so many MiB."""
    noise = random.Random(seed)
    files = {f"dir{n % 9}/file{n:04}": noise.randbytes(noise.randrange(3000)) for n in range(count)}
    return files | {"large.bin": noise.randbytes(large * MIB + 5)}


def busy_workers(app: LiveApplication) -> list[int]:
    """Return the worker's pool processes that have a turn at an import: each holds a slot, by a lock of its own."""
    slots = {file.stat().st_ino for file in (app.folder / "slots").glob("imports-*")}
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    # 1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF; those who wait for one have an arrow.
    held = {int(words[4]) for words in locks if words[1] == "FLOCK" and int(words[5].rpartition(":")[2]) in slots}
    return sorted(held & set(app.pids("worker")))


def leases(app: LiveApplication) -> set[str]:
    """Return the tokens of the leases on imports and their parts."""
    with closing(sqlite3.connect(f"file:{app.folder}/db.sqlite3?mode=ro", uri=True, timeout=30)) as database:
        return {
            str(token)
            for table in ("import", "importpart")
            for (token,) in database.execute(
                f"SELECT lease_token FROM datasets_app_{table} WHERE lease_token IS NOT NULL"
            )
        }


def kill_a_worker(app: LiveApplication, noise: random.Random) -> None:
    """Kill a pool process amid its turn at the import, as the kernel does when memory runs out."""
    end = time.monotonic() + SECONDS
    while True:
        held, busy = leases(app), busy_workers(app)
        if held and busy:
            doomed = noise.choice(busy)
            # Nothing has changed hands while we looked: whoever is stopped now is at work.
            os.kill(doomed, signal.SIGSTOP)
            if doomed in busy_workers(app) and leases(app) & held:
                os.kill(doomed, signal.SIGKILL)
                return
            os.kill(doomed, signal.SIGCONT)
        assert time.monotonic() < end, f"nobody was found at work within {SECONDS} s: the import has ended before"
        time.sleep(0.02)


def drill(app: LiveApplication, server: S3Server, front: S3Front, *, deaths: int, count: int, seed: int) -> None:
    """Kill worker processes at random moments of one import."""
    noise = random.Random(seed)
    bucket = Bucket(server)
    files = make_files(seed, count, large=20)
    bucket.put(files)
    # Slow enough for the deaths to find it at work.
    front.fail(rf"GET /{bucket.name}/dir", times=-1, delay=0.05)
    run_id = start_import(app, server, front.url, bucket.name)
    for _ in range(deaths):
        time.sleep(noise.uniform(0.2, 1.5))
        kill_a_worker(app, noise)
    ended = row(app, run_id)
    # Every death has hit an import that was not done.
    assert ended["status"] in {"listing", "copying"}
    assert ended["copied_files"] < len(files)
    front.recover()

    assert wait_for_version(app, run_id) == digest_of(files)
    ended = row(app, run_id)
    assert (ended["status"], ended["failed_files"]) == ("finished", 0)
    assert ended["copied_files"] + ended["linked_files"] == ended["listed_files"] == len(files)


def test_workers_may_be_killed(application: LiveApplication, s3_server: S3Server, front: S3Front) -> None:
    drill(application, s3_server, front, deaths=3, count=900, seed=5)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", [11, 12])
def test_workers_may_be_killed_many_times(
    application: LiveApplication, s3_server: S3Server, front: S3Front, seed: int
) -> None:
    drill(application, s3_server, front, deaths=10, count=6000, seed=seed)


def test_the_store_itself_may_be_killed_and_come_back(application: LiveApplication, tmp_path: Path) -> None:
    """SeaweedFS, by SIGKILL and with nothing between: connections that break, then none, then the same objects."""
    folder = tmp_path / "s3"
    folder.mkdir()
    with serve_s3_process(folder) as store:
        bucket = Bucket(store.server)
        files = make_files(9, 3000, large=12)
        bucket.put(files)
        run_id = start_import(application, store.server, store.server.endpoint, bucket.name)
        end = time.monotonic() + SECONDS
        while not row(application, run_id)["listed_files"] and time.monotonic() < end:
            time.sleep(0.01)
        store.kill()
        ended = row(application, run_id)
        assert ended["status"] in {"listing", "copying"}
        assert ended["copied_files"] < len(files)
        time.sleep(2)
        store.start()

        assert wait_for_version(application, run_id) == digest_of(files)
    assert row(application, run_id)["failed_files"] == 0


def test_the_store_may_be_cut_off_and_come_back(application: LiveApplication, s3_server: S3Server) -> None:
    bucket = Bucket(s3_server)
    files = make_files(7, 600, large=12)
    bucket.put(files)
    with serve_front(s3_server) as front:
        front.fail(rf"GET /{bucket.name}/dir", times=-1, delay=0.05)
        run_id = start_import(application, s3_server, front.url, bucket.name)
        end = time.monotonic() + SECONDS
        while not front.reads() and time.monotonic() < end:
            time.sleep(0.05)
        front.stop()
        time.sleep(2)
        front.recover()
        front.start()

        assert wait_for_version(application, run_id) == digest_of(files)
    assert row(application, run_id)["failed_files"] == 0
