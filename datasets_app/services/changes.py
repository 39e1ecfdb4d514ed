"""Walk two trees side by side in SQL, reading only directories that differ, and of those only what differs.

Nodes are shared, so equal content has equal ids: no digest is compared. Places are keys of `store.paths`; that of a
directory ends in a separator, so it comes after a file of the same name and before everything inside.
"""

from __future__ import annotations

from heapq import merge
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection

from datasets_app.models import Blob, Directory, File, Subdirectory
from datasets_app.store.paths import KEY_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.utils import CursorWrapper

PAGE = 2_000
# No directory has this id: the other side of what is there once only.
NOTHING = 0

# They give: name; on either side the id, size, digest and file count of what is there, or null. Directories come from
# `after` on, files after it.
_CHANGED_FILES = f"""
SELECT d.name, d.old_id, ob.size, ob.sha256, NULL, d.new_id, nb.size, nb.sha256, NULL FROM (
    SELECT n.name AS name, o.blob_id AS old_id, n.blob_id AS new_id
    FROM {File._meta.db_table} n
    LEFT JOIN {File._meta.db_table} o ON o.directory_id = %(old)s AND o.name = n.name
    WHERE n.directory_id = %(new)s AND n.name > %(after)s AND (o.blob_id IS NULL OR o.blob_id <> n.blob_id)
    ORDER BY n.name LIMIT {PAGE}
) d
JOIN {Blob._meta.db_table} nb ON nb.id = d.new_id LEFT JOIN {Blob._meta.db_table} ob ON ob.id = d.old_id
ORDER BY d.name
"""  # noqa: S608 - only names of our own tables
_GONE_FILES = f"""
SELECT d.name, d.old_id, ob.size, ob.sha256, NULL, NULL, NULL, NULL, NULL FROM (
    SELECT o.name AS name, o.blob_id AS old_id
    FROM {File._meta.db_table} o
    WHERE o.directory_id = %(old)s AND o.name > %(after)s
        AND NOT EXISTS (SELECT 1 FROM {File._meta.db_table} n WHERE n.directory_id = %(new)s AND n.name = o.name)
    ORDER BY o.name LIMIT {PAGE}
) d
JOIN {Blob._meta.db_table} ob ON ob.id = d.old_id
ORDER BY d.name
"""  # noqa: S608
_CHANGED_DIRECTORIES = f"""
SELECT n.name, o.child_id, od.size, od.digest, od.file_count, n.child_id, nd.size, nd.digest, nd.file_count
FROM {Subdirectory._meta.db_table} n
JOIN {Directory._meta.db_table} nd ON nd.id = n.child_id
LEFT JOIN {Subdirectory._meta.db_table} o ON o.parent_id = %(old)s AND o.name = n.name
LEFT JOIN {Directory._meta.db_table} od ON od.id = o.child_id
WHERE n.parent_id = %(new)s AND n.name >= %(after)s AND (o.child_id IS NULL OR o.child_id <> n.child_id)
ORDER BY n.name LIMIT {PAGE}
"""  # noqa: S608
_GONE_DIRECTORIES = f"""
SELECT o.name, o.child_id, od.size, od.digest, od.file_count, NULL, NULL, NULL, NULL
FROM {Subdirectory._meta.db_table} o JOIN {Directory._meta.db_table} od ON od.id = o.child_id
WHERE o.parent_id = %(old)s AND o.name >= %(after)s
    AND NOT EXISTS (SELECT 1 FROM {Subdirectory._meta.db_table} n WHERE n.parent_id = %(new)s AND n.name = o.name)
ORDER BY o.name LIMIT {PAGE}
"""  # noqa: S608


class Side(NamedTuple):
    """What one version has at a place: a file (`ref` is its blob's id) or a directory. `size` in bytes."""

    ref: int
    size: int
    digest: bytes
    file_count: int | None

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return self.file_count is not None


class Difference(NamedTuple):
    """A place where the versions differ. Directories are there on one side only; those on both are walked into."""

    key: str
    old: Side | None
    new: Side | None

    @property
    def is_directory(self) -> bool:
        """Whether this stands for everything below it."""
        return self.key.endswith(KEY_SEPARATOR)


def walk_differences(
    old: int, new: int, *, after: str = "", expand: bool = False, files: bool = True
) -> Iterator[Difference]:
    """Every difference between two directories (their ids, NOTHING for none), in the order of keys, `after` a key.

    With `expand`, directories that only one side has are walked into as well, so that every item is a file. Without
    `files`, only directories are looked at.
    """
    # A stack of our own: a legal path has more folders than Python allows calls.
    stack = [_read("", old, new, after, files=files)]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            continue
        if not found.is_directory:
            yield found
            continue
        is_both = found.old is not None and found.new is not None
        if not is_both and not expand:
            if found.key > after:
                yield found
            continue
        inner = after[len(found.key) :] if after.startswith(found.key) else ""
        sides = (found.old.ref if found.old else NOTHING, found.new.ref if found.new else NOTHING)
        stack.append(_read(found.key, *sides, inner, files=files))


def _read(prefix: str, old: int, new: int, after: str, *, files: bool) -> Iterator[Difference]:
    """Differences directly in one pair of directories; `after` is a key relative to them."""
    first = after.partition(KEY_SEPARATOR)[0]
    streams = [
        *(_rows(statement, prefix, old, new, first, "") for statement in (_CHANGED_FILES, _GONE_FILES) if files),
        # The directory called `first` may not be done yet.
        *(
            _rows(statement, prefix, old, new, first, KEY_SEPARATOR)
            for statement in (_CHANGED_DIRECTORIES, _GONE_DIRECTORIES)
        ),
    ]
    return merge(*streams, key=lambda found: found.key)


def _rows(  # noqa: PLR0913 - what a statement is asked with
    statement: str, prefix: str, old: int, new: int, after: str, end: str
) -> Iterator[Difference]:
    seen = None
    with connection.cursor() as cursor:
        while True:
            page = _page(cursor, statement, old, new, after)
            for name, *sides in page:
                if name != seen:
                    yield Difference(f"{prefix}{name}{end}", _side(sides[:4]), _side(sides[4:]))
            if len(page) < PAGE:
                return
            after = seen = page[-1][0]


def _page(cursor: CursorWrapper, statement: str, old: int, new: int, after: str) -> list[tuple]:  # type: ignore[type-arg]
    cursor.execute(statement, {"old": old, "new": new, "after": after})
    rows: list[tuple] = cursor.fetchall()  # type: ignore[type-arg]
    return rows


def _side(columns: list) -> Side | None:  # type: ignore[type-arg]
    ref, size, digest, file_count = columns
    return None if ref is None else Side(ref, size, bytes(digest), file_count)
