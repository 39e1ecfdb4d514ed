"""Tables: a page of rows at once; sorted, filtered and asked by SQL through DuckDB; statistics of each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews import table_statistics
from datasets_app.previews.base import MOST_COLUMNS, PAGE_ROWS, Ask, Kind, Preview, PreviewError, figure, shown
from datasets_app.previews.table_files import TableFile, as_text, open_table, table_format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.previews.base import Reader

OPERATORS: Final = {
    "eq": ("is", "{column}::VARCHAR = ?", "{}"),
    "ne": ("is not", "{column}::VARCHAR <> ?", "{}"),
    "has": ("contains", "{column}::VARCHAR ILIKE ?", "%{}%"),
    "lt": ("less than", "{column} < ?", "{}"),
    "gt": ("greater than", "{column} > ?", "{}"),
    "null": ("is empty", "{column} IS NULL", None),
    "full": ("is not empty", "{column} IS NOT NULL", None),
}
MOST_SQL_ROWS: Final = 1000
MOST_SQL: Final = 10_000


class TableKind(Kind):
    """CSV, TSV, JSON Lines and arrays, Parquet, Arrow and Feather; the text kinds also packed by gzip and zstd."""

    name: ClassVar[str] = "table"
    label: ClassVar[str] = "Table"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask magic and name."""
        return table_format(head, name) != ""

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """Show a page of rows; with the option `view`, statistics or the answer to a query in SQL."""
        table = open_table(reader, ask.name)
        view = ask.options.get("view", "")
        try:
            return self._show(table, ask, view)
        except PreviewError:
            raise
        except Exception as error:  # a later value contradicts the column's type
            if table.format not in {"CSV", "TSV"}:
                raise
            page = self._show(as_text(table, reader), ask, view)
            reason = " ".join(str(error).split())[:200]
            page.notes.append(f"Every column is shown as text, since not all values fit a narrower type: {reason}")
            return page

    def _show(self, table: TableFile, ask: Ask, view: str) -> Preview:
        facts = [("Format", table.format), ("Columns", figure(len(table.schema)))]
        if table.rows is not None:
            facts.append(("Rows", figure(table.rows)))
        notes: list[str] = []
        if view == "statistics":
            data, notes = table_statistics.measure(table)
        elif view == "sql":
            data = answer_query(_source(table), ask.options.get("sql", ""))
        else:
            data = _page(table, ask)
        data |= {
            "view": view or "rows",
            "all_columns": table.schema.names[:MOST_COLUMNS],
            "operators": [(key, words) for key, (words, _, _) in OPERATORS.items()],
            "sql": ask.options.get("sql", "SELECT * FROM data LIMIT 100"),
        }
        return Preview(_media_type(table.format), facts=facts, data=data, notes=notes)


