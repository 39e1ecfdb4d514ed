"""The journal of removals: written with the rows' deletion, finished when the objects are gone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from datasets_app.errors import Gone
from datasets_app.models import Pack, RemovedObject
from datasets_app.models.bulk import database_value, insert_rows
from datasets_app.services.content import pack_store, staging
from datasets_app.services.garbage.sweep import Sweep

logger = logging.getLogger(__name__)

BATCH = 200
COLUMNS = ("run_id", "kind", "key", "size", "reason", "created_at", "removed_at")


class Removal(NamedTuple):
    """Something to remove: `key` as `RemovedObject` explains, `size` in bytes."""

    key: str
    size: int = 0


def write(sweep: Sweep, kind: RemovedObject.Kind, items: Iterable[Removal], reason: str) -> None:
    """Write what is removed, inside the transaction that deletes its rows. Objects of the store go afterwards."""
    now = database_value(timezone.now())
    done = None if kind in RemovedObject.STORED else now
    run = sweep.run.pk if sweep.run is not None else None
    insert_rows(RemovedObject, COLUMNS, [(run, kind, item.key, item.size, reason, now, done) for item in items])


def write_staging(sweep: Sweep, uploads: Iterable[UUID], reason: str) -> list[UUID]:
    """Write down the staging files of uploads, inside the transaction that ends these; return those that there are.

    What one of them has brought into the store without a row is found with the unknown objects.
    """
    sizes: dict[UUID, int] = {}
    for upload in uploads:
        with suppress(Gone):
            sizes[upload] = staging().offset(upload)
    items = [Removal(upload.hex, size) for upload, size in sizes.items()]
    write(sweep, RemovedObject.Kind.STAGING, items, reason)
    sweep.add(RemovedObject.Kind.STAGING, len(items), sum(sizes.values()))
    return list(sizes)


def finish(sweep: Sweep) -> None:
    """Remove the objects that are written down as going, also those that an earlier run left."""
    last = 0
    while batch := list(RemovedObject.objects.filter(removed_at=None, pk__gt=last).order_by("pk")[:BATCH]):
        last = batch[-1].pk
        # Keys are random, so this can't be, unless a backup of the database was restored under a living store.
        alive = set(Pack.objects.filter(key__in=[row.key for row in batch]).values_list("key", flat=True))
        gone = [row.pk for row in batch if row.key in alive or _remove(row, sweep)]
        RemovedObject.objects.filter(pk__in=gone).update(removed_at=timezone.now())
        sweep.beat()


def trim(sweep: Sweep) -> None:
    """Forget old entries."""
    old = sweep.now - timedelta(days=settings.JOURNAL_DAYS)
    while some := list(
        RemovedObject.objects.filter(created_at__lt=old).exclude(removed_at=None).values_list("pk", flat=True)[:5000]
    ):
        RemovedObject.objects.filter(pk__in=some).delete()
        sweep.beat()


def _remove(row: RemovedObject, sweep: Sweep) -> bool:
    try:
        pack_store().remove(row.key)
    except Exception as error:  # every storage fails in its own way
        logger.warning("%s could not be removed", row, exc_info=True)
        note = f"The store did not remove some objects ({type(error).__name__}); the next run tries again."
        if note not in sweep.notes:
            sweep.notes.append(note)
        return False
    logger.info("removed %s: %s", row, row.reason)
    return True
