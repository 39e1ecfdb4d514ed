"""Blobs that no file and no staged file holds."""

from __future__ import annotations

from datasets_app.models import Blob, RemovedObject, UnreferencedBlob
from datasets_app.services.garbage import journal
from datasets_app.services.garbage.journal import Removal
from datasets_app.services.garbage.marking import mark_unreferenced, unmark_referenced
from datasets_app.services.garbage.references import delete_rows, unreferenced
from datasets_app.services.garbage.sweep import Sweep, lock_rows, marks, query, removing

BATCH = 2_000
REASON = "no version and no upload holds it"


def collect_blobs(sweep: Sweep) -> None:
    """Mark unreferenced blobs, and remove the rows of those whose grace period is over."""
    with sweep.giving_way("blobs"):
        mark_unreferenced(sweep, Blob, UnreferencedBlob)
        unmark_referenced(sweep, UnreferencedBlob, Blob)
        last = 0
        due = UnreferencedBlob.objects.filter(since__lte=sweep.cutoff).order_by("pk").values_list("pk", flat=True)
        while ids := list(due.filter(pk__gt=last)[:BATCH]):
            last = ids[-1]
            _remove(sweep, ids)
            sweep.beat()


def _remove(sweep: Sweep, ids: list[int]) -> None:
    with removing():
        held = lock_rows(Blob, ids)
        if not held:
            return
        # Asked only now: who linked one of them has committed, and who wants to waits for us.
        free = query(
            f"SELECT b.id, b.sha256, b.size FROM {Blob._meta.db_table} b "  # noqa: S608 - our own names
            f"WHERE b.id IN ({marks(held)}) AND {unreferenced(Blob, 'b')}",
            held,
        )
        items = [Removal(bytes(digest).hex(), size) for _, digest, size in free]
        journal.write(sweep, RemovedObject.Kind.BLOB, items, REASON)
        delete_rows(Blob, [pk for pk, *_ in free])
    sweep.add(RemovedObject.Kind.BLOB, len(items), sum(item.size for item in items))
