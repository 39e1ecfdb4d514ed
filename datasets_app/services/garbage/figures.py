"""How much is stored, how much of it nothing needs any more, and what a collection would remove now."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from django.db.models import Count, Sum

from datasets_app.models import Blob, Directory, File, Pack, StorageSample, Subdirectory, UnreferencedBlob, Version
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


def _count_blobs(*, cutoff: datetime | None) -> tuple[int, int]:
    """Count blobs that no live tree and no staged file holds; with `cutoff`, trees marked later count as alive."""
    files, edges = File._meta.db_table, Subdirectory._meta.db_table
    holding = [p for p in keepers(Directory) if p.table != edges]
    roots = [f"SELECT {p.column} FROM {p.table} WHERE {p.column} IS NOT NULL" for p in holding]  # noqa: S608 - our own names
    parameters = []
    not_due = ""
    if cutoff is not None:
        marks, due = UnreferencedDirectory._meta.db_table, UnreferencedBlob._meta.db_table
        roots.append(f"SELECT directory_id FROM {marks} WHERE since > %s")  # noqa: S608
        # Not marked yet: found by the next scan, so not due either.
        roots.append(
            f"SELECT d.id FROM {Directory._meta.db_table} d WHERE {unreferenced(Directory, 'd')} "  # noqa: S608
            f"AND NOT EXISTS (SELECT 1 FROM {marks} m WHERE m.directory_id = d.id)"
        )
        not_due = (
            f"AND (EXISTS (SELECT 1 FROM {due} m WHERE m.blob_id = b.id AND m.since <= %s) "  # noqa: S608
            f"OR EXISTS (SELECT 1 FROM {files} f WHERE f.blob_id = b.id))"
        )
        parameters = [database_value(cutoff)] * 2
    ((count, size),) = query(
        f"WITH RECURSIVE live(id) AS (SELECT * FROM ({' UNION '.join(roots)}) AS roots "  # noqa: S608
        f"UNION SELECT s.child_id FROM live JOIN {edges} s ON s.parent_id = live.id) "
        f"SELECT count(*), coalesce(sum(b.size), 0) FROM {Blob._meta.db_table} b "
        f"WHERE NOT EXISTS (SELECT 1 FROM {files} f JOIN live ON live.id = f.directory_id WHERE f.blob_id = b.id) "
        f"AND {unreferenced(Blob, 'b', beside=files)} {not_due}",
        parameters,
    )
    return int(count), int(size)
