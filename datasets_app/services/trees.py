"""Write Merkle trees as rows, and read the children of a directory. The rows of equal directories are shared."""

from __future__ import annotations

from functools import partial
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from django.db import transaction
from django.utils import timezone

from datasets_app.models import Directory, File, NameList, Subdirectory, UnreferencedDirectory
from datasets_app.models.bulk import insert_rows
from datasets_app.models.holding import hold_rows, unmark
from datasets_app.store.name_lists import LEAST_FILES, list_names
from datasets_app.store.overlay import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from datasets_app.store.merkle import FileRow, Node

T = TypeVar("T")

BATCH_ROWS = 20_000
LOOKUP = 500


class VanishedDirectoryError(Exception):
    """A directory that was shared a moment ago has been collected: write the tree again."""


class _Pending(NamedTuple):
    """A directory waiting to be written: its totals, what gives its files (each time anew), and its subdirectories."""

    file_count: int
    size: int
    rows: int
    files: Callable[[], Iterable[FileRow]]
    subdirectories: list[tuple[str, bytes]]


def write_tree(nodes: Iterable[Node], *, progress: Callable[[int], None]) -> int:
    """Insert the directories that the database doesn't know yet; return the id of the root, the last of `nodes`.

    Each transaction holds whole directories, children before parents: a crash leaves unreferenced but complete
    rows, which the next attempt shares. `progress` is called after each batch with the number of rows looked at.
    Raises VanishedDirectoryError. Nothing holds the root until a version does: ask `hold_tree` in that transaction.
    """
    batch: dict[bytes, _Pending] = {}
    rows = 0
    root = b""
    for node in nodes:
        root = node.digest
        if node.digest in batch:
            continue
        files = list(islice(node.files, BATCH_ROWS))
        subdirectories = [(row.name, row.digest) for row in node.subdirectories]
        totals = (node.file_count, node.size)
        if len(files) == BATCH_ROWS:
            # Too many to hold: what waits is written first, then this directory alone, straight from the spool.
            _write(batch, progress)
            batch, rows = {}, 0
            straight = _Pending(*totals, 1 + len(subdirectories), partial(getattr, node, "files"), subdirectories)
            _write({node.digest: straight}, progress)
            continue
        pending = _Pending(*totals, 1 + len(files) + len(subdirectories), files.__iter__, subdirectories)
        batch[node.digest] = pending
        rows += pending.rows
        if rows >= BATCH_ROWS:
            _write(batch, progress)
            batch, rows = {}, 0
    _write(batch, progress)
    root_id = Directory.objects.filter(digest=root).values_list("pk", flat=True).first()
    if root_id is None:
        raise VanishedDirectoryError
    return root_id


def hold_tree(root_id: int) -> None:
    """Keep a tree from being collected to the end of the transaction; VanishedDirectoryError when it is gone.

    A root that is still there has been there, with all that is below it, since it was written.
    """
    if not hold_rows(Directory, [root_id]):
        raise VanishedDirectoryError
    unmark(UnreferencedDirectory, [root_id])


def _write(batch: dict[bytes, _Pending], progress: Callable[[int], None]) -> None:
    """Insert those of `batch` that are new, in one transaction."""
    if not batch:
        return
    with transaction.atomic():
        now = timezone.now()
        Directory.objects.bulk_create(
            # In one order for all, so that two seals with the same new directories wait for each other and never both.
            [
                Directory(digest=d, file_count=p.file_count, size=p.size, created_at=now)
                for d, p in sorted(batch.items())
            ],
            ignore_conflicts=True,
            batch_size=LOOKUP,
        )
        # Rows of others are closed by the time that they can be seen; the open ones are ours.
        ids = _ids_of(batch, closed=False)
        new = {digest: batch[digest] for digest in ids}
        wanted = {digest for pending in new.values() for _, digest in pending.subdirectories}
        children = ids | _share(wanted.union(batch).difference(ids))
        if not wanted <= children.keys():
            raise VanishedDirectoryError
        _insert_files({ids[digest]: pending.files for digest, pending in new.items()})
        edges = ((ids[d], name, children[c]) for d, pending in new.items() for name, c in pending.subdirectories)
        insert_rows(Subdirectory, ("parent_id", "name", "child_id"), edges)
        for some in _slices(list(ids.values())):
            Directory.objects.filter(pk__in=some).update(closed=True)
    progress(sum(pending.rows for pending in batch.values()))


def _insert_files(directories: dict[int, Callable[[], Iterable[FileRow]]]) -> None:
    """Insert the files of new directories, by their ids, and the lists of their names."""
    rows = ((pk, row.name, row.ref) for pk, files in directories.items() for row in files())
    insert_rows(File, ("directory_id", "name", "blob_id"), rows)
    columns = ("directory_id", "first", "last", "names", "least_size", "most_size")
    lists = (
        (pk, *one)
        for pk, files in directories.items()
        if len(list(islice(files(), LEAST_FILES))) == LEAST_FILES
        for one in list_names((row.name, row.size) for row in files())
    )
    insert_rows(NameList, columns, lists)


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + LOOKUP] for start in range(0, len(items), LOOKUP))


def _share(digests: Iterable[bytes]) -> dict[bytes, int]:
    """Ids of directories that are there already; they are not collected before the transaction ends."""
    found = _ids_of(digests, closed=True)
    held = hold_rows(Directory, found.values())
    unmark(UnreferencedDirectory, held)
    return {digest: pk for digest, pk in found.items() if pk in held}


def _ids_of(digests: Iterable[bytes], *, closed: bool) -> dict[bytes, int]:
    found: dict[bytes, int] = {}
    for some in _slices(list(digests)):
        rows = Directory.objects.filter(digest__in=some, closed=closed).values_list("digest", "pk")
        found.update((bytes(digest), pk) for digest, pk in rows)
    return found


def read_children(directory_id: int) -> Iterator[Child]:
    """Files and directories directly in one directory, merged in byte order of their names, read in pages."""
    return merge(_files(directory_id), _subdirectories(directory_id), key=lambda child: child.name)


def _files(directory_id: int) -> Iterator[Child]:
    rows = File.objects.filter(directory=directory_id).order_by("name")
    columns = rows.values_list("name", "blob__sha256", "blob__size", "blob_id")
    last = ""
    while page := list(columns.filter(name__gt=last)[:BATCH_ROWS]):
        for name, digest, size, ref in page:
            yield Child(name, bytes(digest), size, ref)
        last = page[-1][0]


def _subdirectories(directory_id: int) -> Iterator[Child]:
    rows = Subdirectory.objects.filter(parent=directory_id).order_by("name")
    columns = rows.values_list("name", "child__digest", "child__size", "child_id", "child__file_count")
    last = ""
    while page := list(columns.filter(name__gt=last)[:BATCH_ROWS]):
        for name, digest, size, ref, file_count in page:
            yield Child(name, bytes(digest), size, ref, file_count)
        last = page[-1][0]
