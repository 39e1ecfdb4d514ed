"""Models: GGUF, ONNX (`onnx_files`) and PyTorch's archives. Parts are listed; nothing is run or unpickled."""

from __future__ import annotations

import pickletools
import struct
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import (
    MIB,
    MOST_ENTRIES,
    Ask,
    Kind,
    Preview,
    PreviewError,
    as_file,
    bytes_text,
    figure,
    has_suffix,
    shown,
)
from datasets_app.previews.listing import section
from datasets_app.previews.onnx_files import list_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.previews.base import Reader

MOST_ITEMS: Final = 100_000
MOST_PICKLE: Final = 64 * MIB
# What a state of tensors is rebuilt with; anything else a pickle calls is worth a look.
USUAL: Final = ("torch", "collections", "numpy", "_codecs", "__builtin__.set", "builtins.set")
GGUF_NUMBERS: Final = {
    0: "B",
    1: "b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
GGUF_STRING: Final = 8
GGUF_ARRAY: Final = 9
GGML: Final = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    30: "BF16",
}


class ModelKind(Kind):
    """Files of weights."""

    name: ClassVar[str] = "model"
    label: ClassVar[str] = "Model"
    template: ClassVar[str] = "listing"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask GGUF's magic, and the names of the others."""
        torch = head.startswith(b"PK") and has_suffix(name, ".pt", ".pth", ".ckpt", ".bin", ".model")
        return head.startswith(b"GGUF") or torch or (has_suffix(name, ".onnx") and head[:1] in {b"\x08", b"\x12"})

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """List the tensors."""
        if reader.read(0, 4) == b"GGUF":
            return _gguf(_Cursor(reader))
        return list_onnx(reader) if has_suffix(ask.name, ".onnx") else _torch(reader)


class _Cursor:
    """Reads a GGUF header from its beginning to its end."""

    def __init__(self, reader: Reader) -> None:
        self._file = as_file(reader)

    def take(self, count: int) -> bytes:
        if count > 64 * MIB:
            raise PreviewError("A value of the header is longer than any can be.")
        data = self._file.read(count)
        if len(data) < count:
            raise PreviewError("The header ends too early.")
        return data

    def number(self, form: str) -> Any:  # noqa: ANN401 - int, float or bool, as the form says
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        return self.take(self.number("<Q")).decode(errors="replace")

    def value(self, kind: int, depth: int = 0) -> object:
        if kind == GGUF_STRING:
            return self.text()
        if kind == GGUF_ARRAY:
            inner, count = self.number("<I"), self.number("<Q")
            if depth > 4 or count > 10 * MOST_ITEMS:  # noqa: PLR2004
                raise PreviewError("A list of the header is longer than any can be.")
            if inner in GGUF_NUMBERS:
                self.take(count * struct.calcsize(GGUF_NUMBERS[inner]))
            else:
                for _ in range(count):
                    self.value(inner, depth + 1)
            return f"{figure(count)} values"
        if kind not in GGUF_NUMBERS:
            raise PreviewError("The header has a value of an unknown type.")
        return self.number(GGUF_NUMBERS[kind])


def _gguf(cursor: _Cursor) -> Preview:
    cursor.take(4)
    version, tensors, values = cursor.number("<I"), cursor.number("<Q"), cursor.number("<Q")
    if max(tensors, values) > MOST_ITEMS:
        raise PreviewError("The header names more tensors than any model has.")
    about = [(cursor.text(), shown(cursor.value(cursor.number("<I")), 200)) for _ in range(values)]
    rows, total = [], 0
    for _ in range(tensors):
        name = cursor.text()
        shape = [cursor.number("<Q") for _ in range(min(cursor.number("<I"), 8))]
        kind, _ = cursor.number("<I"), cursor.number("<Q")
        count = 1
        for side in shape:
            count *= side
        total += count
        rows.append((name, " x ".join(map(figure, shape)), GGML.get(kind, f"type {kind}"), figure(count)))
    facts = [("Format", f"GGUF {version}"), ("Tensors", figure(tensors)), ("Parameters", figure(total))]
    sections = [
        section("About the model", ("Key", "Value"), about[:MOST_ENTRIES]),
        section(
            "Tensors",
            ("Name", "Shape", "Type", "Values"),
            rows[:MOST_ENTRIES],
            numbers=(3,),
            left_out=max(0, len(rows) - MOST_ENTRIES),
        ),
    ]
    return Preview("application/x-gguf", facts, {"sections": sections})


def _torch(reader: Reader) -> Preview:
    with zipfile.ZipFile(as_file(reader)) as archive:
        entries = archive.infolist()
        pickles = [one for one in entries if one.filename.endswith(".pkl")]
        called: Counter[str] = Counter()
        for one in pickles:
            if one.file_size > MOST_PICKLE:
                raise PreviewError("The pickle inside is larger than is looked at here.")
            called.update(_calls(archive.read(one)))
    odd = sorted(name for name in called if not name.startswith(USUAL))
    rows = [(one.filename, bytes_text(one.file_size)) for one in entries[:MOST_ENTRIES]]
    sections = [section("Entries", ("Name", "Size"), rows, numbers=(1,), left_out=max(0, len(entries) - MOST_ENTRIES))]
    if called:
        listed = [(name, figure(count)) for name, count in called.most_common(100)]
        sections.append(section("What loading it would call", ("Name", "Times"), listed, numbers=(1,)))
    notes = ["This file holds a pickle: loading it runs code. It is only listed here."] if pickles else []
    if odd:
        notes.append(f"Besides tensors, loading it would call: {', '.join(odd[:10])}.")
    return Preview("application/x-pytorch", [("Entries", figure(len(entries)))], {"sections": sections}, notes)


def _calls(pickled: bytes) -> Iterator[str]:
    """Name what a pickle would import, read from its instructions, none of which is carried out."""
    texts: list[str] = []
    for code, value, _ in pickletools.genops(pickled):
        if code.name == "GLOBAL":
            yield str(value).replace(" ", ".")
        elif code.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif isinstance(value, str):
            texts = [*texts[-1:], value]
