"""Keep rows from being collected while something is linked to them. See docs/decisions/0006-garbage.md.

SQLite needs none of it: its transactions begin by taking the only write lock, so what was looked up in one stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models

from datasets_app.models.garbage import UnreferencedBlob, UnreferencedDirectory

LOOKUP = 500


def hold_clause(alias: str) -> str:
    """Return what to put at the end of a SELECT, so that the rows of `alias` outlive the transaction, if one is open.

    Those who link don't hinder each other; the collector waits for none of them, and takes other rows.
    """
    locks = connection.vendor == "postgresql" and connection.in_atomic_block
    return f"FOR KEY SHARE OF {alias}" if locks else ""


def hold_rows(model: type[models.Model], ids: Iterable[int]) -> set[int]:
    """Hold rows to the end of the transaction; return the ids of those that still exist."""
    wanted = sorted(set(ids))
    held: set[int] = set()
    with connection.cursor() as cursor:
        for some in _slices(wanted):
            marks = ", ".join(["%s"] * len(some))
            statement = f"SELECT r.id FROM {model._meta.db_table} r WHERE r.id IN ({marks}) {hold_clause('r')}"  # noqa: S608 - our own names
            cursor.execute(statement, some)
            held.update(pk for (pk,) in cursor.fetchall())
    return held


def unmark(model: type[UnreferencedBlob | UnreferencedDirectory], ids: Iterable[int]) -> None:
    """Forget since when rows have been unused, as they are about to be linked. Does nothing outside a transaction."""
    if not connection.in_atomic_block:
        return
    table, column = model._meta.db_table, str(model._meta.pk.column)
    # Another who links the same row deletes the same mark: one of the two is enough, and none must wait.
    skip = " FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for some in _slices(sorted(set(ids))):
            marks = ", ".join(["%s"] * len(some))
            chosen = f"SELECT {column} FROM {table} WHERE {column} IN ({marks}){skip}"  # noqa: S608
            cursor.execute(f"DELETE FROM {table} WHERE {column} IN ({chosen})", some)  # noqa: S608


def _slices(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + LOOKUP] for start in range(0, len(items), LOOKUP))
