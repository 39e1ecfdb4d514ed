"""Directories that no version holds: found at their tops, removed from there downwards."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import accumulate

from django.db import connection

from datasets_app.models import (
    Blob,
    Directory,
    File,
    RemovedObject,
    Subdirectory,
    UnreferencedBlob,
    UnreferencedDirectory,
)
from datasets_app.models.bulk import database_value
from datasets_app.services.garbage import journal
from datasets_app.services.garbage.journal import Removal
from datasets_app.services.garbage.marking import mark_unreferenced, unmark_referenced
from datasets_app.services.garbage.references import delete_rows, unreferenced
from datasets_app.services.garbage.sweep import Sweep, execute, lock_rows, marks, query, removing

# Directories looked at together, and rows deleted in one transaction. A single directory goes whole, however large:
# half of one must never be found by its digest.
BATCH = 100
BATCH_ROWS = 20_000
REASON = "no version holds it"


def collect_trees(sweep: Sweep) -> None:
    """Mark the tops of unreferenced trees, and remove those whose grace period is over, with all that is below them."""
    with sweep.giving_way("trees"):
        mark_unreferenced(sweep, Directory, UnreferencedDirectory)
        unmark_referenced(sweep, UnreferencedDirectory, Directory)
        # What hung on a removed directory is marked with its time, and so is due as well.
        while _remove_due(sweep):
            pass


def _remove_due(sweep: Sweep) -> int:
    """Go once through what is due; return how many directories went."""
    last, removed = 0, 0
    rows = UnreferencedDirectory.objects.filter(since__lte=sweep.cutoff).order_by("pk")
    while due := dict(rows.filter(pk__gt=last).values_list("pk", "since")[:BATCH]):
        taken = _cut(list(due))
        last = taken[-1]
        removed += _remove(sweep, taken, max(due[pk] for pk in taken))
        sweep.beat()
    return removed


def _cut(ids: list[int]) -> list[int]:
    """Take as many directories as have not too many files directly in them, but at least one."""
    counted = query(
        f"SELECT directory_id, count(*) FROM {File._meta.db_table} WHERE directory_id IN ({marks(ids)}) GROUP BY 1",  # noqa: S608 - our own names
        ids,
    )
    sizes = dict(counted)
    totals = list(accumulate(sizes.get(pk, 0) for pk in ids))
    return [pk for pk, total in zip(ids, totals, strict=True) if total <= BATCH_ROWS] or ids[:1]


def _remove(sweep: Sweep, ids: Sequence[int], since: datetime) -> int:
    with removing():
        held = lock_rows(Directory, ids)
        if not held:
            return 0
        free = query(
            f"SELECT d.id, d.digest FROM {Directory._meta.db_table} d "  # noqa: S608
            f"WHERE d.id IN ({marks(held)}) AND {unreferenced(Directory, 'd')}",
            held,
        )
        if not free:
            return 0
        going = [pk for pk, _ in free]
        _mark_children(going, since)
        _mark_blobs(going, since)
        journal.write(sweep, RemovedObject.Kind.TREE, [Removal(bytes(digest).hex()) for _, digest in free], REASON)
        delete_rows(Directory, going)
    sweep.add(RemovedObject.Kind.TREE, len(going))
    return len(going)


def _mark_children(parents: Sequence[int], since: datetime) -> None:
    table, edges = UnreferencedDirectory._meta.db_table, Subdirectory._meta.db_table
    going = marks(parents)
    execute(
        f"INSERT INTO {table} (directory_id, since) SELECT DISTINCT d.id, {_when()} "  # noqa: S608
        f"FROM {edges} s JOIN {Directory._meta.db_table} d ON d.id = s.child_id WHERE s.parent_id IN ({going}) "
        f"AND NOT EXISTS (SELECT 1 FROM {edges} o WHERE o.child_id = d.id AND o.parent_id NOT IN ({going})) "
        f"AND {unreferenced(Directory, 'd', beside=edges)} ON CONFLICT DO NOTHING",
        [database_value(since), *parents, *parents],
    )


def _mark_blobs(directories: Sequence[int], since: datetime) -> None:
    table, files = UnreferencedBlob._meta.db_table, File._meta.db_table
    going = marks(directories)
    execute(
        f"INSERT INTO {table} (blob_id, since) SELECT DISTINCT b.id, {_when()} "  # noqa: S608
        f"FROM {files} f JOIN {Blob._meta.db_table} b ON b.id = f.blob_id WHERE f.directory_id IN ({going}) "
        f"AND NOT EXISTS (SELECT 1 FROM {files} o WHERE o.blob_id = b.id AND o.directory_id NOT IN ({going})) "
        f"AND {unreferenced(Blob, 'b', beside=files)} ON CONFLICT DO NOTHING",
        [database_value(since), *directories, *directories],
    )


def _when() -> str:
    """Return the placeholder of a time in a SELECT, where PostgreSQL can't guess its type."""
    return "%s::timestamptz" if connection.vendor == "postgresql" else "%s"
