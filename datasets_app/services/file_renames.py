"""Single files that hang elsewhere in the new version: looked up by their blobs as a list goes on, none of it is held.

For differences too many to count. What a file is paired with depends on the two trees alone, never on the page.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection

from datasets_app.models import File, Subdirectory
from datasets_app.services.changes import NOTHING, Difference
from datasets_app.services.renames import Renamed
from datasets_app.store.paths import KEY_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from datasets_app.services.folder_renames import FolderMoves

# Folders that differ, which are held: some 30 MB. Where there are more, single files show as removed and added.
MOST_FOLDERS = 50_000
# The same bytes at so many places are no rename of anything.
MOST_COPIES = 1_000
CHUNK = 500
# SQLite allows 500 parts of one statement.
BLOBS = 100
_FOLDERS = f"""
WITH pair(place, old_id, new_id) AS (VALUES {{pairs}})
SELECT pair.place, n.name, o.child_id, n.child_id FROM pair
JOIN {Subdirectory._meta.db_table} n ON n.parent_id = pair.new_id
LEFT JOIN {Subdirectory._meta.db_table} o ON o.parent_id = pair.old_id AND o.name = n.name
WHERE o.child_id IS NULL OR o.child_id <> n.child_id
UNION ALL
SELECT pair.place, o.name, o.child_id, NULL FROM pair
JOIN {Subdirectory._meta.db_table} o ON o.parent_id = pair.old_id
WHERE NOT EXISTS (
    SELECT 1 FROM {Subdirectory._meta.db_table} n WHERE n.parent_id = pair.new_id AND n.name = o.name
)
LIMIT {{most}}
"""  # noqa: S608 - only names of our own tables
_COPIES = f"""
SELECT * FROM (
    SELECT blob_id, directory_id, name FROM {File._meta.db_table} WHERE blob_id = %s{{here}} LIMIT {{most}}
) part
"""  # noqa: S608
_PRESENT = f"""
WITH wanted(directory_id, name) AS (VALUES {{places}})
SELECT f.directory_id, f.name FROM wanted
JOIN {File._meta.db_table} f ON f.directory_id = wanted.directory_id AND f.name = wanted.name
"""  # noqa: S608


class _Folder(NamedTuple):
    """A place where the versions have different folders; `other` is what the other version has there."""

    key: str
    other: int


class _Folders(NamedTuple):
    """Where the differing folders of either version are; one and the same may be at several places."""

    old: dict[int, list[_Folder]]
    new: dict[int, list[_Folder]]


def tell_renames(
    differences: Iterable[Difference | Renamed], roots: tuple[int, int], moves: FolderMoves, *, expand: bool
) -> Iterator[tuple[str, Difference | Renamed | None]]:
    """Join files that are gone with equal ones that came; give every key, with None where a renamed file was before.

    `moves` are the folders that are accounted for as a whole. With `expand`, those on one side are looked into too.
    """
    folders = _find_folders(*roots, moves, expand=expand)
    found = iter(differences)
    while chunk := list(islice(found, CHUNK)):
        came = [one for one in chunk if not one.is_directory and one.old is None]
        gone = [one for one in chunk if not one.is_directory and one.new is None]
        origins = _pair(folders, [*came, *gone]) if folders and (came or gone) else {}
        moved = set(origins.values())
        for one in chunk:
            if one.old is None and one.key in origins and one.new is not None:
                yield one.key, Renamed(one.key, one.new, one.new, origins[one.key])
            else:
                yield one.key, None if one.new is None and one.key in moved else one


def _find_folders(old: int, new: int, moves: FolderMoves, *, expand: bool) -> _Folders | None:
    """Walk both trees level by level; None when too many folders differ."""
    folders = _Folders(defaultdict(list), defaultdict(list))
    level, count = [("", old, new)], 0
    while level:
        count += len(level)
        if count > MOST_FOLDERS:
            return None
        for key, here, there in level:
            if here != NOTHING:
                folders.old[here].append(_Folder(key, there))
            if there != NOTHING:
                folders.new[there].append(_Folder(key, here))
        below: list[tuple[str, int, int]] = []
        for start in range(0, len(level), CHUNK):
            some = level[start : start + CHUNK]
            below += _below(some, MOST_FOLDERS + 1 - len(below), moves, expand=expand)
            if len(below) > MOST_FOLDERS:
                return None
        level = below
    return folders


def _below(
    level: Sequence[tuple[str, int, int]], most: int, moves: FolderMoves, *, expand: bool
) -> Iterator[tuple[str, int, int]]:
    """Give the folders in these that differ, and that are to be looked into."""
    pairs = ", ".join(["(%s, %s, %s)"] * len(level))
    values = [value for place, (_, old, new) in enumerate(level) for value in (place, old, new)]
    for place, name, old, new in _query(_FOLDERS.format(pairs=pairs, most=most), values):
        key = f"{level[place][0]}{name}{KEY_SEPARATOR}"
        is_both = old is not None and new is not None
        if is_both or (expand and key not in moves.origins and key not in moves.moved):
            yield key, old or NOTHING, new or NOTHING


def _pair(folders: _Folders, wanted: Sequence[Difference | Renamed]) -> dict[str, str]:
    """Tell of files that came where they were: all that have the blobs of these, those of the same name first."""
    sizes = {side.ref: side.size for one in wanted if (side := one.new or one.old) is not None}
    gone: dict[int, list[str]] = defaultdict(list)
    came: dict[int, list[str]] = defaultdict(list)
    copies = _copies(folders, list(sizes))
    for found, places in ((gone, folders.old), (came, folders.new)):
        lone = _on_one_side(copies, places)
        for blob, key in sorted(lone):
            found[blob].append(key)
    origins: dict[str, str] = {}
    for blob in gone.keys() & came.keys():
        # Empty files are all alike: only a name makes one the other.
        origins |= _join(gone[blob], came[blob], any_name=sizes[blob] > 0)
    return origins


def _join(gone: Sequence[str], came: Sequence[str], *, any_name: bool) -> dict[str, str]:
    """Pair equal files, in the order of their keys."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for key in reversed(gone):
        by_name[_name(key)].append(key)
    origins = {key: by_name[_name(key)].pop() for key in came if by_name[_name(key)]}
    if any_name:
        taken = set(origins.values())
        left = (key for key in gone if key not in taken)
        origins |= dict(zip((key for key in came if key not in origins), left, strict=False))
    return origins


