"""Open tables of any format as Arrow: the schema at once, rows as a stream, and pages where the format allows."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MIB, PreviewError, as_file
from datasets_app.previews.plain import decode_text

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

GZIP: Final = b"\x1f\x8b"
ZSTD: Final = b"\x28\xb5\x2f\xfd"
TEXT_SUFFIXES: Final = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
DELIMITERS: Final = ",;\t|"
BLOCK: Final = MIB
SNIFFED: Final = 64 * 1024
MOST_ARRAY: Final = 64 * MIB
# Row groups are read a page at a time when they are larger than this, and whole otherwise.
BATCH_ROWS: Final = 1024
# Of each column: without it, all of its bytes in a row group would be read for the first page of rows.
COLUMN_BUFFER: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table: `rows` where the file tells it. `batches` streams all of it, again at each call."""

    format: str
    schema: Any
    rows: int | None
    opener: Any
    parquet: Any = None
    # Where `parquet` is read from.
    file: Any = None

    def batches(self) -> Iterator[Any]:
        """Stream record batches from the beginning."""
        yield from self.opener()

    def slice(self, start: int, count: int) -> Any:  # noqa: ANN401 - a pyarrow.Table
        """Read `count` rows from row `start`; of Parquet only the row groups that hold them."""
        import pyarrow as pa

        if self.parquet is not None:
            return _parquet_slice(self.parquet, self.schema, start, count)
        taken: list[Any] = []
        at = 0
        for batch in self.batches():
            if at + batch.num_rows > start:
                inside = max(start - at, 0)
                taken.append(batch.slice(inside, count - sum(one.num_rows for one in taken)))
            at += batch.num_rows
            if at >= start + count:
                break
        return pa.Table.from_batches(taken, schema=self.schema)


def table_format(head: bytes, name: str) -> str:
    """Tell the format by magic, then by name; "" for what is no table."""
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    if head.startswith(b"FEA1"):
        return "feather"
    plain, packed = _unpacked_name(head, name)
    for suffix, kind in TEXT_SUFFIXES.items():
        if plain.endswith(suffix) and (packed or decode_text(head) is not None):
            return kind
    if name.endswith(".json") and _begins_as_records(head):
        return "json"
    return ""


def open_table(reader: Reader, name: str) -> TableFile:
    """Open a table; PreviewError when it is not what it seems to be."""
    head = reader.read(0, SNIFFED)
    kind = table_format(head, name.lower())
    if kind == "parquet":
        return _open_parquet(reader)
    if kind in {"arrow", "feather"}:
        return _open_arrow(reader, kind)
    if kind in {"csv", "tsv"}:
        return _open_csv(reader, head, kind)
    if kind == "jsonl":
        return _open_json(reader, head)
    if kind == "json":
        return _open_array(reader)
    raise PreviewError("This is no table.")


def _unpacked_name(head: bytes, name: str) -> tuple[str, bool]:
    for suffix, magic in ((".gz", GZIP), (".zst", ZSTD)):
        if head.startswith(magic) and name.endswith(suffix):
            return name.removesuffix(suffix), True
    return name, False


def _begins_as_records(head: bytes) -> bool:
    text = head.lstrip()
    return text[:1] == b"[" and text[1:].lstrip()[:1] == b"{"


def _stream(reader: Reader, head: bytes) -> io.BufferedIOBase:
    """Open the bytes, unpacked where they are packed."""
    file = as_file(reader, buffer=MIB)
    if head.startswith(GZIP):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(ZSTD):
        import zstandard

        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    return file


def _open_parquet(reader: Reader) -> TableFile:
    import pyarrow.parquet as pq

    source = as_file(reader, buffer=64 * 1024)
    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=COLUMN_BUFFER)
    schema = file.schema_arrow

    def batches() -> Iterator[Any]:
        yield from file.iter_batches(batch_size=BATCH_ROWS * 8, use_threads=False)

    return TableFile("Parquet", schema, file.metadata.num_rows, batches, parquet=file, file=source)


def _parquet_slice(file: Any, schema: Any, start: int, count: int) -> Any:  # noqa: ANN401
    import pyarrow as pa

    columns = [field.name for field in schema]
    at, taken, missing = 0, [], count
    for group in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if at + rows > start and missing > 0:
            inside = max(start - at, 0)
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[group], columns=columns, use_threads=False):
                if inside >= batch.num_rows:
                    inside -= batch.num_rows
                    continue
                part = batch.slice(inside, missing)
                taken.append(part)
                missing, inside = missing - part.num_rows, 0
                if missing <= 0:
                    break
        at += rows
    return pa.Table.from_batches(taken, schema=schema) if taken else schema.empty_table()


