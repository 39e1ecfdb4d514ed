"""Two files side by side: text by lines, tables by schema and rows, anything else by its bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from datasets_app.previews.base import MIB, Ask, Kind, Preview, PreviewError, bytes_text, figure
from datasets_app.previews.plain import decode_text, hex_lines
from datasets_app.previews.table_comparison import compare_tables
from datasets_app.previews.table_files import table_format
from datasets_app.previews.text_comparison import MOST_BYTES, compare_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.previews.base import Product, Reader

HEAD: Final = 64 * 1024
MOST_COMPARED: Final = 512 * MIB
BLOCK: Final = 4 * MIB
HEX_BYTES: Final = 128


class ComparisonKind(Kind):
    """What differs between an old file and a new one. Options: `other`, the new one's name; `as`; `key`."""

    name: ClassVar[str] = "comparison"
    label: ClassVar[str] = "Comparison"

    def recognises(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - it takes two
        """Never."""
        return False

    def show(self, reader: Reader, ask: Ask) -> Preview:  # noqa: ARG002 - it takes two
        """Refuse."""
        raise PreviewError("It takes two files to compare.")

    def show_together(self, readers: Sequence[Reader], ask: Ask) -> Preview | Product:
        """Compare the first file with the second."""
        old, new = readers
        names = ask.name, ask.options.get("other", "")
        heads = old.read(0, HEAD), new.read(0, HEAD)
        wanted = ask.options.get("as", "")
        are_text = all(decode_text(head) is not None for head in heads)
        are_tables = all(table_format(head, name) for head, name in zip(heads, names, strict=True))
        forms = [form for form, is_so in (("table", are_tables), ("text", are_text), ("bytes", True)) if is_so]
        form = wanted if wanted in forms else forms[0]
        notes: list[str] = []
        if form == "table":
            try:
                data, notes = compare_tables((old, new), names, ask.options.get("key", ""))
            except Exception as error:  # one of them is no table after all
                if not wanted and are_text:
                    form = "text"
                    notes = [f"They can't be compared as tables: {' '.join(str(error).split())[:200]}"]
                else:
                    raise
            else:
                return Preview("", data=data | {"form": form, "forms": forms}, notes=notes)
        if form == "text":
            texts = [_text(reader, head, notes) for reader, head in zip(readers, heads, strict=True)]
            data = compare_lines(texts[0], texts[1])
        else:
            data = _compare_bytes(old, new, notes)
        return Preview("", data=data | {"form": form, "forms": forms}, notes=notes)


def _text(reader: Reader, head: bytes, notes: list[str]) -> str:
    encoding = (decode_text(head) or ("", "UTF-8"))[1]
    codec = {"ASCII": "utf-8", "UTF-8": "utf-8", "Windows-1252": "cp1252"}.get(encoding, encoding.lower())
    if reader.size > MOST_BYTES:
        notes.append(f"Of {bytes_text(reader.size)} the first {bytes_text(MOST_BYTES)} are compared.")
    return reader.read(0, MOST_BYTES).decode(codec, errors="replace").removeprefix("\ufeff")


def _compare_bytes(old: Reader, new: Reader, notes: list[str]) -> dict[str, object]:
    at, most = 0, min(old.size, new.size, MOST_COMPARED)
    while at < most:
        length = min(BLOCK, most - at)
        ours, theirs = old.read(at, length), new.read(at, length)
        if ours != theirs:
            at += next(place for place, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
            break
        at += length
    if at == most == MOST_COMPARED:
        notes.append(f"The first {bytes_text(MOST_COMPARED)} are equal; the rest was not compared.")
    start = max(0, at // 16 * 16 - HEX_BYTES // 2)
    sides = []
    for reader in (old, new):
        lines = hex_lines(reader.read(start, HEX_BYTES))
        sides.append([(f"{start + int(offset, 16):08x}", raw, shown) for offset, raw, shown in lines])
    return {"first": at, "first_text": figure(at), "sides": sides}
