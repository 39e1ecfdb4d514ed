"""An installation of an earlier release, with data in it, moves to the newest: nothing is lost, nothing is unguarded.

`release_0002.json` holds all rows and stored objects that the code of release 0002 wrote.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor

from datasets_app.errors import Conflict
from datasets_app.models import Dataset, Upload, User, Version
from datasets_app.services.garbage import purge_dataset
from datasets_app.services.plans import remove_paths
from datasets_app.services.trash import delete_version, restore_version
from datasets_app.services.uploads import append
from datasets_app.services.versions import run_seal, seal_version
from datasets_app.services.walking import walk_files
from tests.garbage.conftest import collect_all, read_back, store
from tests.integrity.test_verify import verify

__all__ = ["store"]

pytestmark = pytest.mark.data_layer

RELEASE = json.loads((Path(__file__).parent / "release_0002.json").read_text())
OLD = [("datasets_app", "0002_immutability")]
# Rows that triggers let in only once others are there; the rest in any order, as foreign keys are asked at the commit.
FIRST = ("datasets_app_pack", "datasets_app_blob", "datasets_app_directory")

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture
def empty_database(tmp_path: Path, db: None) -> Iterator[frozenset[str]]:
    """Put a new database without any table in the place of the run's own; give the names of the latter's triggers."""
    usual = connections["default"]
    newest = triggers()
    is_server = usual.vendor == "postgresql"
    name = f"upgrade_{uuid.uuid4().hex}" if is_server else str(tmp_path / "upgrade.sqlite3")
    # The run's own connection is inside the test's transaction, where no database can be made.
    beside = usual.copy()
    if is_server:
        with beside.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    fresh = usual.copy()
    fresh.settings_dict = {**usual.settings_dict, "NAME": name}
    connections["default"] = fresh
    try:
        yield newest
    finally:
        fresh.close()
        connections["default"] = usual
        if is_server:
            with beside.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")
        beside.close()


def triggers() -> frozenset[str]:
    """Names of all triggers of ours."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal")
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        return frozenset(name for (name,) in cursor.fetchall())


def migrate(targets: list[tuple[str, str]] | None = None) -> None:
    executor = MigrationExecutor(connection)
    executor.migrate(targets or executor.loader.graph.leaf_nodes())


def install(store: Path, staging: Path) -> None:
    """Write what the old release had written."""
    for folder, objects in ((store, RELEASE["store"]), (staging, RELEASE["staging"])):
        for key, text in objects.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(base64.b64decode(text))
    tables = RELEASE["tables"]
    with transaction.atomic():
        for table in [*FIRST, *(name for name in tables if name not in FIRST)]:
            insert(table, tables[table]["columns"], tables[table]["rows"])
            if table == "datasets_app_subdirectory":
                with connection.cursor() as cursor:
                    cursor.execute("UPDATE datasets_app_directory SET closed = %s", [True])


def insert(table: str, columns: list[str], rows: list[list[Any]]) -> None:
    with connection.cursor() as cursor:
        kinds = {c.name: str(c.type_code) for c in connection.introspection.get_table_description(cursor, table)}
        # PostgreSQL's own number for it, and SQLite's name.
        flags = {name for name, kind in kinds.items() if kind in {"16", "bool"}}
        marks = ", ".join(["%s"] * len(columns))
        names = ", ".join(f'"{name}"' for name in columns)
        for row in rows:
            values = [stored_value(v, is_flag=name in flags) for name, v in zip(columns, row, strict=True)]
            if table == "datasets_app_directory":
                values[columns.index("closed")] = False
            cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)
        if connection.vendor == "postgresql" and isinstance(rows[0][0], int):
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")


def stored_value(value: Any, *, is_flag: bool) -> Any:  # noqa: ANN401 - whatever a database has
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return bool(value) if is_flag and value is not None else value


