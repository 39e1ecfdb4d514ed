"""Packs that hold nothing any more, and those that were never stored."""

from __future__ import annotations

from datasets_app.models import Blob, Pack, RemovedObject, RetiredPack
from datasets_app.models.bulk import database_value
from datasets_app.services.garbage import journal
from datasets_app.services.garbage.journal import Removal
from datasets_app.services.garbage.references import delete_rows
from datasets_app.services.garbage.sweep import Sweep, id_windows, lock_rows, marks, query, removing, slices

WINDOW = 100_000
BATCH = 200
_EMPTY = f"NOT EXISTS (SELECT 1 FROM {Blob._meta.db_table} b WHERE b.pack_id = p.id)"  # noqa: S608 - our own names
# Somebody may still be reading, by its key, what compaction moved away.
_UNREAD = f"NOT EXISTS (SELECT 1 FROM {RetiredPack._meta.db_table} r WHERE r.pack_id = p.id AND r.since > %s)"  # noqa: S608
_DEAD = f"(p.stored AND {_UNREAD} OR NOT p.stored AND p.created_at <= %s) AND {_EMPTY}"


def collect_packs(sweep: Sweep) -> None:
    """Remove packs without blobs, and rows of packs whose bytes never became whole."""
    cutoff = database_value(sweep.cutoff)
    with sweep.giving_way("packs"):
        for first, last in id_windows(Pack, WINDOW):
            found = query(
                f"SELECT p.id FROM {Pack._meta.db_table} p WHERE p.id BETWEEN %s AND %s AND {_DEAD}",  # noqa: S608
                [first, last, cutoff, cutoff],
            )
            for some in slices([pk for (pk,) in found], BATCH):
                _remove(sweep, list(some))
                sweep.beat()


def _remove(sweep: Sweep, ids: list[int]) -> None:
    cutoff = database_value(sweep.cutoff)
    with removing():
        held = lock_rows(Pack, ids)
        if not held:
            return
        dead = query(
            f"SELECT p.id, p.key, p.size, p.stored FROM {Pack._meta.db_table} p "  # noqa: S608
            f"WHERE p.id IN ({marks(held)}) AND {_DEAD}",
            [*held, cutoff, cutoff],
        )
        for stored, reason in ((True, "none of its bytes is needed"), (False, "its bytes never became whole")):
            items = [Removal(key, size) for _, key, size, was_stored in dead if bool(was_stored) is stored]
            journal.write(sweep, RemovedObject.Kind.PACK, items, reason)
        delete_rows(Pack, [pk for pk, *_ in dead])
    sweep.add(RemovedObject.Kind.PACK, len(dead), sum(size for _, _, size, _ in dead))
