"""Keyset pages: each starts after the last row of the one before, so that the last page costs what the first does."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core import signing
from django.db import models
from django.db.models import Q

from datasets_app.services.validation import invalid_field

M = TypeVar("M", bound=models.Model)
T = TypeVar("T")

MOST_ROWS = 1000


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list. `next_cursor` fetches the rows after them; None at the end."""

    items: list[T]
    next_cursor: str | None


def take_page(rows: models.QuerySet[M], *, order: tuple[str, ...], cursor: str | None, limit: int) -> Page[M]:
    """Return up to `limit` rows after `cursor`, ordered by the fields or annotations in `order` ("-name" descends).

    The last of `order` must be unique among the rows, and none of them may be null. A cursor is signed, and
    holds for one order only; any other text raises Invalid.
    """
    if not 1 <= limit <= MOST_ROWS:
        raise invalid_field("limit", f"A page has from 1 to {MOST_ROWS} rows.")
    rows = rows.order_by(*order)
    if cursor:
        rows = rows.filter(_after(order, _decode(cursor, order)))
    found = list(rows[: limit + 1])
    if len(found) <= limit:
        return Page(found, None)
    last = found[limit - 1]
    return Page(found[:limit], _encode([getattr(last, name.removeprefix("-")) for name in order], order))


def _after(order: tuple[str, ...], values: list[Any]) -> Q:
    """Build "greater than `values`" for a mix of ascending and descending fields."""
    condition = Q()
    for name, value in reversed(list(zip(order, values, strict=True))):
        field = name.removeprefix("-")
        beyond = Q(**{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
        condition = beyond | (Q(**{field: value}) & condition) if condition else beyond
    return condition


def _salt(order: tuple[str, ...]) -> str:
    return "cursor " + " ".join(order)


def _encode(values: list[Any], order: tuple[str, ...]) -> str:
    plain = [{"time": value.isoformat()} if isinstance(value, datetime) else value for value in values]
    return signing.dumps(plain, salt=_salt(order))


def _decode(cursor: str, order: tuple[str, ...]) -> list[Any]:
    try:
        plain = signing.loads(cursor, salt=_salt(order))
    except (signing.BadSignature, ValueError) as error:
        detail = "This cursor was not made by this list in this order. Start again without it."
        raise invalid_field("cursor", detail) from error
    return [datetime.fromisoformat(value["time"]) if isinstance(value, dict) else value for value in plain]