def old_rows() -> Rows:
    """All that the tables of the old release hold, in the columns that they had then."""
    found: Rows = {}
    with connection.cursor() as cursor:
        for table, was in RELEASE["tables"].items():
            names = ", ".join(f'"{name}"' for name in was["columns"])
            cursor.execute(f"SELECT {names} FROM {table} ORDER BY 1")
            found[table] = [
                tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor.fetchall()
            ]
    return found


def refuses(statement: str) -> None:
    with pytest.raises(IntegrityError, match="immutable: "), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_everything_is_there_and_guarded(
    empty_database: frozenset[str], store: Path, settings: LazySettings, tmp_path: Path
) -> None:
    migrate(OLD)
    assert triggers() <= empty_database
    install(store, tmp_path / "staging")
    before = old_rows()
    migrate()
    assert old_rows() == before
    assert triggers() == empty_database
    connection.check_constraints()
    for table in ("directory", "subdirectory", "file", "blob", "pack"):
        refuses(f"UPDATE datasets_app_{table} SET id = -1")
        refuses(f"DELETE FROM datasets_app_{table}")
    refuses("UPDATE datasets_app_version SET number = 77 WHERE status = 'available'")
    refuses("DELETE FROM datasets_app_version WHERE status = 'available'")
    refuses("UPDATE datasets_app_jobdataset SET version_id = version_id + 1")
    check_versions()
    go_on_with_it()


def check_versions() -> None:
    """Compare each sealed version with what the old release said of it, down to the bytes."""
    sealed = Version.objects.filter(status="available").select_related("dataset__team", "root")
    found = {}
    for version in sealed:
        assert version.root is not None
        files = {file.path: file.sha256.hex() for file in walk_files(version.root)}
        found[f"{version.dataset.team}/{version.label}"] = {"digest": version.digest, "files": files}
        read_back(version)
    assert found == RELEASE["versions"]
    assert verify().damaged_count == 0


def go_on_with_it() -> None:
    """Do with the old rows what people do: send the rest, seal, restore, delete, purge, collect."""
    ada = User.objects.get(username="ada")
    opened = Version.objects.get(status="uploading")
    growing = Upload.objects.select_related("version__dataset__team").get(status="receiving")
    rest = io.BytesIO(b"x" * 40)
    assert append(ada, upload=growing, offset=10, read=rest.read, length=40) == 50
    remove_paths(ada, version=opened, paths=["half/waiting"])
    seal_version(ada, version=opened)
    run_seal(opened.pk)
    files = read_back(opened)
    assert files["half/growing"] == b"0123456789" + b"x" * 40
    assert hashlib.sha256(files["labels.csv"]).hexdigest() == RELEASE["versions"]["lab/images@2"]["files"]["labels.csv"]
    restored = restore_version(ada, team="lab", dataset="images", number=3)
    with pytest.raises(Conflict):
        delete_version(ada, version=Version.objects.get(dataset__name="images", number=1))
    purge_dataset(ada, dataset=Dataset.objects.get(name="gone"))
    collect_all()
    assert read_back(restored) == {"only": b"in the trash"}
    assert verify().damaged_count == 0


def test_a_step_back_keeps_the_guards(empty_database: frozenset[str]) -> None:
    """SQLite writes a table anew to take a column away, and forgets its triggers."""
    migrate([("datasets_app", "0005_versions")])
    migrate([("datasets_app", "0004_garbage")])
    assert triggers() == empty_database


@pytest.mark.nightly
def test_there_and_back(empty_database: frozenset[str], store: Path, tmp_path: Path) -> None:
    """A downgrade keeps the old release's rows and all of their guards, and the way forward is open again."""
    migrate(OLD)
    guards = triggers()
    install(store, tmp_path / "staging")
    before = old_rows()
    migrate()
    migrate(OLD)
    assert old_rows() == before
    assert triggers() == guards
    migrate()
    assert old_rows() == before
    assert triggers() == empty_database
