"""Since when rows have been unused: found by scans that read only, and kept in small tables of their own."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from datasets_app.models import Blob, Directory, UnreferencedBlob, UnreferencedDirectory
from datasets_app.models.bulk import database_value, insert_new_rows
from datasets_app.models.holding import unmark
from datasets_app.services.garbage.references import unreferenced
from datasets_app.services.garbage.sweep import Sweep, id_windows, query, slices

# Ids that one statement looks at, and marks that one transaction writes.
WINDOW = 100_000
BATCH = 5_000

Mark = type[UnreferencedBlob | UnreferencedDirectory]


def mark_unreferenced(sweep: Sweep, model: type[Blob | Directory], mark: Mark) -> None:
    """Mark rows that nothing keeps. Their grace period begins now."""
    key = str(mark._meta.pk.column)
    for first, last in id_windows(model, WINDOW):
        found = query(
            f"SELECT r.id FROM {model._meta.db_table} r WHERE r.id BETWEEN %s AND %s AND {unreferenced(model, 'r')} "  # noqa: S608 - our own names
            f"AND NOT EXISTS (SELECT 1 FROM {mark._meta.db_table} m WHERE m.{key} = r.id)",
            [first, last],
        )
        for some in slices(found, BATCH):
            _insert(mark, key, [(pk, database_value(sweep.now)) for (pk,) in some])
        sweep.beat()


def _insert(mark: Mark, key: str, rows: list[tuple[Any, ...]]) -> None:
    with transaction.atomic():
        insert_new_rows(mark, (key, "since"), rows)


def unmark_referenced(sweep: Sweep, mark: Mark, model: type[Blob | Directory]) -> None:
    """Forget the marks of rows that are used again."""
    key = str(mark._meta.pk.column)
    for first, last in id_windows(mark, WINDOW):
        found = query(
            f"SELECT r.id FROM {mark._meta.db_table} m JOIN {model._meta.db_table} r ON r.id = m.{key} "  # noqa: S608
            f"WHERE m.{key} BETWEEN %s AND %s AND NOT ({unreferenced(model, 'r')})",
            [first, last],
        )
        for some in slices([pk for (pk,) in found], BATCH):
            with transaction.atomic():
                unmark(mark, some)
        sweep.beat()
