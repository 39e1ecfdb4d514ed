"""Tell which files are tables, and open them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datasets_app.previews.base import PreviewError
from datasets_app.previews.packing import unpack_head, unpacked_name
from datasets_app.previews.plain import decode_text
from datasets_app.previews.table_binaries import open_arrow, open_arrow_stream, open_feather, open_parquet
from datasets_app.previews.table_csv import open_csv
from datasets_app.previews.table_json import begins_as_array, begins_as_lines, open_array, open_lines

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader
    from datasets_app.previews.table_base import TableFile

HEAD_BYTES: Final = 64 * 1024
TEXT_SUFFIXES: Final = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
TEXT_FORMATS: Final = frozenset({"csv", "tsv", "jsonl", "json"})
MAGIC: Final = {b"PAR1": "parquet", b"ARROW1": "arrow", b"FEA1": "feather"}
# A stream of Arrow begins with a mark that says that a length follows: too short to be believed without the name.
ARROW_STREAM: Final = b"\xff\xff\xff\xff"
ARROW_NAMES: Final = (".arrow", ".arrows", ".ipc")


def table_format(head: bytes, name: str) -> str:
    """Tell the format by magic, then by the lower-case name; "" for what is no table."""
    known = next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), "")
    if known:
        return known
    if head.startswith(ARROW_STREAM) and name.endswith(ARROW_NAMES):
        return "arrow stream"
    plain, packed = unpacked_name(head, name)
    for suffix, kind in TEXT_SUFFIXES.items():
        if plain.endswith(suffix) and (packed or decode_text(head) is not None):
            return kind
    if plain.endswith(".json"):
        beginning = unpack_head(head) if packed else head
        if begins_as_array(beginning):
            return "json"
        if begins_as_lines(beginning):
            return "jsonl"
    return ""


def open_table(reader: Reader, name: str) -> TableFile:
    """Open a table; PreviewError when it is not what it seems to be."""
    kind = table_format(reader.read(0, HEAD_BYTES), name.lower())
    if kind in {"csv", "tsv"}:
        return open_csv(reader, kind)
    openers = {
        "parquet": open_parquet,
        "arrow": open_arrow,
        "arrow stream": open_arrow_stream,
        "feather": open_feather,
        "jsonl": open_lines,
        "json": open_array,
    }
    if kind not in openers:
        raise PreviewError("This is no table.")
    return openers[kind](reader)
