"""CSV and TSV in any encoding: types are guessed from the beginning, or every column is read as text."""

from __future__ import annotations

import codecs
import csv as plain_csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MIB, PreviewError
from datasets_app.previews.packing import open_unpacked
from datasets_app.previews.plain import decode_text
from datasets_app.previews.table_base import TableFile, Tally

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from datasets_app.previews.base import Reader

DELIMITERS: Final = ",;\t|"
BLOCK: Final = MIB
# For rows that are longer.
LARGE_BLOCK: Final = 32 * MIB
SNIFFED: Final = 64 * 1024
CODECS: Final = {"Windows-1252": "cp1252", "UTF-16": "utf-16", "UTF-32": "utf-32"}


@dataclass(frozen=True, slots=True)
class _Look:
    """How a file is to be read; `names` replaces its first line."""

    delimiter: str
    codec: str
    has_quotes: bool
    names: tuple[str, ...] | None = None
    is_text: bool = False
    block: int = BLOCK


def open_csv(reader: Reader, kind: str) -> TableFile:
    """Open a CSV, or a TSV where `kind` says so."""
    import pyarrow as pa
    from pyarrow import types

    sample = open_unpacked(reader).read(SNIFFED)
    decoded = decode_text(sample)
    if decoded is None:
        raise PreviewError("This is no text, so no table either.")
    text, encoding = decoded
    delimiter = "\t" if kind == "tsv" else _delimiter(text)
    look = _Look(delimiter, CODECS.get(encoding, ""), '"' in text)
    try:
        schema = _stream(reader, look, Tally()).schema
    except pa.ArrowInvalid as error:
        if "straddl" not in str(error):
            raise
        look = replace(look, block=LARGE_BLOCK)
        schema = _stream(reader, look, Tally()).schema
    if any(map(types.is_binary, schema.types)):
        # Bytes that are no UTF-8 after those that were decoded.
        look = replace(look, codec="utf-8-sig")
    names = schema.names
    first = next(plain_csv.reader(io.StringIO(text), delimiter=delimiter), [])
    if len(set(names)) < len(names) or len(first) != len(names):
        look = replace(look, names=tuple(f"{name or 'column'}_{number}" for number, name in enumerate(names, 1)))
    return _table(reader, look)


def _table(reader: Reader, look: _Look) -> TableFile:
    tally = Tally()

    def batches(_columns: int | None) -> Iterator[Any]:
        yield from _stream(reader, look, tally)

    schema = _stream(reader, look, Tally()).schema
    as_text = replace(look, names=tuple(schema.names), codec=look.codec or "utf-8-sig", is_text=True, block=LARGE_BLOCK)
    loosen = None if look.is_text else lambda: _table(reader, as_text)
    return TableFile("TSV" if look.delimiter == "\t" else "CSV", schema, None, batches, as_text=loosen, tally=tally)


def _stream(reader: Reader, look: _Look, tally: Tally) -> Any:  # noqa: ANN401 - a pyarrow.csv.CSVStreamingReader
    import pyarrow as pa
    from pyarrow import csv

    def skip(_row: object) -> str:
        tally.skipped += 1
        return "skip"

    file: Any = open_unpacked(reader)
    if look.codec:
        file = io.BufferedReader(_Recoded(file, look.codec), 256 * 1024)
    rows = {} if look.names is None else {"column_names": list(look.names), "skip_rows": 1}
    types = dict.fromkeys(look.names or (), pa.string()) if look.is_text else None
    return csv.open_csv(
        file,
        read_options=csv.ReadOptions(use_threads=False, block_size=look.block, **rows),
        parse_options=csv.ParseOptions(
            delimiter=look.delimiter, newlines_in_values=look.has_quotes, invalid_row_handler=skip
        ),
        convert_options=csv.ConvertOptions(strings_can_be_null=True, column_types=types),
    )


class _Recoded(io.RawIOBase):
    """Text of any encoding as UTF-8; what can't be decoded becomes a replacement character."""

    def __init__(self, file: io.BufferedIOBase, codec: str) -> None:
        super().__init__()
        self._file = file
        self._decoder = codecs.getincrementaldecoder(codec)(errors="replace")
        self._left = b""

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Give what follows, nothing at the end only."""
        view = memoryview(buffer)
        while not self._left:
            raw = self._file.read(len(view) // 4 + 1)
            self._left = self._decoder.decode(raw, final=not raw).encode()
            if not raw:
                break
        part, self._left = self._left[: len(view)], self._left[len(view) :]
        view[: len(part)] = part
        return len(part)


def _delimiter(text: str) -> str:
    """Choose what splits most of the first lines into the same number of parts."""
    lines = [line for line in text.splitlines()[:20] if line.strip()]
    if not lines:
        return ","
    counts = {sign: [line.count(sign) for line in lines] for sign in DELIMITERS}
    return max(DELIMITERS, key=lambda sign: (min(counts[sign]) > 0, min(counts[sign]), sum(counts[sign])))
