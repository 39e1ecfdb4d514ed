"""Tables in DuckDB, which reads nothing but them; and what it answers, as cells of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MOST_COLUMNS, PreviewError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from datasets_app.previews.table_base import TableFile

MOST_SQL_ROWS: Final = 1000
MOST_SQL: Final = 10_000


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


def source_of(table: TableFile) -> Any:  # noqa: ANN401 - a dataset or a stream of batches
    """Give the table to DuckDB, which reads of Parquet the columns and row groups that it needs, of others all."""
    import pyarrow as pa

    if table.parquet is None:
        return stream_of(table.schema, table.batches())
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    return parquet_dataset([table.parquet], ["The file"])[0]


def stream_of(schema: Any, batches: Iterable[Any]) -> Any:  # noqa: ANN401 - a pyarrow.RecordBatchReader
    """Give record batches to DuckDB, with types that it knows."""
    import pyarrow as pa

    known = known_schema(schema)
    if known != schema:
        batches = (batch.cast(known, safe=False) for batch in batches)
    return pa.RecordBatchReader.from_batches(known, batches)


def known_schema(schema: Any) -> Any:  # noqa: ANN401 - a pyarrow.Schema
    """Replace the types that DuckDB doesn't read: floats of 16 bits, and decimals of 256."""
    import pyarrow as pa

    return pa.schema([field.with_type(_known_type(field.type)) for field in schema])


def _known_type(kind: Any) -> Any:  # noqa: ANN401 - a pyarrow.DataType
    import pyarrow as pa
    from pyarrow import types

    if types.is_float16(kind):
        return pa.float32()
    if types.is_decimal256(kind):
        return pa.float64()
    if types.is_struct(kind):
        return pa.struct([field.with_type(_known_type(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_known_type(kind.key_type), _known_type(kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = kind.value_field.with_type(_known_type(kind.value_type))
        return pa.large_list(inner) if types.is_large_list(kind) else pa.list_(inner, getattr(kind, "list_size", -1))
    return kind


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
    # Values are brought to these types as they are read.
    return dataset.FileSystemDataset(pieces, known_schema(schema), form), rows


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
        "columns": columns_of(rows.schema),
        "rows": cells(rows.slice(0, MOST_SQL_ROWS)),
        "is_cut": rows.num_rows > MOST_SQL_ROWS,
        "error": "",
    }


def columns_of(schema: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - a pyarrow.Schema
    """Describe the columns that a page shows."""
    fields = [schema.field(number) for number in range(min(len(schema), MOST_COLUMNS))]
    return [{"name": field.name, "type": shown(field.type, 60), "is_number": is_number(field.type)} for field in fields]


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


def places_of(schema: Any) -> list[str]:  # noqa: ANN401 - a pyarrow.Schema
    """Name columns by their places: their own names may be empty, equal, or differ in case only, which SQL ignores."""
    return [f"c{number}" for number in range(len(schema))]


def quoted(name: str) -> str:
    """Write the name of a column as SQL does."""
    return '"' + name.replace('"', '""') + '"'
