"""An installation of an earlier release, with data in it, moves to the newest: nothing is lost, nothing is unguarded.

`release_NNNN.json` holds all rows and stored objects that the code wrote whose newest migration that was; those of 0007
were made by `fill_release`, which makes the next ones too.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from datasets_app.errors import Conflict
from datasets_app.models import Damage, Dataset, Upload, User, Version
from datasets_app.services.garbage import purge_dataset
from datasets_app.services.garbage.leftovers import find_idle
from datasets_app.services.garbage.sweep import Sweep
from datasets_app.services.imports import find_imports
from datasets_app.services.pending_changes import list_changes
from datasets_app.services.plans import remove_paths
from datasets_app.services.retention import get_rule
from datasets_app.services.trash import delete_version, restore_version
from datasets_app.services.uploads import append
from datasets_app.services.versions import find_version, run_seal, seal_version
from datasets_app.services.walking import walk_files
from tests.garbage.conftest import collect_all, read_back, store
from tests.integrity.test_verify import verify

__all__ = ["store"]

pytestmark = pytest.mark.data_layer

RELEASES = ("0002_immutability", "0007_summaries")
# Rows that triggers let in only once others are there; the rest in any order, as foreign keys are asked at the commit.
FIRST = ("datasets_app_pack", "datasets_app_blob", "datasets_app_directory")

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Release:
    """What an earlier release left: `kept` has its `tables`, `store`, `staging` and sealed `versions`."""

    migration: str
    kept: dict[str, Any]

    def migrate_to(self) -> None:
        """Make or change the tables to those of this release."""
        migrate([("datasets_app", self.migration)])


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Release:
    """Each of the earlier releases."""
    return load_release(request.param)


def load_release(migration: str) -> Release:
    """Read what a release left; its newest migration names it."""
    name = migration.partition("_")[0]
    return Release(migration, json.loads((Path(__file__).parent / f"release_{name}.json").read_text()))


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


def install(kept: dict[str, Any], store: Path, staging: Path) -> None:
    """Write what the old release had written."""
    for folder, objects in ((store, kept["store"]), (staging, kept["staging"])):
        for key, text in objects.items():
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).write_bytes(base64.b64decode(text))
    tables = kept["tables"]
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
        if connection.vendor == "postgresql" and columns[0] == "id" and isinstance(rows[0][0], int):
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")


def stored_value(value: Any, *, is_flag: bool) -> Any:  # noqa: ANN401 - whatever a database has
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return bool(value) if is_flag and value is not None else value


def old_rows(kept: dict[str, Any]) -> Rows:
    """All that the tables of the old release hold, in the columns that they had then."""
    found: Rows = {}
    with connection.cursor() as cursor:
        for table, was in kept["tables"].items():
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
    empty_database: frozenset[str], release: Release, store: Path, settings: LazySettings, tmp_path: Path
) -> None:
    release.migrate_to()
    assert triggers() <= empty_database
    install(release.kept, store, tmp_path / "staging")
    before = old_rows(release.kept)
    migrate()
    assert old_rows(release.kept) == before
    assert triggers() == empty_database
    connection.check_constraints()
    for table in ("directory", "subdirectory", "file", "blob", "pack"):
        refuses(f"UPDATE datasets_app_{table} SET id = -1")
        refuses(f"DELETE FROM datasets_app_{table}")
    refuses("UPDATE datasets_app_version SET number = 77 WHERE status = 'available'")
    refuses("DELETE FROM datasets_app_version WHERE status = 'available'")
    refuses("UPDATE datasets_app_jobdataset SET version_id = version_id + 1")
    check_versions(release.kept["versions"])
    go_on_with_it(release.kept["versions"])


def check_versions(wanted: dict[str, Any]) -> None:
    """Compare each sealed version with what the old release said of it, down to the bytes."""
    sealed = Version.objects.filter(status="available").select_related("dataset__team", "root")
    found = {}
    for version in sealed:
        assert version.root is not None
        files = {file.path: file.sha256.hex() for file in walk_files(version.root)}
        found[f"{version.dataset.team}/{version.label}"] = {"digest": version.digest, "files": files}
        read_back(version)
    assert found == wanted
    assert verify().damaged_count == 0


def go_on_with_it(versions: dict[str, Any]) -> None:
    """Do with the old rows what people do: send the rest, seal, restore, delete, purge, collect."""
    ada = User.objects.get(username="ada")
    opened = Version.objects.get(dataset__name="images", status="uploading")
    growing = Upload.objects.select_related("version__dataset__team").get(status="receiving")
    rest = io.BytesIO(b"x" * 40)
    assert append(ada, upload=growing, offset=10, read=rest.read, length=40) == 50
    remove_paths(ada, version=opened, paths=["half/waiting"])
    seal_version(ada, version=opened)
    run_seal(opened.pk)
    files = read_back(opened)
    assert files["half/growing"] == b"0123456789" + b"x" * 40
    assert hashlib.sha256(files["labels.csv"]).hexdigest() == versions["lab/images@2"]["files"]["labels.csv"]
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
def test_there_and_back(empty_database: frozenset[str], release: Release, store: Path, tmp_path: Path) -> None:
    """A downgrade keeps the old release's rows and all of their guards, and the way forward is open again."""
    release.migrate_to()
    guards = triggers()
    install(release.kept, store, tmp_path / "staging")
    before = old_rows(release.kept)
    migrate()
    release.migrate_to()
    assert old_rows(release.kept) == before
    assert triggers() == guards
    migrate()
    assert old_rows(release.kept) == before
    assert triggers() == empty_database


def test_open_versions_are_not_idle_at_once(
    empty_database: frozenset[str], release: Release, store: Path, tmp_path: Path, settings: LazySettings
) -> None:
    """Nobody knows when an open version of an earlier release was last worked on: its time begins with the upgrade."""
    settings.UNSEALED_DAYS = 30
    release.migrate_to()
    install(release.kept, store, tmp_path / "staging")
    with connection.cursor() as cursor:
        for table in ("version", "upload"):
            cursor.execute(f"UPDATE datasets_app_{table} SET created_at = '2020-01-01' WHERE status <> 'available'")
    migrate()
    assert not find_idle(Sweep()).exists()
    assert set(find_idle(Sweep(now=timezone.now() + timedelta(days=31)))) == set(Version.objects.open())


def test_what_came_with_later_releases(
    empty_database: frozenset[str], store: Path, tmp_path: Path, settings: LazySettings
) -> None:
    """Labels, lineage, rules, damages and imports of 0003 to 0007 are found by the services of today."""
    release = load_release("0007_summaries")
    release.migrate_to()
    install(release.kept, store, tmp_path / "staging")
    migrate()
    ada = User.objects.get(username="ada")
    labelled = find_version(ada, team="lab", dataset="images", number="prod")
    assert labelled.number == 2
    mixed = find_version(ada, team="lab", dataset="mixed", number=1)
    assert [(row.dataset_name, row.version_number) for row in mixed.lineage.order_by("position")] == [
        ("images", 1),
        ("images", 2),
    ]
    assert get_rule(ada, dataset=labelled.dataset).keep_last == 5
    assert Damage.objects.get().healed_at is not None
    (run,) = find_imports(ada, version=Version.objects.get(dataset__name="imported-bad"))
    assert run.problems.count() == run.refused_files == 1
    pending = list_changes(ada, version=Version.objects.get(dataset__name="images", status="uploading"))
    assert [(one.kind, one.old_path, one.path) for one in pending.changes if one.old_path] == [
        ("renamed", "ü", "moved")
    ]
