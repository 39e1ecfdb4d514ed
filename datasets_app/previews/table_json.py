"""JSON Lines and arrays of objects. Types are guessed from the beginning, or every field is read as text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MIB, PreviewError
from datasets_app.previews.packing import open_unpacked
from datasets_app.previews.table_base import TableFile, Tally

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

BLOCK: Final = 4 * MIB
MOST_ARRAY: Final = 64 * MIB
# Where fields are looked for when a file has no columns of one type; and how many.
SEARCHED: Final = 8 * MIB
MOST_FIELDS: Final = 1000
BATCH_ROWS: Final = 1024


def begins_as_array(head: bytes) -> bool:
    """Tell an array whose first element is an object."""
    text = head.lstrip()
    return text[:1] == b"[" and text[1:].lstrip()[:1] == b"{"


def begins_as_lines(head: bytes) -> bool:
    """Tell JSON Lines: a whole object in the first line, and another one begins after it."""
    line, _, rest = head.lstrip().partition(b"\n")
    if not line.startswith(b"{") or not rest.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def open_lines(reader: Reader) -> TableFile:
    """Open JSON Lines; where not even the first ones fit together, every field is text."""
    from pyarrow import ArrowInvalid
    from pyarrow import json as arrow_json

    def open_stream() -> Any:  # noqa: ANN401
        options = arrow_json.ReadOptions(use_threads=False, block_size=BLOCK)
        return arrow_json.open_json(open_unpacked(reader), read_options=options)

    def batches(_columns: int | None) -> Iterator[Any]:
        yield from open_stream()

    try:
        schema = open_stream().schema
    except ArrowInvalid as error:
        reason = " ".join(str(error).split())[:200]
        return _open_text(reader, f"Every field is shown as text, since not all values have one type: {reason}")
    return TableFile("JSON Lines", schema, None, batches, as_text=lambda: _open_text(reader))


def _open_text(reader: Reader, *remarks: str) -> TableFile:
    """Open lines of any objects; PreviewError where a line is none."""
    import pyarrow as pa

    fields: dict[str, None] = {}
    read = 0
    for size, record in _records(reader):
        fields |= dict.fromkeys(record)
        read += size
        if read >= SEARCHED or len(fields) >= MOST_FIELDS:
            break
    names = list(fields)[:MOST_FIELDS]
    schema = pa.schema([(name, pa.string()) for name in names])
    tally = Tally()

    def batches(_columns: int | None) -> Iterator[Any]:
        rows: list[dict[str, Any]] = []
        size = 0
        for length, record in _records(reader):
            rows.append(record)
            size += length
            if len(rows) >= BATCH_ROWS or size >= BLOCK:
                yield _batch(rows, schema, tally)
                rows, size = [], 0
        if rows:
            yield _batch(rows, schema, tally)

    return TableFile("JSON Lines", schema, None, batches, tally=tally, remarks=remarks)


def _records(reader: Reader) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the bytes of each line and the object in it."""
    lines: Iterable[bytes] = open_unpacked(reader)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            raise PreviewError(f"Line {number:,} is no JSON object.")
        yield len(line), record


def _batch(rows: list[dict[str, Any]], schema: Any, tally: Tally) -> Any:  # noqa: ANN401 - pyarrow's
    import pyarrow as pa

    columns = [[_text(row.get(name)) for row in rows] for name in schema.names]
    known = set(schema.names)
    tally.lost += sum(len(row.keys() - known) for row in rows)
    return pa.RecordBatch.from_arrays([pa.array(column, pa.string()) for column in columns], schema=schema)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        # Half of a surrogate pair, which UTF-8 has no bytes for.
        return value if value is None or value.isascii() else value.encode(errors="replace").decode()
    return json.dumps(value, ensure_ascii=True)


def open_array(reader: Reader) -> TableFile:
    """Read an array of objects as a whole."""
    import pyarrow as pa

    raw = open_unpacked(reader).read(MOST_ARRAY + 1)
    if len(raw) > MOST_ARRAY:
        raise PreviewError(f"A JSON array of more than {MOST_ARRAY // MIB} MiB is not read at once; use JSON Lines.")
    records = json.loads(raw)
    if not all(isinstance(record, dict) for record in records):
        raise PreviewError("Not every element of this array is an object.")
    remarks: tuple[str, ...] = ()
    try:
        table = pa.Table.from_pylist(records)
    except (pa.ArrowException, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        remarks = (f"Every field is shown as text, since not all values have one type: {reason}",)
        names = list({name: None for record in records for name in record})[:MOST_FIELDS]
        schema = pa.schema([(name, pa.string()) for name in names])
        table = pa.Table.from_batches([_batch(records, schema, Tally())])
    return TableFile(
        "JSON array", table.schema, table.num_rows, lambda _columns: iter(table.to_batches()), remarks=remarks
    )
