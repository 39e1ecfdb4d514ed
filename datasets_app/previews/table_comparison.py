"""Two tables: which columns differ, and by a key which rows were added, removed and changed."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MIB, PreviewError, figure, shown
from datasets_app.previews.table_base import TableFile
from datasets_app.previews.table_files import open_table
from datasets_app.previews.table_sql import cells, connect, quoted, stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datasets_app.previews.base import Reader

MOST_ROWS: Final = 300_000
MOST_BYTES: Final = 96 * MIB
MOST_COLUMNS: Final = 60
SHOWN_ROWS: Final = 100
# What keys are called, where more than one column could be one.
LIKELY: Final = ("id", "key", "uuid", "uid", "name", "path", "file", "filename", "image_id", "index")


def compare_tables(readers: Sequence[Reader], names: Sequence[str], key: str) -> tuple[dict[str, Any], list[str]]:
    """Compare an old table with a new one; `key` is a column of both, or "" for one that is found."""
    notes: list[str] = []
    tables = [open_table(reader, name) for reader, name in zip(readers, names, strict=True)]
    connection = connect()
    for place, word in enumerate(("old", "new")):
        _load(connection, word, tables[place], notes)
    types = [_types(connection, word) for word in ("old", "new")]
    common = [name for name in types[0] if name in types[1]]
    keys = [name for name in common if _is_unique(connection, name, types[0][name], types[1][name])]
    if key not in keys:
        if key:
            notes.append(f"{shown(key, 60)} is no key: some of its values are empty or there twice.")
        likely = [name for name in keys if name.lower() in LIKELY or name.lower().endswith("_id")]
        key = next(iter(likely or keys), "")
    data: dict[str, Any] = {
        "columns": _columns(*types),
        "key": key,
        "keys": keys,
        "old_rows": _count(connection, "SELECT count(*) FROM old"),
        "new_rows": _count(connection, "SELECT count(*) FROM new"),
    }
    if not common:
        notes.append("No column is in both tables, so no rows are compared.")
        return data | {"rows": [], "counts": []}, notes
    found = _by_key(connection, common, types, key) if key else _by_value(connection, common, types)
    if not key:
        notes.append(
            "No column is a key in both tables, so whole rows are compared: a changed one is removed and added."
        )
    return data | found, notes


def _load(connection: Any, word: str, table: TableFile, notes: list[str]) -> None:  # noqa: ANN401
    import duckdb
    import pyarrow as pa

    selected = table.schema.names[:MOST_COLUMNS]
    if len(set(selected)) < len(selected):
        raise PreviewError("Two columns have the same name.")
    if len(table.schema) > MOST_COLUMNS:
        notes.append(
            f"Of the {word} table the first {MOST_COLUMNS} of {figure(len(table.schema))} columns are compared."
        )
    bounded = _Bounded(table, len(selected))
    try:
        _fill(connection, word, bounded)
    except (duckdb.Error, pa.ArrowInvalid, PreviewError):
        if table.as_text is None or not table.tally.contradiction:
            raise
        table = table.as_text()
        bounded = _Bounded(table, len(selected))
        _fill(connection, word, bounded)
    if bounded.is_cut:
        notes.append(f"Of the {word} table the first {figure(bounded.rows)} rows are compared.")
    notes += [f"The {word} table: {note}" for note in table.notes()]


def _fill(connection: Any, word: str, bounded: _Bounded) -> None:  # noqa: ANN401
    connection.register("incoming", stream_of(bounded.schema, bounded.batches()))
    try:
        connection.execute(f"CREATE OR REPLACE TABLE {word} AS SELECT * FROM incoming")  # noqa: S608 - old or new
    finally:
        connection.unregister("incoming")


class _Bounded:
    """The first batches of a table, as many as are compared."""

    def __init__(self, table: TableFile, columns: int) -> None:
        self._table, self._columns = table, columns
        self.schema = table.part_schema(columns)
        self.rows = 0
        self.is_cut = False

    def batches(self) -> Iterator[Any]:
        size = 0
        for batch in self._table.batches(self._columns):
            if self.rows >= MOST_ROWS or size >= MOST_BYTES:
                self.is_cut = True
                return
            part = batch.slice(0, MOST_ROWS - self.rows)
            self.is_cut = part.num_rows < batch.num_rows
            self.rows, size = self.rows + part.num_rows, size + part.nbytes
            yield part


def _types(connection: Any, word: str) -> dict[str, str]:  # noqa: ANN401
    return {row[0]: row[1] for row in connection.execute(f"DESCRIBE {word}").fetchall()}


def _count(connection: Any, query: str) -> int:  # noqa: ANN401
    return int(connection.execute(query).fetchone()[0])


def _is_unique(connection: Any, name: str, old: str, new: str) -> bool:  # noqa: ANN401
    if old != new or old in {"FLOAT", "DOUBLE", "BLOB", "BOOLEAN"} or old.endswith(("]", ")")):
        return False
    column = quoted(name)
    for word in ("old", "new"):
        query = f"SELECT count(*) = count(DISTINCT {column}) FROM {word}"  # noqa: S608 - quoted names of columns
        if not connection.execute(query).fetchone()[0]:
            return False
    return True


def _columns(old: dict[str, str], new: dict[str, str]) -> list[dict[str, str]]:
    """Say of every column what became of it."""
    found = []
    for name in dict.fromkeys(chain(old, new)):
        before, after = old.get(name, ""), new.get(name, "")
        kind = "same" if before == after else "removed" if not after else "added" if not before else "changed"
        found.append({"name": shown(name, 80), "old": shown(before, 60), "new": shown(after, 60), "kind": kind})
    return found


def _by_key(connection: Any, common: list[str], types: list[dict[str, str]], key: str) -> dict[str, Any]:  # noqa: ANN401
    column = quoted(key)
    others = [name for name in common if name != key]
    differs = " OR ".join(_differs(name, *(one[name] for one in types)) for name in others) or "false"
    join = f"FROM old JOIN new ON old.{column} = new.{column} WHERE {differs}"
    gone = "FROM {} WHERE NOT EXISTS (SELECT 1 FROM {} other WHERE other.{} = {}.{})"
    removed, added = gone.format("old", "new", column, "old", column), gone.format("new", "old", column, "new", column)
    counts = [
        (word, _count(connection, f"SELECT count(*) {what}"))
        for word, what in (("changed", join), ("added", added), ("removed", removed))
    ]
    drawn = ", ".join(f"{side}.{quoted(name)}" for name in [key, *others] for side in ("old", "new"))
    pairs = connection.execute(f"SELECT {drawn} {join} ORDER BY old.{column} LIMIT {SHOWN_ROWS}")
    rows = [{"kind": "changed", "cells": _pairs(row)} for row in cells(pairs.to_arrow_table())]
    names = ", ".join(map(quoted, [key, *others]))
    for word, what in (("added", added), ("removed", removed)):
        query = f"SELECT {names} {what} ORDER BY {column} LIMIT {SHOWN_ROWS}"
        rows += _singles(word, connection.execute(query).to_arrow_table())
    return {"names": [shown(name, 60) for name in [key, *others]], "rows": rows, "counts": counts}


def _by_value(connection: Any, common: list[str], types: list[dict[str, str]]) -> dict[str, Any]:  # noqa: ANN401
    # As text where the types differ: not every one can be cast to every other.
    casts = ("" if types[0][name] == types[1][name] else "::VARCHAR" for name in common)
    names = ", ".join(f"{quoted(name)}{cast}" for name, cast in zip(common, casts, strict=True))
    rows: list[dict[str, Any]] = []
    counts = []
    for word, one, other in (("added", "new", "old"), ("removed", "old", "new")):
        query = f"SELECT {names} FROM {one} EXCEPT ALL SELECT {names} FROM {other}"  # noqa: S608
        counts.append((word, _count(connection, f"SELECT count(*) FROM ({query})")))  # noqa: S608
        rows += _singles(word, connection.execute(f"{query} LIMIT {SHOWN_ROWS}").to_arrow_table())
    return {"names": [shown(name, 60) for name in common], "rows": rows, "counts": counts}


def _differs(name: str, old: str, new: str) -> str:
    cast = "" if old == new else "::VARCHAR"
    return f"old.{quoted(name)}{cast} IS DISTINCT FROM new.{quoted(name)}{cast}"


def _pairs(row: Sequence[str | None]) -> list[dict[str, Any]]:
    return [{"old": old, "new": new, "is_changed": old != new} for old, new in zip(row[::2], row[1::2], strict=True)]


def _singles(word: str, rows: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    return [{"kind": word, "cells": [{"old": value, "new": value} for value in row]} for row in cells(rows)]
