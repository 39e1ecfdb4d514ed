"""Tables of Parquet, Arrow and Feather: of wide ones only the columns asked for, of large cells few rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.arrow_rows import count_rows
from datasets_app.previews.base import MIB, as_file
from datasets_app.previews.table_base import TableFile

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

BATCH_ROWS: Final = 1024
BATCH_BYTES: Final = 16 * MIB
# Rows that are measured where a dictionary hides how large values are.
MEASURED_ROWS: Final = 8
# Of each column: without it, all of its bytes in a row group would be read for the first page of rows.
COLUMN_BUFFER: Final = 256 * 1024
# Files of more batches don't tell their number of rows without a look at each.
COUNTED_BATCHES: Final = 256


def open_parquet(reader: Reader) -> TableFile:
    """Open a footer."""
    import pyarrow.parquet as pq

    source = as_file(reader, buffer=64 * 1024)
    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=COLUMN_BUFFER)
    schema = file.schema_arrow

    def batches(columns: int | None) -> Iterator[Any]:
        for group in range(file.metadata.num_row_groups):
            yield from _decode(file, group, _names(schema, columns), 8 * BATCH_ROWS)

    def batches_from(start: int, columns: int) -> Iterator[Any]:
        names = _names(schema, columns)
        for group in range(file.metadata.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if start < rows:
                for batch in _decode(file, group, names, BATCH_ROWS):
                    if start < batch.num_rows:
                        yield batch.slice(start)
                    start = max(0, start - batch.num_rows)
            else:
                start -= rows

    rows = file.metadata.num_rows
    return TableFile("Parquet", schema, rows, batches, opener_from=batches_from, parquet=source, parquet_file=file)


def _names(schema: Any, columns: int | None) -> list[str] | None:  # noqa: ANN401 - a pyarrow.Schema
    return None if columns is None else [schema.field(number).name for number in range(min(columns, len(schema)))]


def _decode(file: Any, group: int, columns: list[str] | None, most: int) -> Iterator[Any]:  # noqa: ANN401
    """Decode a row group, few rows at a time where they are large."""
    rows = _batch_rows(file, group, columns, most)
    yield from file.iter_batches(rows, row_groups=[group], columns=columns, use_threads=False)


def _batch_rows(file: Any, group: int, columns: list[str] | None, most: int) -> int:  # noqa: ANN401
    about = file.metadata.row_group(group)
    wanted = None if columns is None else set(columns)
    size = hidden = 0
    for number in range(about.num_columns):
        column = about.column(number)
        # Those wanted are the first ones.
        if wanted is not None and wanted.isdisjoint(accumulate(column.path_in_schema.split("."), "{}.{}".format)):
            break
        size += column.total_uncompressed_size
        if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
            # One value may be all of the dictionary, and stand in every row.
            hidden += column.total_uncompressed_size
    a_row = size / max(1, about.num_rows)
    if hidden * most > BATCH_BYTES:
        first = next(file.iter_batches(MEASURED_ROWS, row_groups=[group], columns=columns, use_threads=False), None)
        if first is not None and first.num_rows:
            a_row = max(a_row, first.nbytes / first.num_rows)
    return max(1, min(most, int(BATCH_BYTES / max(1.0, a_row))))


def open_arrow(reader: Reader) -> TableFile:
    """Open an Arrow IPC file, which Feather 2 is, too."""
    import pyarrow as pa
    from pyarrow import ipc

    file = ipc.open_file(pa.PythonFile(as_file(reader), mode="r"))

    def batches(_columns: int | None) -> Iterator[Any]:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)

    rows = count_rows(reader, most_batches=COUNTED_BATCHES)
    return TableFile("Arrow", file.schema, rows, batches)


def open_arrow_stream(reader: Reader) -> TableFile:
    """Open an Arrow IPC stream, as Hugging Face `datasets` writes its `.arrow` files."""
    import pyarrow as pa
    from pyarrow import ipc

    def open_stream() -> Any:  # noqa: ANN401
        return ipc.open_stream(pa.PythonFile(as_file(reader), mode="r"))

    def batches(_columns: int | None) -> Iterator[Any]:
        yield from open_stream()

    return TableFile("Arrow stream", open_stream().schema, None, batches)


def open_feather(reader: Reader) -> TableFile:
    """Read Feather 1 as a whole, which has no batches."""
    from pyarrow import feather

    table = feather.read_table(as_file(reader), use_threads=False, memory_map=False)
    return TableFile("Feather 1", table.schema, table.num_rows, lambda _columns: iter(table.to_batches()))