def _copies(folders: _Folders, blobs: Sequence[int]) -> list[tuple[int, int, str]]:
    """Look up blob, directory and name of all files with these blobs that lie in the folders that differ."""
    ids = list(folders.old.keys() | folders.new.keys())
    few = len(ids) <= CHUNK
    here = f" AND directory_id IN ({', '.join(['%s'] * len(ids))})" if few else ""
    size = 1 + len(ids) if few else 1
    step = max(1, min(BLOBS, 20_000 // size))
    copies: list[tuple[int, int, str]] = []
    for start in range(0, len(blobs), step):
        some = blobs[start : start + step]
        statement = " UNION ALL ".join([_COPIES.format(here=here, most=MOST_COPIES + 1)] * len(some))
        rows = _query(statement, [value for blob in some for value in (blob, *(ids if few else ()))])
        counts: dict[int, int] = defaultdict(int)
        for blob, _, _ in rows:
            counts[blob] += 1
        copies += [
            (blob, directory, name)
            for blob, directory, name in rows
            if counts[blob] <= MOST_COPIES and (directory in folders.old or directory in folders.new)
        ]
    return copies


def _on_one_side(copies: Sequence[tuple[int, int, str]], places: dict[int, list[_Folder]]) -> Iterator[tuple[int, str]]:
    """Give blob and key of the copies that lie in these folders, and at whose place the other version has no file."""
    held = [(blob, name, place) for blob, directory, name in copies for place in places.get(directory, ())]
    asked = list({(place.other, name) for _, name, place in held if place.other != NOTHING})
    present: set[tuple[int, str]] = set()
    for start in range(0, len(asked), CHUNK):
        some = asked[start : start + CHUNK]
        statement = _PRESENT.format(places=", ".join(["(%s, %s)"] * len(some)))
        present.update(_query(statement, [value for pair in some for value in pair]))
    return ((blob, place.key + name) for blob, name, place in held if (place.other, name) not in present)


def _name(key: str) -> str:
    return key.rpartition(KEY_SEPARATOR)[2]


def _query(statement: str, values: Sequence[str | int]) -> list[tuple]:  # type: ignore[type-arg]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple] = cursor.fetchall()  # type: ignore[type-arg]
        return rows