def connect() -> Any:  # noqa: ANN401 - a duckdb.DuckDBPyConnection
    """Open a DuckDB that can reach nothing: no files, no network, no extensions, no change of these settings."""
    import duckdb

    connection = duckdb.connect(":memory:")
    for setting in (
        "SET threads = 1",
        "SET memory_limit = '320MB'",
        "SET temp_directory = ''",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET python_enable_replacements = false",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(setting)
    return connection


def register(connection: Any, table: TableFile) -> None:  # noqa: ANN401
    """Make the table known as `data`, streamed from its file when a query runs."""
    import pyarrow as pa

    connection.register("data", pa.RecordBatchReader.from_batches(table.schema, table.batches()))


def _page(table: TableFile, ask: Ask) -> dict[str, Any]:
    page = ask.number("page", 1, least=1, most=10**9)
    start = (page - 1) * PAGE_ROWS
    sort, where, values = _choices(table, ask)
    if sort or where:
        names = ", ".join(map(quoted, table.schema.names[:MOST_COLUMNS]))
        connection = connect()
        register(connection, table)
        query = f"SELECT {names} FROM data {where} {sort} LIMIT {PAGE_ROWS + 1} OFFSET {start}"  # noqa: S608 - quoted names of columns
        rows = connection.execute(query, values).to_arrow_table()
    else:
        rows = table.slice(start, PAGE_ROWS + 1)
    return {
        "columns": [
            {"name": field.name, "type": shown(field.type, 60), "is_number": is_number(field.type)}
            for field in list(table.schema)[:MOST_COLUMNS]
        ],
        "rows": cells(rows.slice(0, PAGE_ROWS)),
        "first": start + 1,
        "page": page,
        "has_more": rows.num_rows > PAGE_ROWS,
        "sort": ask.options.get("sort", ""),
        "filter": {name: ask.options.get(name, "") for name in ("column", "op", "value")},
        "left_out_columns": max(0, len(table.schema) - MOST_COLUMNS),
    }


def _choices(table: TableFile, ask: Ask) -> tuple[str, str, list[str]]:
    """Turn the page's options into ORDER BY, WHERE and its values."""
    names = set(table.schema.names)
    sort = ask.options.get("sort", "")
    order = ""
    if sort.removeprefix("-") in names:
        order = f"ORDER BY {quoted(sort.removeprefix('-'))} {'DESC' if sort.startswith('-') else 'ASC'} NULLS LAST"
    column, operator = ask.options.get("column", ""), ask.options.get("op", "")
    if column not in names or operator not in OPERATORS:
        return order, "", []
    _, condition, pattern = OPERATORS[operator]
    value = ask.options.get("value", "")
    values = [] if pattern is None else [pattern.format(value)]
    return order, f"WHERE {condition.format(column=quoted(column))}", values


def _source(table: TableFile) -> Any:  # noqa: ANN401 - a dataset or a stream of batches
    """Give the table to DuckDB, which reads of Parquet the columns and row groups that it needs, of others all."""
    import pyarrow as pa

    if table.parquet is None:
        return pa.RecordBatchReader.from_batches(table.schema, table.batches())
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    return parquet_dataset([table.file], ["The file"])[0]


def parquet_dataset(files: Sequence[Any], paths: Sequence[str]) -> tuple[Any, int]:
    """Open Parquet files as one dataset, with the columns of all of them; return it and the number of its rows."""
    import pyarrow as pa
    from pyarrow import dataset

    form = dataset.ParquetFileFormat()
    pieces = [form.make_fragment(pa.PythonFile(file, mode="r")) for file in files]
    for piece, path in zip(pieces, paths, strict=True):
        try:
            piece.ensure_complete_metadata()
        except (pa.ArrowInvalid, OSError):
            raise PreviewError(f"{path} is no Parquet file, or it is damaged.") from None
    try:
        schema = pa.unify_schemas([piece.physical_schema for piece in pieces], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise PreviewError(f"The tables have no common schema: {str(error).splitlines()[0]}") from None
    rows = sum(piece.metadata.num_rows for piece in pieces)
    return dataset.FileSystemDataset(pieces, schema, form), rows


def answer_query(source: Any, sql: str) -> dict[str, Any]:  # noqa: ANN401
    """Answer one SELECT over the table `data`, which is what DuckDB can read of Arrow."""
    import duckdb

    if not sql.strip():
        return {"columns": [], "rows": [], "error": ""}
    try:
        statements = duckdb.extract_statements(sql[:MOST_SQL])
        if len(statements) != 1 or statements[0].type not in {
            duckdb.StatementType.SELECT,
            duckdb.StatementType.EXPLAIN,
        }:
            return {"columns": [], "rows": [], "error": "Only one SELECT at a time is answered here."}
        connection = connect()
        connection.register("data", source)
        reader = connection.execute(sql[:MOST_SQL]).to_arrow_reader(MOST_SQL_ROWS + 1)
        rows = next(iter(reader), None)
    except duckdb.Error as error:
        return {"columns": [], "rows": [], "error": str(error)[:2000]}
    if rows is None:
        return {"columns": [{"name": name} for name in reader.schema.names], "rows": [], "error": ""}
    return {
        "columns": [
            {"name": field.name, "type": shown(field.type, 60), "is_number": is_number(field.type)}
            for field in list(rows.schema)[:MOST_COLUMNS]
        ],
        "rows": cells(rows.slice(0, MOST_SQL_ROWS)),
        "is_cut": rows.num_rows > MOST_SQL_ROWS,
        "error": "",
    }


def cells(rows: Any) -> list[list[str | None]]:  # noqa: ANN401 - a pyarrow table or batch
    """Make rows of short texts; None is a missing value."""
    columns = [_texts(rows.column(number)) for number in range(min(rows.num_columns, MOST_COLUMNS))]
    return [list(row) for row in zip(*columns, strict=True)]


def _texts(column: Any) -> list[str | None]:  # noqa: ANN401
    texts: list[str | None] = []
    for value in column:
        try:
            plain = value.as_py()
        except (ValueError, OverflowError, UnicodeDecodeError):
            # Times beyond Python's years, text that is no UTF-8.
            plain = str(value.cast("string", safe=False)) if value.is_valid else None
        texts.append(None if plain is None else shown(plain))
    return texts


def is_number(kind: Any) -> bool:  # noqa: ANN401 - a pyarrow.DataType
    """Tell whether values of an Arrow type are aligned to the right."""
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def quoted(name: str) -> str:
    """Write the name of a column as SQL does."""
    return '"' + name.replace('"', '""') + '"'


def _media_type(name: str) -> str:
    return {
        "Parquet": "application/vnd.apache.parquet",
        "Arrow": "application/vnd.apache.arrow.file",
        "CSV": "text/csv",
        "TSV": "text/tab-separated-values",
        "JSON Lines": "application/x-ndjson",
        "JSON array": "application/json",
    }.get(name, "application/octet-stream")
