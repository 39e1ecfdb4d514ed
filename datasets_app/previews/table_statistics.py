"""Statistics of each column of a table, by DuckDB over its first rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MOST_COLUMNS, figure, shown
from datasets_app.previews.table_sql import connect, is_number, known_schema, places_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets_app.previews.table_base import TableFile

MOST_ROWS: Final = 500_000
MOST_BYTES: Final = 128 * 2**20
BINS: Final = 20
COMMON: Final = 8
DAY: Final = 86_400
COLUMNS: Final = min(60, MOST_COLUMNS)


def measure(table: TableFile) -> tuple[dict[str, Any], list[str]]:
    """Count, describe and draw the columns; `data["statistics"]` has one entry for each."""
    import pyarrow as pa

    batches, rows, size = [], 0, 0
    is_whole = True
    for batch in table.batches(COLUMNS):
        if rows + batch.num_rows > MOST_ROWS or size > MOST_BYTES:
            batches.append(batch.slice(0, max(MOST_ROWS - rows, 0)))
            is_whole = False
            rows = min(rows + batch.num_rows, MOST_ROWS)
            break
        batches.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
    schema = table.part_schema(COLUMNS)
    connection = connect()
    places, read = places_of(schema), pa.Table.from_batches(batches, schema=schema)
    connection.register("data", read.cast(known_schema(schema), safe=False).rename_columns(places))
    found = [_column(connection, place, field, rows) for place, field in zip(places, schema, strict=True)]
    notes = [] if is_whole else [f"These are the statistics of the first {rows:,} rows."]
    if len(table.schema) > COLUMNS:
        notes.append(f"The first {COLUMNS} of {len(table.schema):,} columns are measured.")
    return {"statistics": found, "measured_rows": rows}, notes


def _column(connection: Any, name: str, field: Any, rows: int) -> dict[str, Any]:  # noqa: ANN401
    from pyarrow import types

    column: dict[str, Any] = {"name": field.name, "type": shown(field.type, 60), "facts": [], "bars": [], "common": []}
    (present,) = connection.execute(f"SELECT count({name}) FROM data").fetchone()  # noqa: S608 - quoted names
    column["facts"] += [
        ("Values", figure(present)),
        ("Empty", f"{figure(rows - present)} ({_share(rows - present, rows)})"),
    ]
    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    if not present or types.is_nested(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return column
    (distinct,) = connection.execute(f"SELECT count(DISTINCT {name}) FROM data").fetchone()  # noqa: S608
    column["facts"].append(("Distinct", figure(distinct)))
    if is_number(kind):
        _describe_numbers(connection, name, column)
    elif types.is_timestamp(kind) or types.is_date(kind):
        # DuckDB knows less of nanoseconds.
        exact = "DATE" if types.is_date(kind) else "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
        _describe_times(connection, f"{name}::{exact}", column)
    elif types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        _describe_texts(connection, f"{name}::VARCHAR", column)
    _count_common(connection, name, column, present)
    return column


def _describe_numbers(connection: Any, name: str, column: dict[str, Any]) -> None:  # noqa: ANN401
    value = f"{name}::DOUBLE"
    low, high, mean, deviation, quartiles = connection.execute(
        f"SELECT min({value}), max({value}), avg({value}), stddev_pop({value}), "  # noqa: S608
        f"quantile_cont({value}, [0.25, 0.5, 0.75]) FROM data WHERE {name} IS NOT NULL AND isfinite({value})"
    ).fetchone()
    if low is None:
        return
    column["facts"] += [
        ("Least", _number(low)),
        ("Quarter", _number(quartiles[0])),
        ("Median", _number(quartiles[1])),
        ("Three quarters", _number(quartiles[2])),
        ("Largest", _number(high)),
        ("Mean", _number(mean)),
        ("Deviation", _number(deviation)),
    ]
    column["bars"] = _histogram(connection, value, low, high, _number)


def _describe_times(connection: Any, name: str, column: dict[str, Any]) -> None:  # noqa: ANN401
    seconds = f"epoch({name})"
    first, last, low, high = connection.execute(
        f"SELECT min({name})::VARCHAR, max({name})::VARCHAR, min({seconds}), max({seconds}) "  # noqa: S608
        f"FROM data WHERE isfinite({name})"
    ).fetchone()
    if first is None:
        return
    column["facts"] += [("First", shown(first)), ("Last", shown(last))]
    pattern = "%Y-%m-%d" if high - low > BINS * DAY else "%Y-%m-%d %H:%M:%S"
    column["bars"] = _histogram(connection, seconds, low, high, lambda value: _time(value, pattern))


def _time(seconds: float, pattern: str) -> str:
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime(pattern)
    except OverflowError:
        # Beyond Python's years.
        return f"{seconds / (365.2425 * DAY) + 1970:.0f}"


def _describe_texts(connection: Any, text: str, column: dict[str, Any]) -> None:  # noqa: ANN401
    first, last, low, high, mean = connection.execute(
        f"SELECT min({text}), max({text}), min(length({text})), max(length({text})), avg(length({text})) FROM data"  # noqa: S608
    ).fetchone()
    column["facts"] += [
        ("First", shown(first, 60)),
        ("Last", shown(last, 60)),
        ("Characters", f"{figure(low)} to {figure(high)}, mean {_number(mean)}"),
    ]
    column["bars"] = _histogram(connection, f"length({text})", low, high, _number)
    column["bars_of"] = "lengths"


def _histogram(
    connection: Any,  # noqa: ANN401
    value: str,
    low: float,
    high: float,
    label: Callable[[float], str],
) -> list[dict[str, Any]]:
    if not high > low:
        return []
    width = (high - low) / BINS
    counted = dict(
        connection.execute(
            f"SELECT least(floor(({value} - ?) / ?), {BINS - 1})::INTEGER AS bin, count(*) FROM data "  # noqa: S608
            f"WHERE {value} BETWEEN ? AND ? GROUP BY 1",
            [low, width, low, high],
        ).fetchall()
    )
    tallest = max(counted.values(), default=1)
    return [
        {
            "from": label(low + number * width),
            "to": label(low + (number + 1) * width),
            "count": counted.get(number, 0),
            "height": round(100 * counted.get(number, 0) / tallest, 1),
        }
        for number in range(BINS)
    ]


def _count_common(connection: Any, name: str, column: dict[str, Any], present: int) -> None:  # noqa: ANN401
    # By their places: a column may have the name of any alias.
    counted = connection.execute(
        f"SELECT v::VARCHAR, n FROM (SELECT {name} AS v, count(*) AS n FROM data WHERE {name} IS NOT NULL "  # noqa: S608
        f"GROUP BY 1 HAVING count(*) > 1 ORDER BY 2 DESC, 1 LIMIT {COMMON}) ORDER BY n DESC, v"
    ).fetchall()
    column["common"] = [
        {"value": shown(value, 80), "count": count, "percent": round(100 * count / present, 1)}
        for value, count in counted
    ]


def _number(value: float) -> str:
    """Four significant digits, without an exponent while that is short."""
    if value == int(value) and abs(value) < 1e15:  # noqa: PLR2004
        return figure(int(value))
    size = abs(value)
    if size >= 1000:  # noqa: PLR2004
        return figure(round(value)) if size < 1e15 else f"{value:.4g}"  # noqa: PLR2004
    return f"{value:.4g}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
