"""Make the database itself refuse changes of sealed rows, and sort names as bytes.

SQLite already compares text as bytes; PostgreSQL does so with the collation "C". SQLite's REPLACE asks these rules only
with `PRAGMA recursive_triggers`, which the settings switch on.
Each rule is (table, event, condition under which it is refused, message). In a condition OLD and NEW are rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import migrations

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import StateApps

P = "datasets_app_"
NO_PURGE = f"NOT EXISTS (SELECT 1 FROM {P}door WHERE name = 'purge')"
NO_COMPACTION = f"NOT EXISTS (SELECT 1 FROM {P}door WHERE name = 'compaction')"
NO_STORED_PACK = f"NOT EXISTS (SELECT 1 FROM {P}pack WHERE id = NEW.pack_id AND stored)"
NO_CLOSED_ROOT = (
    f"NEW.status = 'available' AND NOT EXISTS (SELECT 1 FROM {P}directory WHERE id = NEW.root_id AND closed)"
)
ACTIVE_JOB = "status IN ('pending', 'running', 'stopping')"


def changed(*columns: str) -> str:
    return "(" + " OR ".join(f'OLD."{name}" IS DISTINCT FROM NEW."{name}"' for name in columns) + ")"


RULES = [
    (
        "directory",
        "UPDATE",
        f"OLD.closed OR {changed('id', 'digest', 'file_count', 'size')}",
        "a directory is immutable",
    ),
    ("directory", "DELETE", NO_PURGE, "a directory is removed by the purge only"),
    ("subdirectory", "UPDATE", "", "a directory entry is immutable"),
    ("subdirectory", "DELETE", NO_PURGE, "a directory entry is removed by the purge only"),
    ("file", "UPDATE", "", "a file is immutable"),
    ("file", "DELETE", NO_PURGE, "a file is removed by the purge only"),
    ("blob", "UPDATE", changed("id", "sha256", "size"), "a blob's digest and size are immutable"),
    (
        "blob",
        "UPDATE",
        f"{changed('pack_id', 'offset')} AND {NO_COMPACTION}",
        "a blob is moved by compaction only",
    ),
    ("blob", "DELETE", NO_PURGE, "a blob is removed by the purge only"),
    ("blob", "INSERT", NO_STORED_PACK, "a blob needs a stored pack"),
    ("blob", "UPDATE", f"{changed('pack_id')} AND {NO_STORED_PACK}", "a blob needs a stored pack"),
    ("pack", "UPDATE", f"OLD.stored OR {changed('id', 'key', 'size')}", "a pack is immutable"),
    ("pack", "DELETE", NO_PURGE, "a pack is removed by the purge only"),
    (
        "version",
        "UPDATE",
        (
            "OLD.status = 'available' AND "
            + changed("id", "dataset_id", "number", "status", "root_id", "manifest_key", "sealed_at", "created_at")
        ),
        "an available version is immutable",
    ),
    (
        "version",
        "UPDATE",
        f"OLD.status <> 'available' AND {NO_CLOSED_ROOT}",
        "a version needs a closed root directory to become available",
    ),
    ("version", "INSERT", NO_CLOSED_ROOT, "a version needs a closed root directory to become available"),
    (
        "version",
        "DELETE",
        f"OLD.status = 'available' AND {NO_PURGE}",
        "an available version is removed by the purge only",
    ),
    (
        "version",
        "DELETE",
        (
            f"EXISTS (SELECT 1 FROM {P}jobdataset d JOIN {P}job j ON j.id = d.job_id "
            f"WHERE d.version_id = OLD.id AND j.{ACTIVE_JOB})"
        ),
        "an active job uses this version",
    ),
    (
        "jobdataset",
        "UPDATE",
        f"{changed('version_id')} AND EXISTS (SELECT 1 FROM {P}job j WHERE j.id = OLD.job_id AND j.{ACTIVE_JOB})",
        "an active job uses this version",
    ),
]

SEALED_TABLES = ["directory", "subdirectory", "file", "blob", "pack", "version"]
SEALED_PARENT = [("file", "directory_id"), ("subdirectory", "parent_id")]
BYTE_ORDER = [
    ("file", "name", 255),
    ("subdirectory", "name", 255),
    ("stagedfile", "path", 4096),
    ("stagedremoval", "path", 4097),
]


def sqlite_statements() -> list[str]:
    statements = []
    for number, (table, event, condition, message) in enumerate(RULES):
        # The old spelling of the same operator: SQLite knows the standard's since 3.39 only.
        when = f"WHEN {condition} ".replace("IS DISTINCT FROM", "IS NOT") if condition else ""
        statements.append(
            f"CREATE TRIGGER immutable_{number}_{table} BEFORE {event} ON {P}{table} {when}"
            f"BEGIN SELECT RAISE(ABORT, 'immutable: {message.replace(chr(39), chr(39) * 2)}'); END"
        )
    for table, parent in SEALED_PARENT:
        statements.append(
            f"CREATE TRIGGER sealed_{table} BEFORE INSERT ON {P}{table} "
            f"WHEN (SELECT closed FROM {P}directory WHERE id = NEW.{parent}) "
            f"BEGIN SELECT RAISE(ABORT, 'immutable: the directory is closed'); END"
        )
    return statements


def postgresql_statements() -> list[str]:
    statements = [
        f'ALTER TABLE {P}{table} ALTER COLUMN {column} TYPE varchar({size}) COLLATE "C"'
        for table, column, size in BYTE_ORDER
    ]
    for number, (table, event, condition, message) in enumerate(RULES):
        name = f"immutable_{number}_{table}"
        kept = "OLD" if event == "DELETE" else "NEW"
        statements += [
            function(name, condition or "true", message, kept),
            f"CREATE TRIGGER {name} BEFORE {event} ON {P}{table} FOR EACH ROW EXECUTE FUNCTION {name}()",
        ]
    # One look for each statement, not for each row: a million rows come in a few hundred statements.
    for table, parent in SEALED_PARENT:
        closed = f"EXISTS (SELECT 1 FROM added a JOIN {P}directory d ON d.id = a.{parent} WHERE d.closed)"
        statements += [
            function(f"sealed_{table}", closed, "the directory is closed", "NULL"),
            (
                f"CREATE TRIGGER sealed_{table} AFTER INSERT ON {P}{table} REFERENCING NEW TABLE AS added "
                f"FOR EACH STATEMENT EXECUTE FUNCTION sealed_{table}()"
            ),
        ]
    for table in SEALED_TABLES:
        kept_rows = f"{NO_PURGE} AND EXISTS (SELECT 1 FROM {P}{table})"
        statements += [
            function(f"kept_{table}", kept_rows, "rows are removed by the purge only", "NULL"),
            (
                f"CREATE TRIGGER kept_{table} BEFORE TRUNCATE ON {P}{table} "
                f"FOR EACH STATEMENT EXECUTE FUNCTION kept_{table}()"
            ),
        ]
    return statements


def function(name: str, condition: str, message: str, kept: str) -> str:
    quoted = message.replace(chr(39), chr(39) * 2)
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {condition} THEN RAISE EXCEPTION 'immutable: {quoted}' "
        f"USING ERRCODE = 'integrity_constraint_violation'; END IF; RETURN {kept}; END $$"
    )


def create_rules(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    statements = postgresql_statements() if schema_editor.connection.vendor == "postgresql" else sqlite_statements()
    for statement in statements:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("datasets_app", "0001_initial")]

    operations = [migrations.RunPython(create_rules, migrations.RunPython.noop)]
