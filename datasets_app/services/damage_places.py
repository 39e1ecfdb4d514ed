"""Where damaged bytes and directories are: in which sealed versions, and at which of their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import connection

from datasets_app.models import Damage, DamagedPath, Directory, File, Subdirectory, Version
from datasets_app.store.paths import KEY_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Listed of one damage; a blob may be at a million places. Beyond them each version gets one.
MOST_PATHS = 1_000
BATCH = 500

_FILE, _SUBDIRECTORY, _VERSION = File._meta.db_table, Subdirectory._meta.db_table, Version._meta.db_table
_UNMARKED = f"""
NOT EXISTS (SELECT 1 FROM {DamagedPath._meta.db_table} p WHERE p.damage_id = %s AND p.version_id = v.id)
"""  # noqa: S608 - only names of our own tables
_PATHS = f"""
WITH RECURSIVE up(directory_id, path) AS (
    {{}}
    UNION ALL
    SELECT s.parent_id, CASE WHEN up.path = '' THEN s.name ELSE s.name || '{KEY_SEPARATOR}' || up.path END
    FROM up JOIN {_SUBDIRECTORY} s ON s.child_id = up.directory_id
)
SELECT v.id, up.path FROM up JOIN {_VERSION} v ON v.root_id = up.directory_id WHERE {_UNMARKED} LIMIT %s
"""  # noqa: S608
_ROOTS = f"""
WITH RECURSIVE up(directory_id) AS (
    SELECT directory_id FROM ({{}}) AS start
    UNION
    SELECT s.parent_id FROM up JOIN {_SUBDIRECTORY} s ON s.child_id = up.directory_id
)
SELECT v.id, v.root_id FROM up JOIN {_VERSION} v ON v.root_id = up.directory_id WHERE {_UNMARKED}
"""  # noqa: S608
_OF_BLOB = f"SELECT f.directory_id AS directory_id, CAST(f.name AS text) AS path FROM {_FILE} f WHERE f.blob_id = %s"  # noqa: S608
# The collation of names, which PostgreSQL doesn't guess for a text of no column.
_OF_DIRECTORY = (
    f"SELECT d.id AS directory_id, CAST('' AS text){{}} AS path FROM {Directory._meta.db_table} d WHERE d.id = %s"  # noqa: S608
)
_PARENTS = f"SELECT s.parent_id, s.name, s.child_id FROM {_SUBDIRECTORY} s WHERE s.child_id IN ({{}})"  # noqa: S608
_IN_TREE = f"""
WITH RECURSIVE down(directory_id, path) AS (
    {{}}
    UNION ALL
    SELECT s.child_id, CASE WHEN down.path = '' THEN s.name ELSE down.path || '{KEY_SEPARATOR}' || s.name END
    FROM down JOIN {_SUBDIRECTORY} s ON s.parent_id = down.directory_id
)
SELECT x.id, CASE WHEN down.path = '' THEN f.name ELSE down.path || '{KEY_SEPARATOR}' || f.name END
FROM down JOIN {_FILE} f ON f.directory_id = down.directory_id
JOIN {Damage._meta.db_table} x ON x.blob_id = f.blob_id AND x.healed_at IS NULL AND x.is_traced
UNION ALL
SELECT x.id, down.path FROM down
JOIN {Damage._meta.db_table} x ON x.directory_id = down.directory_id AND x.healed_at IS NULL AND x.is_traced
"""  # noqa: S608


class Place(NamedTuple):
    """A path of a version, as the database has it (`store.paths`)."""

    version: int
    key: str


def find_unmarked(damage: Damage) -> list[Place]:
    """Give paths of the versions that the damage touches and that have none of it yet: at least one for each."""
    places = [Place(*row) for row in _rows(_PATHS.format(_start(damage)), [_target(damage), damage.pk, MOST_PATHS])]
    if len(places) < MOST_PATHS:
        return places
    named = {place.version for place in places}
    roots = _rows(_ROOTS.format(_start(damage)), [_target(damage), damage.pk])
    others = {version: root for version, root in roots if version not in named}
    found = _one_path_each(damage, set(others.values()))
    return places + [Place(version, found[root]) for version, root in others.items() if root in found]


def find_in_tree(root_id: int) -> list[tuple[int, str]]:
    """Give (damage, path) for what is known to be damaged below a directory, or is it: at least one path a damage."""
    found: list[tuple[int, str]] = []
    seen: set[int] = set()
    if not Damage.objects.open().filter(is_traced=True).exists():
        return found
    with connection.cursor() as cursor:
        cursor.execute(_IN_TREE.format(_of_directory()), [root_id])
        while some := cursor.fetchmany(BATCH):
            for damage, path in some:
                if len(found) < MOST_PATHS or damage not in seen:
                    found.append((damage, path))
                    seen.add(damage)
    return found


def _one_path_each(damage: Damage, roots: set[int]) -> dict[int, str]:
    """Climb from where the damage is to these roots; some of the places at a time, since the first may do for all."""
    seen: dict[int, str] = {}
    missing = set(roots)
    for some in _starts(damage):
        level = {directory: path for directory, path in some if directory not in seen}
        while level and missing:
            seen |= level
            missing -= level.keys()
            level = _parents(level, seen)
        if not missing:
            break
    return {root: seen[root] for root in roots - missing}


def _starts(damage: Damage) -> Iterator[list[tuple[int, str]]]:
    """Give (directory, name) of the files that are damaged, or the damaged directory itself, in slices."""
    last = 0
    while some := _rows(
        f"SELECT directory_id, path FROM ({_start(damage)}) AS start WHERE directory_id > %s "  # noqa: S608
        f"ORDER BY directory_id LIMIT {BATCH}",
        [_target(damage), last],
    ):
        yield some
        last = some[-1][0]


def _parents(level: dict[int, str], seen: dict[int, str]) -> dict[int, str]:
    above: dict[int, str] = {}
    ids = list(level)
    for first in range(0, len(ids), BATCH):
        some = ids[first : first + BATCH]
        for parent, name, child in _rows(_PARENTS.format(", ".join(["%s"] * len(some))), some):
            if parent not in seen:
                above[parent] = f"{name}{KEY_SEPARATOR}{level[child]}" if level[child] else name
    return above


def _start(damage: Damage) -> str:
    return _OF_BLOB if damage.blob_id else _of_directory()


def _of_directory() -> str:
    return _OF_DIRECTORY.format(' COLLATE "C"' if connection.vendor == "postgresql" else "")


def _target(damage: Damage) -> int | None:
    return damage.blob_id or damage.directory_id


def _rows(statement: str, parameters: Sequence[int | None]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[Any] = cursor.fetchall()
    return rows
