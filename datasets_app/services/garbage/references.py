"""What keeps a row, told by the models: who points to it with PROTECT keeps it, who does with CASCADE goes with it.

So a new table that refers to blobs or directories is minded without a word here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from django.db import models

from datasets_app.services.garbage.sweep import execute, marks, slices


class Pointer(NamedTuple):
    """A foreign key, by the names in the database, and the model that has it."""

    table: str
    column: str
    model: type[models.Model]


@cache
def keepers(model: type[models.Model]) -> tuple[Pointer, ...]:
    """Foreign keys to `model` that keep the row they point to."""
    return tuple(pointer for pointer, on_delete in _pointers(model) if on_delete is models.PROTECT)


@cache
def dependents(model: type[models.Model]) -> tuple[Pointer, ...]:
    """Foreign keys whose rows go with the row that they point to."""
    return tuple(pointer for pointer, on_delete in _pointers(model) if on_delete is models.CASCADE)


def unreferenced(model: type[models.Model], alias: str, *, beside: str = "") -> str:
    """Return the SQL condition that nothing keeps the row `alias`; `beside` names a table whose rows don't count."""
    return " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {p.table} k WHERE k.{p.column} = {alias}.id)"  # noqa: S608 - our own names
        for p in keepers(model)
        if p.table != beside
    )


def delete_rows(model: type[models.Model], ids: Sequence[int]) -> None:
    """Delete rows with what goes with them. Call inside `removing`."""
    for some in slices(ids):
        _delete(model, f"id IN ({marks(some)})", some)


def _delete(model: type[models.Model], condition: str, parameters: Sequence[int]) -> None:
    table, key = model._meta.db_table, model._meta.pk.column
    for pointer in dependents(model):
        chosen = f"{pointer.column} IN (SELECT {key} FROM {table} WHERE {condition})"  # noqa: S608
        _delete(pointer.model, chosen, parameters)
    execute(f"DELETE FROM {table} WHERE {condition}", parameters)  # noqa: S608


def _pointers(model: type[models.Model]) -> Iterator[tuple[Pointer, object]]:
    for relation in model._meta.get_fields(include_hidden=True):
        if isinstance(relation, models.ManyToOneRel):
            field, owner = relation.field, relation.related_model
            if not isinstance(owner, str):
                yield Pointer(owner._meta.db_table, str(field.column), owner), relation.on_delete
