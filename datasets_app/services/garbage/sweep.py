"""What every step of a collection shares: the time it goes by, what it counts, and how it deletes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import OperationalError, connection, models, transaction
from django.utils import timezone

from datasets_app.models import CollectionRun, Door

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOOKUP = 500
# Less than the second after which PostgreSQL looks for deadlocks: so the collector gives way, not a user.
LOCK_TIMEOUT = "500ms"


@dataclass
class Sweep:
    """One collection under way. What became unused at `cutoff` or before has had its grace period."""

    now: datetime = field(default_factory=timezone.now)
    run: CollectionRun | None = None
    # Called after each batch: it keeps the lease, and raises when that was lost.
    beat: Callable[[], None] = lambda: None
    counts: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def cutoff(self) -> datetime:
        """The grace period before `now`."""
        return self.now - timedelta(hours=settings.GRACE_HOURS)

    def add(self, kind: str, count: int, size: int = 0) -> None:
        """Count what was removed; `size` in bytes."""
        self.counts[kind] += count
        self.sizes[kind] += size

    def report(self) -> dict[str, dict[str, int]]:
        """Return the counts as `CollectionRun.report` keeps them."""
        counted = sorted((kind, count) for kind, count in self.counts.items() if count)
        return {kind: {"count": count, "size": self.sizes[kind]} for kind, count in counted}

    @contextmanager
    def giving_way(self, what: str) -> Iterator[None]:
        """Leave a step to the next run when others hold the rows that it needs, or the database is too busy."""
        try:
            yield
        except OperationalError as error:
            logger.warning("the collection left %s to the next run: %s", what, error)
            self.notes.append(f"The database was busy: {what} were left to the next run.")


@contextmanager
def removing() -> Iterator[None]:
    """Open a transaction that may delete sealed rows, and that waits for nobody for long."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        with open_door("purge"):
            yield


@contextmanager
def open_door(name: str) -> Iterator[None]:
    """Let sealed rows be deleted ("purge") or moved ("compaction"), inside the caller's transaction."""
    Door.objects.create(name=name)
    yield
    Door.objects.filter(name=name).delete()


def lock_rows(model: type[models.Model], ids: Sequence[int]) -> list[int]:
    """Lock those rows that nobody else holds; return their ids. What is linked now is not among them."""
    skip = "FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else ""
    held: list[int] = []
    for some in slices(ids):
        statement = f"SELECT id FROM {model._meta.db_table} WHERE id IN ({marks(some)}) {skip}"  # noqa: S608 - our own names
        held += [pk for (pk,) in query(statement, some)]
    return held


def query(statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run a SELECT; return all rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def execute(statement: str, parameters: Sequence[Any] = ()) -> int:
    """Run a statement; return how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return int(cursor.rowcount)


def marks(items: Sequence[object]) -> str:
    """Return a placeholder for each item."""
    return ", ".join(["%s"] * len(items))


def slices(items: Sequence[T], size: int = LOOKUP) -> Iterator[Sequence[T]]:
    """Cut a sequence into pieces of at most `size`."""
    return (items[start : start + size] for start in range(0, len(items), size))


def id_windows(model: type[models.Model], size: int) -> Iterable[tuple[int, int]]:
    """Cut a table into ranges of ids, (first, last), so that no statement runs for long."""
    ends = models.QuerySet(model).aggregate(first=models.Min("pk"), last=models.Max("pk"))
    if ends["first"] is None:
        return ()
    return ((start, start + size - 1) for start in range(ends["first"], ends["last"] + 1, size))
