"""ONNX models: what their graph says of itself. Weights are stepped over, so that a model may be of any size.

A model is one message of Protocol Buffers: https://onnx.ai/onnx/repo-docs/IR.html, and the numbers of the fields in
onnx/onnx.proto.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

from datasets_app.previews.base import MOST_ENTRIES, Preview, PreviewError, as_file, figure, shown
from datasets_app.previews.listing import section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from datasets_app.previews.base import Reader

TYPES: Final = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
MOST_TEXT: Final = 1000
# A key, and a number or a length: of at most ten bytes each.
MOST_HEADER: Final = 20
TOO_SHORT: Final = "The file ends too early, or is no ONNX model."


class Span(NamedTuple):
    """Where a text or a message lies in the file."""

    start: int
    end: int


def list_onnx(reader: Reader) -> Preview:
    """List the operators, inputs, outputs and tensors."""
    file = as_file(reader, buffer=64 * 1024)
    facts, operators, ends = [("Format", "ONNX")], Counter[str](), []
    tensors, rows = 0, list[tuple[str, str, str]]()
    for number, value in _fields(file, Span(0, reader.size)):
        if number == 2 and isinstance(value, Span):  # noqa: PLR2004 - producer_name
            facts.append(("Made by", shown(_text(file, value), 100)))
        elif number == 8 and isinstance(value, Span):  # noqa: PLR2004 - opset_import
            facts.append(("Operators of", _operator_set(file, value)))
        if number != 7 or not isinstance(value, Span):  # noqa: PLR2004 - graph
            continue
        for part, inner in _fields(file, value):
            if not isinstance(inner, Span):
                continue
            if part == 1:
                operators[_find(file, inner, 4)] += 1
            elif part == 5:  # noqa: PLR2004 - initializer
                tensors += 1
                rows += [_tensor(file, inner)] if len(rows) < MOST_ENTRIES else []
            elif part in {11, 12}:
                ends.append(("input" if part == 11 else "output", _find(file, inner, 1)))  # noqa: PLR2004
    facts += [("Nodes", figure(operators.total())), ("Tensors", figure(tensors))]
    called = [(name, figure(count)) for name, count in operators.most_common(100)]
    sections = [
        section("Inputs and outputs", ("Kind", "Name"), ends[:MOST_ENTRIES]),
        section("Operators", ("Name", "Times"), called, numbers=(1,)),
        section("Tensors", ("Name", "Shape", "Type"), rows, left_out=tensors - len(rows)),
    ]
    return Preview("application/onnx", facts, {"sections": sections})


def _operator_set(file: IO[bytes], message: Span) -> str:
    domain, version = "", 0
    for number, value in _fields(file, message):
        if number == 1 and isinstance(value, Span):
            domain = _text(file, value)
        elif number == 2 and isinstance(value, int):  # noqa: PLR2004 - version
            version = value
    return f"{shown(domain or 'ai.onnx', 100)} {version}"


def _tensor(file: IO[bytes], message: Span) -> tuple[str, str, str]:
    name, shape, kind = "", list[int](), 0
    for number, value in _fields(file, message):
        if number == 1:
            shape += [value] if isinstance(value, int) else _packed(file, value)
        elif number == 2 and isinstance(value, int):  # noqa: PLR2004 - data_type
            kind = value
        elif number == 8 and isinstance(value, Span):  # noqa: PLR2004 - name
            name = _text(file, value)
    return name, " x ".join(map(figure, shape)) or "one value", TYPES.get(kind, f"type {kind}")


def _find(file: IO[bytes], message: Span, wanted: int) -> str:
    """Return the first text of a number in a message."""
    found = next((value for number, value in _fields(file, message) if number == wanted), None)
    return _text(file, found) if isinstance(found, Span) else ""


def _text(file: IO[bytes], span: Span) -> str:
    file.seek(span.start)
    return file.read(min(span.end - span.start, MOST_TEXT)).decode(errors="replace")


def _fields(file: IO[bytes], message: Span) -> Iterator[tuple[int, int | Span]]:
    """Walk the fields of a message."""
    at = message.start
    while at < message.end:
        file.seek(at)
        header = file.read(min(MOST_HEADER, message.end - at))
        key, used = _varint(header, 0)
        number, form = key >> 3, key & 7
        if form == 0:
            value, used = _varint(header, used)
            at += used
            yield number, value
        elif form in {1, 5}:
            at += used + (8 if form == 1 else 4)
        elif form == 2:  # noqa: PLR2004 - bytes with their length before them
            length, used = _varint(header, used)
            span = Span(at + used, at + used + length)
            if span.end > message.end:
                raise PreviewError(TOO_SHORT)
            at = span.end
            yield number, span
        else:
            raise PreviewError("This is no ONNX model.")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:  # noqa: PLR2004
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:  # noqa: PLR2004
            return value, at
    raise PreviewError(TOO_SHORT)


def _packed(file: IO[bytes], span: Span) -> list[int]:
    file.seek(span.start)
    data = file.read(min(span.end - span.start, MOST_TEXT))
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
