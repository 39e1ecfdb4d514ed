"""Many tables as one: SQL over all files of a version that fit a pattern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import Ask, Kind, Preview, PreviewError, as_file, figure
from datasets_app.previews.table_base import TableFile
from datasets_app.previews.table_files import open_table, table_format
from datasets_app.previews.table_sql import answer_query, parquet_dataset, stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datasets_app.previews.base import Product, Reader

# The column that says from which file a row is.
SOURCE: Final = "file_path"
SNIFFED: Final = 16 * 1024


class JoinedTablesKind(Kind):
    """Tables one below the other, by the names of their columns. Options: `paths` with line feeds, `sql`."""

    name: ClassVar[str] = "joined_tables"
    label: ClassVar[str] = "Tables"

    def recognises(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - it takes several
        """Never."""
        return False

    def show(self, reader: Reader, ask: Ask) -> Preview | Product:
        """Show one table as if it were several."""
        return self.show_together([reader], ask)

    def show_together(self, readers: Sequence[Reader], ask: Ask) -> Preview | Product:
        """Answer the query in the option `sql` over the table `data`."""
        import pyarrow as pa

        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        paths = ask.options.get("paths", "").split("\n")
        formats = {
            table_format(reader.read(0, SNIFFED), path.lower()) for reader, path in zip(readers, paths, strict=True)
        }
        if formats == {"parquet"}:
            source, names, rows = _parquet(readers, paths)
        else:
            source, names, rows = _mixed(readers, paths)
        data = answer_query(source, ask.options.get("sql", ""))
        facts = [("Files", figure(len(readers))), ("Columns", figure(len(names)))]
        if rows is not None:
            facts.append(("Rows", figure(rows)))
        return Preview("", facts=facts, data=data | {"all_columns": names[:200]})


def _parquet(readers: Sequence[Reader], paths: Sequence[str]) -> tuple[Any, list[str], int | None]:
    """Open all footers; of the rest, only the columns and row groups that a query needs are read."""
    dataset, rows = parquet_dataset([as_file(reader, buffer=64 * 1024) for reader in readers], paths)
    return dataset, dataset.schema.names, rows


def _mixed(readers: Sequence[Reader], paths: Sequence[str]) -> tuple[Any, list[str], None]:
    import pyarrow as pa

    tables: list[TableFile] = []
    for reader, path in zip(readers, paths, strict=True):
        try:
            tables.append(open_table(reader, path.rpartition("/")[2]))
        except PreviewError as error:
            raise PreviewError(f"{path}: {error}") from None
    schemas = [table.schema for table in tables]
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowInvalid as error:
        raise PreviewError(f"The tables have no common schema: {str(error).splitlines()[0]}") from None
    if SOURCE not in schema.names:
        schema = schema.append(pa.field(SOURCE, pa.string()))

    def batches() -> Iterator[Any]:
        for table, path in zip(tables, paths, strict=True):
            for batch in table.batches():
                yield _fit(batch, schema, path)

    return stream_of(schema, batches()), schema.names, None


def _fit(batch: Any, schema: Any, path: str) -> Any:  # noqa: ANN401
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name in batch.schema.names:
            columns.append(batch.column(field.name).cast(field.type))
        elif field.name == SOURCE:
            columns.append(pa.array([path] * batch.num_rows, pa.string()))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)
