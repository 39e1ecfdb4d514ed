"""Statistics of each column of a table, by DuckDB over its first rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MOST_COLUMNS, figure, shown

if TYPE_CHECKING:
    from datasets_app.previews.table_files import TableFile

MOST_ROWS: Final = 500_000
MOST_BYTES: Final = 128 * 2**20
BINS: Final = 20
COMMON: Final = 8
COLUMNS: Final = min(60, MOST_COLUMNS)


def measure(table: TableFile) -> tuple[dict[str, Any], list[str]]:
    """Count, describe and draw the columns; `data["statistics"]` has one entry for each."""
    import pyarrow as pa

    from datasets_app.previews.tables import connect

    batches, rows, size = [], 0, 0
    is_whole = True
    names = table.schema.names[:COLUMNS]
    for batch in table.batches():
        if rows + batch.num_rows > MOST_ROWS or size > MOST_BYTES:
            batches.append(batch.select(names).slice(0, max(MOST_ROWS - rows, 0)))
            is_whole = False
            rows = min(rows + batch.num_rows, MOST_ROWS)
            break
        batches.append(batch.select(names))
        rows, size = rows + batch.num_rows, size + batch.nbytes
    schema = pa.schema([table.schema.field(name) for name in names])
    connection = connect()
    connection.register("data", pa.Table.from_batches(batches, schema=schema))
    found = [_column(connection, field, rows) for field in schema]
    notes = [] if is_whole else [f"These are the statistics of the first {rows:,} rows."]
    if len(table.schema) > COLUMNS:
        notes.append(f"The first {COLUMNS} of {len(table.schema):,} columns are measured.")
    return {"statistics": found, "measured_rows": rows}, notes


def _column(connection: Any, field: Any, rows: int) -> dict[str, Any]:  # noqa: ANN401
    from pyarrow import types

    name = '"' + field.name.replace('"', '""') + '"'
    column: dict[str, Any] = {"name": field.name, "type": shown(field.type, 60), "facts": [], "bars": [], "common": []}
    (present,) = connection.execute(f"SELECT count({name}) FROM data").fetchone()  # noqa: S608 - quoted names
    column["facts"].append(("Empty", f"{figure(rows - present)} ({_share(rows - present, rows)})"))
    if not present:
        return column
    numeric = types.is_integer(field.type) or types.is_floating(field.type) or types.is_decimal(field.type)
    timed = types.is_timestamp(field.type) or types.is_date(field.type)
    if types.is_nested(field.type) or types.is_binary(field.type) or types.is_large_binary(field.type):
        return column
    (distinct,) = connection.execute(f"SELECT count(DISTINCT {name}) FROM data").fetchone()  # noqa: S608
    column["facts"].append(("Distinct", figure(distinct)))
    if numeric:
        _describe_numbers(connection, name, column)
    elif timed:
        low, high = connection.execute(f"SELECT min({name}), max({name}) FROM data").fetchone()  # noqa: S608
        column["facts"] += [("First", shown(low)), ("Last", shown(high))]
    elif types.is_string(field.type) or types.is_large_string(field.type):
        _describe_lengths(connection, name, column)
    if not numeric or distinct <= BINS:
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
    column["bars"] = _histogram(connection, value, low, high)


def _describe_lengths(connection: Any, name: str, column: dict[str, Any]) -> None:  # noqa: ANN401
    low, high, mean = connection.execute(
        f"SELECT min(length({name})), max(length({name})), avg(length({name})) FROM data"  # noqa: S608
    ).fetchone()
    column["facts"].append(("Characters", f"{figure(low)} to {figure(high)}, mean {_number(mean)}"))
    column["bars"] = _histogram(connection, f"length({name})", low, high)
    column["bars_of"] = "lengths"


def _histogram(connection: Any, value: str, low: float, high: float) -> list[dict[str, Any]]:  # noqa: ANN401
    if not high > low:
        return []
    width = (high - low) / BINS
    counted = dict(
        connection.execute(
            f"SELECT least(floor(({value} - ?) / ?), {BINS - 1})::INTEGER AS bin, count(*) FROM data "  # noqa: S608
            f"WHERE {value} BETWEEN ? AND ? GROUP BY bin",
            [low, width, low, high],
        ).fetchall()
    )
    tallest = max(counted.values(), default=1)
    return [
        {
            "from": _number(low + number * width),
            "to": _number(low + (number + 1) * width),
            "count": counted.get(number, 0),
            "height": round(100 * counted.get(number, 0) / tallest, 1),
        }
        for number in range(BINS)
    ]


def _count_common(connection: Any, name: str, column: dict[str, Any], present: int) -> None:  # noqa: ANN401
    counted = connection.execute(
        f"SELECT {name}::VARCHAR AS v, count(*) AS n FROM data WHERE {name} IS NOT NULL "  # noqa: S608
        f"GROUP BY v HAVING n > 1 ORDER BY n DESC, v LIMIT {COMMON}"
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
