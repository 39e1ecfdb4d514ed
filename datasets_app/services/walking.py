"""Walk a whole tree, file by file in tree order, in bounded memory and few queries."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection

from datasets_app.models import Blob, Directory, File, Pack, Subdirectory
from datasets_app.services.trees import read_children
from datasets_app.store.paths import KEY_SEPARATOR, MAX_PART_BYTES, from_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Rows fetched at once. A subtree that is not larger comes in one query, however deep it is.
RUN_FILES = 20_000
FILE_COLUMNS = ("blob__sha256", "blob__size", "blob_id", "blob__pack__key", "blob__offset")
# Names looked up in one statement.
LOOKUP = 500

_FILES = f"""
SELECT found.prefix || f.name, b.sha256, b.size, b.id, p.key, b."offset"
FROM found
JOIN {File._meta.db_table} f ON f.directory_id = found.id
JOIN {Blob._meta.db_table} b ON b.id = f.blob_id
JOIN {Pack._meta.db_table} p ON p.id = b.pack_id
"""  # noqa: S608 - only names of our own tables
_SUBTREE = f"""
WITH RECURSIVE found(prefix, id) AS (
    SELECT %s || s.name || %s, s.child_id FROM {Subdirectory._meta.db_table} s
    WHERE s.parent_id = %s AND s.name >= %s AND s.name <= %s
    UNION ALL
    SELECT found.prefix || s.name || %s, s.child_id FROM found
    JOIN {Subdirectory._meta.db_table} s ON s.parent_id = found.id
) {_FILES}
"""  # noqa: S608
_DIRECT = f"""
WITH found(prefix, id) AS (SELECT CAST(%s AS text), CAST(%s AS bigint))
{_FILES} WHERE f.name >= %s AND f.name <= %s
"""


def subtree_sql(name: str) -> str:
    """Write the body of a recursive table `name(prefix, id)`: every directory below one, with what begins its paths.

    Its two values are the directory's id and KEY_SEPARATOR. Prefixes sort as bytes, like names.
    """
    bytewise = "BINARY" if connection.vendor == "sqlite" else '"C"'
    return f"""
    SELECT CAST('' AS text) COLLATE {bytewise}, CAST(%s AS bigint)
    UNION ALL
    SELECT {name}.prefix || s.name || %s, s.child_id FROM {name}
    JOIN {Subdirectory._meta.db_table} s ON s.parent_id = {name}.id
    """  # noqa: S608 - only names of our own


def longest_path(directory_id: int) -> int:
    """Return how many bytes the longest path below a directory may have, relative to it: folders, and any name."""
    measure = "octet_length(prefix)" if connection.vendor == "postgresql" else "length(CAST(prefix AS BLOB))"
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH RECURSIVE found(prefix, id) AS ({subtree_sql('found')}) SELECT max({measure}) FROM found",  # noqa: S608
            [directory_id, KEY_SEPARATOR],
        )
        row = cursor.fetchone()
        longest = int(row[0]) if row and row[0] is not None else 0
    return longest + MAX_PART_BYTES


class WalkedFile(NamedTuple):
    """One file of a tree: where its `size` bytes are, and the SHA-256 (32 bytes) over them."""

    path: str
    sha256: bytes
    size: int
    blob_id: int
    pack_key: str
    offset: int


def find_files(root: Directory, paths: Iterable[str]) -> dict[str, WalkedFile]:
    """Find files below `root` by their paths; those that are not there are left out."""
    names: dict[str, list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        names.setdefault(folder, []).append(name)
    directories: dict[str, int | None] = {"": root.pk}
    found = {}
    for folder, wanted in names.items():
        directory_id = _find_directory(folder, directories)
        if directory_id is None:
            continue
        prefix = f"{folder}/" if folder else ""
        for start in range(0, len(wanted), LOOKUP):
            rows = File.objects.filter(directory_id=directory_id, name__in=wanted[start : start + LOOKUP])
            for name, *about in rows.values_list("name", *FILE_COLUMNS):
                found[prefix + name] = WalkedFile(prefix + name, *about)
    return found


def _find_directory(path: str, known: dict[str, int | None]) -> int | None:
    """Return the id of a directory below the root; `known` (path -> id) spares asking for parents again and again."""
    here = ""
    for name in path.split("/") if path else ():
        inner = f"{here}/{name}" if here else name
        if inner not in known:
            parent = known[here]
            edges = Subdirectory.objects.filter(parent_id=parent, name=name).values_list("child_id", flat=True)
            known[inner] = edges.first() if parent is not None else None
        here = inner
    return known[here]


def walk_files(root: Directory, *, prefix: str = "", skip: int = 0) -> Iterator[WalkedFile]:
    """Every file below `root`, in tree order, with paths relative to it (after `prefix`, such as "a/b/").

    `skip` leaves out the first files; most of them are not fetched for that.
    """
    # A stack of our own: a legal path has more folders than Python allows calls.
    stack = [_steps(root.pk, prefix.replace("/", KEY_SEPARATOR))]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif skip >= step.files:
            skip -= step.files
        elif isinstance(step, _Run):
            yield from islice(_fetch(step), skip, None)
            skip = 0
        else:
            stack.append(_steps(step.directory_id, step.prefix))


class _Run(NamedTuple):
    """The entries `first` to `last` of one directory, which have few enough files below them to hold."""

    directory_id: int
    prefix: str
    first: str
    last: str
    files: int


class _Large(NamedTuple):
    """A subdirectory with more files below it than a run may have."""

    directory_id: int
    prefix: str
    files: int


def _steps(directory_id: int, prefix: str) -> Iterator[_Run | _Large]:
    """Cut a directory into runs, and subdirectories that are too large for one."""
    first, last, waiting = "", "", 0
    for child in read_children(directory_id):
        files = 1 if child.file_count is None else child.file_count
        if waiting and waiting + files > RUN_FILES:
            yield _Run(directory_id, prefix, first, last, waiting)
            waiting = 0
        if files > RUN_FILES:
            yield _Large(child.ref, prefix + child.name + KEY_SEPARATOR, files)
            continue
        first = child.name if waiting == 0 else first
        last = child.name
        waiting += files
    if waiting:
        yield _Run(directory_id, prefix, first, last, waiting)


def _fetch(run: _Run) -> Iterator[WalkedFile]:
    directory_id, prefix, first, last, _ = run
    with connection.cursor() as cursor:
        cursor.execute(_DIRECT, [prefix, directory_id, first, last])
        rows = cursor.fetchall()
        cursor.execute(_SUBTREE, [prefix, KEY_SEPARATOR, directory_id, first, last, KEY_SEPARATOR])
        rows += cursor.fetchall()
    rows.sort(key=lambda row: row[0])
    for key, digest, size, blob_id, pack_key, offset in rows:
        yield WalkedFile(from_key(key), bytes(digest), size, blob_id, pack_key, offset)
