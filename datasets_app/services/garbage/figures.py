"""How much is stored, how much of it nothing needs any more, and what a collection would remove now."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, Sum

from datasets_app.models import (
    Blob,
    Directory,
    File,
    Pack,
    RetiredPack,
    StorageSample,
    Subdirectory,
    UnreferencedBlob,
    Version,
)
from datasets_app.models.bulk import database_value
from datasets_app.models.garbage import UnreferencedDirectory
from datasets_app.services.garbage.compaction import wasted_bytes
from datasets_app.services.garbage.references import keepers, unreferenced
from datasets_app.services.garbage.sweep import Sweep, query


class Unused(NamedTuple):
    """Blobs that no version and no upload needs, and their bytes: all, and those whose grace period is over."""

    blobs: int
    size: int
    due_blobs: int
    due_size: int


def measure_unused(cutoff: datetime) -> Unused:
    """Count what is unreferenced; exact, and one pass over all blobs."""
    return Unused(*_count_blobs(cutoff=None), *_count_blobs(cutoff=cutoff))


def take_sample(sweep: Sweep) -> StorageSample:
    """Write down how much is stored now."""
    packs = Pack.objects.filter(stored=True).aggregate(count=Count("pk"), size=Sum("size", default=0))
    blobs = Blob.objects.aggregate(count=Count("pk"), size=Sum("size", default=0))
    logical = Version.objects.available().aggregate(size=Sum("root__size", default=0))
    sample: StorageSample = StorageSample.objects.create(
        at=sweep.now,
        pack_size=packs["size"],
        pack_count=packs["count"],
        blob_size=blobs["size"],
        blob_count=blobs["count"],
        logical_size=logical["size"],
        unused_size=measure_unused(sweep.cutoff).size + wasted_bytes(),
    )
    return sample


def count_due_trees(cutoff: datetime) -> int:
    """Count directories that no version holds, and whose grace period is over."""
    live, parameters = _live(cutoff)
    ((count,),) = query(
        f"WITH RECURSIVE {live} SELECT count(*) FROM {Directory._meta.db_table} d "  # noqa: S608 - our own names
        "WHERE NOT EXISTS (SELECT 1 FROM live WHERE live.id = d.id)",
        parameters,
    )
    return int(count)


def count_due_packs(cutoff: datetime) -> tuple[int, int]:
    """Count packs, and their bytes, that hold nothing any more once due blobs are gone."""
    live, parameters = _live(cutoff)
    unused, more = _unused(cutoff)
    packs, retired, since = Pack._meta.db_table, RetiredPack._meta.db_table, database_value(cutoff)
    ((count, size),) = query(
        f"WITH RECURSIVE {live}, due(id) AS (SELECT b.id FROM {Blob._meta.db_table} b WHERE {unused}) "  # noqa: S608
        f"SELECT count(*), coalesce(sum(p.size), 0) FROM {packs} p WHERE (NOT p.stored AND p.created_at <= %s "
        f"OR p.stored AND NOT EXISTS (SELECT 1 FROM {retired} r WHERE r.pack_id = p.id AND r.since > %s)) "
        f"AND NOT EXISTS (SELECT 1 FROM {Blob._meta.db_table} b WHERE b.pack_id = p.id "
        "AND NOT EXISTS (SELECT 1 FROM due WHERE due.id = b.id))",
        [*parameters, *more, since, since],
    )
    return int(count), int(size)


def _count_blobs(*, cutoff: datetime | None) -> tuple[int, int]:
    """Count blobs that no live tree and no staged file holds; with `cutoff`, trees marked later count as alive."""
    live, parameters = _live(cutoff)
    unused, more = _unused(cutoff)
    ((count, size),) = query(
        f"WITH RECURSIVE {live} "  # noqa: S608
        f"SELECT count(*), coalesce(sum(b.size), 0) FROM {Blob._meta.db_table} b WHERE {unused}",
        [*parameters, *more],
    )
    return int(count), int(size)


def _live(cutoff: datetime | None) -> tuple[str, list[Any]]:
    """Write the table of the directories that something holds; with `cutoff`, also those that are not due then."""
    edges = Subdirectory._meta.db_table
    holding = [p for p in keepers(Directory) if p.table != edges]
    roots = [f"SELECT {p.column} FROM {p.table} WHERE {p.column} IS NOT NULL" for p in holding]  # noqa: S608 - our own names
    parameters = []
    if cutoff is not None:
        marks = UnreferencedDirectory._meta.db_table
        roots.append(f"SELECT directory_id FROM {marks} WHERE since > %s")  # noqa: S608
        # Not marked yet: found by the next scan, so not due either.
        roots.append(
            f"SELECT d.id FROM {Directory._meta.db_table} d WHERE {unreferenced(Directory, 'd')} "  # noqa: S608
            f"AND NOT EXISTS (SELECT 1 FROM {marks} m WHERE m.directory_id = d.id)"
        )
        parameters = [database_value(cutoff)]
    table = (
        f"live(id) AS (SELECT * FROM ({' UNION '.join(roots)}) AS roots "  # noqa: S608
        f"UNION SELECT s.child_id FROM live JOIN {edges} s ON s.parent_id = live.id)"
    )
    return table, parameters


def _unused(cutoff: datetime | None) -> tuple[str, list[Any]]:
    """Write the condition that no directory of the table `live`, and nothing else, holds the blob b."""
    files, marks = File._meta.db_table, UnreferencedBlob._meta.db_table
    condition = (
        f"NOT EXISTS (SELECT 1 FROM {files} f JOIN live ON live.id = f.directory_id WHERE f.blob_id = b.id) "  # noqa: S608
        f"AND {unreferenced(Blob, 'b', beside=files)}"
    )
    if cutoff is None:
        return condition, []
    due = (
        f"(EXISTS (SELECT 1 FROM {marks} m WHERE m.blob_id = b.id AND m.since <= %s) "  # noqa: S608
        f"OR EXISTS (SELECT 1 FROM {files} f WHERE f.blob_id = b.id))"
    )
    return f"{condition} AND {due}", [database_value(cutoff)]