def _open_arrow(reader: Reader, kind: str) -> TableFile:
    import pyarrow as pa
    from pyarrow import feather, ipc

    if kind == "feather":
        table = feather.read_table(as_file(reader), use_threads=False, memory_map=False)
        return TableFile("Feather 1", table.schema, table.num_rows, lambda: iter(table.to_batches()))
    file = ipc.open_file(pa.PythonFile(as_file(reader), mode="r"))

    def batches() -> Iterator[Any]:
        for number in range(file.num_record_batches):
            yield file.get_batch(number)

    rows = sum(file.get_batch(number).num_rows for number in range(min(file.num_record_batches, 64)))
    return TableFile("Arrow", file.schema, rows if file.num_record_batches <= 64 else None, batches)  # noqa: PLR2004


def _open_csv(reader: Reader, head: bytes, kind: str) -> TableFile:
    from pyarrow import ArrowInvalid, csv

    sample = _stream(reader, head).read(SNIFFED)
    decoded = decode_text(sample)
    if decoded is None:
        raise PreviewError("This is no text, so no table either.")
    text, encoding = decoded
    codec = {"ASCII": "utf8", "UTF-8": "utf8"}.get(encoding, "cp1252" if encoding == "Windows-1252" else "utf-16")
    delimiter = "\t" if kind == "tsv" else _delimiter(text)
    skipped = [0]

    def skip(_row: object) -> str:
        skipped[0] += 1
        return "skip"

    parsing = csv.ParseOptions(delimiter=delimiter, newlines_in_values='"' in text, invalid_row_handler=skip)
    reading = csv.ReadOptions(use_threads=False, block_size=BLOCK, encoding=codec)
    converting: dict[str, Any] = {}

    def open_stream() -> Any:  # noqa: ANN401
        options = csv.ConvertOptions(strings_can_be_null=True, **converting)
        return csv.open_csv(_stream(reader, head), read_options=reading, parse_options=parsing, convert_options=options)

    schema = open_stream().schema

    def batches() -> Iterator[Any]:
        try:
            yield from open_stream()
        except ArrowInvalid as error:
            raise PreviewError(f"A later value is not of its column's type: {error}".split("\n")[0]) from None

    first = _first_line(text, delimiter)
    if len(set(schema.names)) < len(schema.names) or len(first) != len(schema.names):
        names = [f"{name or 'column'}_{number}" for number, name in enumerate(schema.names, 1)]
        reading = csv.ReadOptions(use_threads=False, block_size=BLOCK, encoding=codec, column_names=names, skip_rows=1)
        schema = open_stream().schema
    return TableFile("TSV" if delimiter == "\t" else "CSV", schema, None, batches)


def as_text(table: TableFile, reader: Reader) -> TableFile:
    """Open the CSV again with every column as text: for files whose later values contradict the first ones."""
    import pyarrow as pa
    from pyarrow import csv

    head = reader.read(0, SNIFFED)
    text = (decode_text(_stream(reader, head).read(SNIFFED)) or ("", ""))[0]
    names = table.schema.names
    delimiter = "\t" if table.format == "TSV" else _delimiter(text)

    def batches() -> Iterator[Any]:
        yield from csv.open_csv(
            _stream(reader, head),
            read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK, column_names=names, skip_rows=1),
            parse_options=csv.ParseOptions(
                delimiter=delimiter, newlines_in_values='"' in text, invalid_row_handler=lambda _row: "skip"
            ),
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )

    return TableFile(table.format, pa.schema([(name, pa.string()) for name in names]), None, batches)


def _delimiter(text: str) -> str:
    """Choose what splits most of the first lines into the same number of parts."""
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    if not lines:
        return ","
    counts = {sign: [line.count(sign) for line in lines] for sign in DELIMITERS}
    return max(DELIMITERS, key=lambda sign: (min(counts[sign]) > 0, min(counts[sign]), sum(counts[sign])))


def _first_line(text: str, delimiter: str) -> list[str]:
    import csv

    return next(csv.reader(io.StringIO(text), delimiter=delimiter), [])


def _open_json(reader: Reader, head: bytes) -> TableFile:
    from pyarrow import ArrowInvalid, json

    def open_stream() -> Any:  # noqa: ANN401
        options = json.ReadOptions(use_threads=False, block_size=4 * MIB)
        return json.open_json(_stream(reader, head), read_options=options)

    try:
        schema = open_stream().schema
    except ArrowInvalid as error:
        raise PreviewError(f"These lines are no JSON objects of one shape: {error}".split("\n")[0]) from None

    def batches() -> Iterator[Any]:
        yield from open_stream()

    return TableFile("JSON Lines", schema, None, batches)


def _open_array(reader: Reader) -> TableFile:
    import json

    import pyarrow as pa

    if reader.size > MOST_ARRAY:
        raise PreviewError(f"A JSON array of more than {MOST_ARRAY // MIB} MiB is not read at once; use JSON Lines.")
    records = json.loads(reader.read(0, reader.size))
    if not all(isinstance(record, dict) for record in records):
        raise PreviewError("Not every element of this array is an object.")
    table = pa.Table.from_pylist(records)
    return TableFile("JSON array", table.schema, table.num_rows, lambda: iter(table.to_batches()))
