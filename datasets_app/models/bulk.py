"""Many rows at once, by each database's own fast way: no model instances, no statement that grows with the rows.

Values are written as they are: the caller prepares paths (`store.paths.to_key`) and the like. Measured for rows of
staged files: bulk_create 70 microseconds a row, this 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection, models

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

Row = Sequence[Any]

# By how many rows the number of values in a statement grows; SQLite takes 32,766 values.
GROUP_ROWS = 64


def insert_rows(model: type[models.Model], columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Insert a stream of rows into `columns`, by their names in the database. Call inside a transaction.

    Outside of one, SQLite would commit each row by itself.
    """
    table, names = _quoted(model), _names(columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            _run_grouped(cursor, f"INSERT INTO {table} ({names}) VALUES {{}}", columns, rows)  # noqa: S608 - our own names


def insert_new_rows(
    model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], *, returning: Sequence[str] = ()
) -> list[tuple[Any, ...]]:
    """Insert the rows that break no unique constraint, and leave the others out.

    Gives the columns `returning` of those that were inserted, in no order.
    """
    if not rows:
        return []
    table, names = _quoted(model), _names(columns)
    rest = f"ON CONFLICT DO NOTHING{f' RETURNING {_names(returning)}' if returning else ''}"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            values = f"SELECT * FROM {_unnested(model, columns)}"  # noqa: S608
            cursor.execute(f"INSERT INTO {table} ({names}) {values} {rest}", _by_column(rows))
            return cursor.fetchall() if returning else []
        statement = f"INSERT INTO {table} ({names}) VALUES {{}} {rest}"  # noqa: S608
        if returning:
            return _fetch_grouped(cursor, statement, columns, rows)
        _run_grouped(cursor, statement, columns, rows)
        return []


def update_rows(
    model: type[models.Model],
    columns: Sequence[str],
    rows: Sequence[Row],
    *,
    keys: Sequence[str] = ("id",),
    only: str = "true",
) -> None:
    """Set `columns` of the rows that still have these values of `keys`: each of `rows` is its keys, then its values.

    `only` is a further condition in SQL.
    """
    if not rows:
        return
    table = _quoted(model)
    changes = ", ".join(f'"{column}" = new."{column}_new"' for column in columns)
    named = _names([*keys, *(f"{column}_new" for column in columns)])
    same = " AND ".join(f'{table}."{key}" = new."{key}"' for key in keys)
    statement = f"WITH new({named}) AS ({{}}) UPDATE {table} SET {changes} FROM new WHERE {same} AND {only}"  # noqa: S608
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            values = f"SELECT * FROM {_unnested(model, (*keys, *columns))}"  # noqa: S608
            cursor.execute(statement.format(values), _by_column(rows))
        else:
            _run_grouped(cursor, statement.format("VALUES {}"), (*keys, *columns), rows)


def database_value(value: datetime | UUID) -> Any:  # noqa: ANN401 - whatever the driver takes
    """Return a time or a UUID as this database's driver takes it."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value if connection.vendor == "postgresql" else value.hex


def _quoted(model: type[models.Model]) -> str:
    return connection.ops.quote_name(model._meta.db_table)


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)


def _run_grouped(cursor: CursorWrapper, statement: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Bring in some rows with each step of the statement, which takes two thirds of the time of one with each."""
    one = f"({', '.join(['%s'] * len(columns))})"
    rest: list[Row] = []

    def groups() -> Iterator[list[Any]]:
        waiting = iter(rows)
        while len(group := list(islice(waiting, GROUP_ROWS))) == GROUP_ROWS:
            yield list(chain.from_iterable(group))
        rest.extend(group)

    cursor.executemany(statement.format(", ".join([one] * GROUP_ROWS)), groups())  # type: ignore[arg-type]  # any iterable will do
    cursor.executemany(statement.format(one), rest)


def _fetch_grouped(
    cursor: CursorWrapper, statement: str, columns: Sequence[str], rows: Sequence[Row]
) -> list[tuple[Any, ...]]:
    """As `_run_grouped`, for a statement that gives rows: these come with one execution at a time."""
    one = f"({', '.join(['%s'] * len(columns))})"
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(rows), GROUP_ROWS):
        group = rows[start : start + GROUP_ROWS]
        cursor.execute(statement.format(", ".join([one] * len(group))), list(chain.from_iterable(group)))
        found += cursor.fetchall()
    return found


def _unnested(model: type[models.Model], columns: Sequence[str]) -> str:
    """Make a set of rows out of one array for each column: one statement, however many rows."""
    types = {field.column: field.db_type(connection) for field in model._meta.concrete_fields}
    return f"unnest({', '.join(f'%s::{types[column]}[]' for column in columns)})"


def _by_column(rows: Sequence[Row]) -> list[list[Any]]:
    return [list(values) for values in zip(*rows, strict=True)]
