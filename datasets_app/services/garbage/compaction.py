"""Packs of which little is still needed: what lives in them is copied into new packs, and the blobs move there.

The old packs are removed like all that hold nothing, a grace period later.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterator
from contextlib import suppress
from itertools import accumulate
from typing import NamedTuple

from django.conf import settings
from django.db import transaction

from datasets_app.models import Blob, Damage, Pack, RetiredPack
from datasets_app.models.bulk import update_rows
from datasets_app.services.content import Place, VanishedPackError, note_damage, pack_key, pack_store, staging
from datasets_app.services.garbage.sweep import Sweep, id_windows, open_door, query
from datasets_app.services.slice_lists import ListedSlice, put_slices
from datasets_app.store.packs import MissingPack

logger = logging.getLogger(__name__)

WINDOW = 100_000
# No pack is made of more blobs.
MOST_BLOBS = 20_000
HEALED_AT_ONCE = 1_000


class LiveSlice(NamedTuple):
    """A blob that is still there, and where it rests."""

    blob: int
    sha256: bytes
    size: int
    pack: int
    key: str
    offset: int


def compact_packs(sweep: Sweep) -> None:
    """Rewrite packs whose live share is too small, at most COMPACT_BYTES of live bytes in one run."""
    if not settings.COMPACT_BELOW_PERCENT:
        return
    left = settings.COMPACT_BYTES
    with sweep.giving_way("half-empty packs"):
        for batch in _batches(_wasteful_packs()):
            size = sum(piece.size for piece in batch)
            if size > left:
                sweep.notes.append("Some half-empty packs were left to the next run (COMPACT_BYTES).")
                return
            left -= size
            _rewrite(sweep, batch)
            sweep.beat()


def wasted_bytes() -> int:
    """Count the bytes in packs that no blob needs."""
    ((wasted,),) = query(
        f"SELECT coalesce((SELECT sum(size) FROM {Pack._meta.db_table} WHERE stored), 0) "  # noqa: S608 - our own names
        f"- coalesce((SELECT sum(size) FROM {Blob._meta.db_table}), 0)"
    )
    return max(int(wasted), 0)


def _wasteful_packs() -> Iterator[int]:
    """Ids of stored packs that hold blobs, but fewer bytes of them than the setting asks for."""
    for first, last in id_windows(Pack, WINDOW):
        rows = query(
            f"SELECT p.id FROM {Pack._meta.db_table} p JOIN {Blob._meta.db_table} b ON b.pack_id = p.id "  # noqa: S608
            "WHERE p.stored AND p.id BETWEEN %s AND %s GROUP BY p.id, p.size "
            "HAVING sum(b.size) * 100 < p.size * %s ORDER BY p.id",
            [first, last, settings.COMPACT_BELOW_PERCENT],
        )
        yield from (pk for (pk,) in rows)


def _batches(packs: Iterator[int]) -> Iterator[list[LiveSlice]]:
    """Gather the live slices of whole packs, up to PACK_BYTES (or those of one pack, if it holds more)."""
    batch: list[LiveSlice] = []
    for pack in packs:
        live = _live_slices(pack)
        full = sum(p.size for p in batch) + sum(p.size for p in live) > settings.PACK_BYTES
        if batch and (full or len(batch) + len(live) > MOST_BLOBS):
            yield batch
            batch = []
        batch += live
    if batch:
        yield batch


def _live_slices(pack: int) -> list[LiveSlice]:
    """Leave out what is known to be damaged: it stays where it is."""
    whole = Blob.objects.filter(pack=pack).exclude(damages__in=Damage.objects.open())
    rows = whole.order_by("offset").values_list("pk", "sha256", "size", "pack_id", "pack__key", "offset")
    return [LiveSlice(pk, bytes(digest), size, pack_id, key, offset) for pk, digest, size, pack_id, key, offset in rows]


def _rewrite(sweep: Sweep, batch: list[LiveSlice]) -> None:
    """Copy, store, then move the rows. May die anywhere: what is left is garbage."""
    new = uuid.uuid4()
    key = pack_key(new)
    staging().create(new)
    try:
        copied = list(_copy(new, batch))
        if not copied:
            return
        places = list(accumulate((piece.size for piece in copied), initial=0))
        Pack.objects.create(key=key, size=places[-1])
        put_slices(key, [ListedSlice(p.sha256, p.size, key, offset) for p, offset in zip(copied, places, strict=False)])
        pack_store().put(staging().path(new), key)
    finally:
        staging().remove(new)
    with suppress(VanishedPackError):
        _move(sweep, key, copied, places)
        sweep.add("compacted", len({p.pack for p in copied}), places[-1])


def _copy(new: uuid.UUID, batch: list[LiveSlice]) -> Iterator[LiveSlice]:
    """Append the slices to the staging file; give those whose bytes are what they should be."""
    with staging().path(new).open("wb") as file:
        for piece in batch:
            start, hasher = file.tell(), hashlib.sha256()
            try:
                for block in pack_store().read(piece.key, piece.offset, piece.size):
                    hasher.update(block)
                    file.write(block)
            except MissingPack:
                note_damage(piece.blob, Damage.Cause.MISSING, Place(piece.key, piece.offset))
            else:
                if hasher.digest() == piece.sha256:
                    yield piece
                    continue
                note_damage(piece.blob, Damage.Cause.CHANGED, Place(piece.key, piece.offset))
            file.truncate(start)
            file.seek(start)


def _move(sweep: Sweep, key: str, copied: list[LiveSlice], places: list[int]) -> None:
    """Point the blobs to the new pack, unless they have gone or moved since they were read."""
    with transaction.atomic():
        if not Pack.objects.filter(key=key, stored=False).update(stored=True):
            raise VanishedPackError
        pack = Pack.objects.get(key=key)
        with open_door("compaction"):
            update_rows(
                Blob,
                ("pack_id", "offset"),
                [(p.blob, p.pack, p.offset, pack.pk, offset) for p, offset in zip(copied, places, strict=False)],
                keys=("id", "pack_id", "offset"),
            )
        # One that was retired before, of which something had stayed, has its whole grace period from now on.
        RetiredPack.objects.bulk_create(
            [RetiredPack(pack_id=pk, since=sweep.now) for pk in sorted({p.pack for p in copied})],
            update_conflicts=True,
            unique_fields=["pack"],
            update_fields=["since"],
        )
    logger.info("compacted %d blobs into pack %s", len(copied), key)


def list_healed(sweep: Sweep) -> None:
    """Store lists of slices for packs that brought lost bytes again: no older manifest tells of them."""
    healed = Damage.objects.exclude(healed_at=None).exclude(blob=None).filter(is_listed=False)
    for damage in healed.select_related("blob__pack")[:HEALED_AT_ONCE]:
        if damage.blob is not None:
            put_slices(
                damage.blob.pack.key,
                [ListedSlice(p.sha256, p.size, p.key, p.offset) for p in _live_slices(damage.blob.pack_id)],
            )
            Damage.objects.filter(pk=damage.pk).update(is_listed=True)
        sweep.beat()
