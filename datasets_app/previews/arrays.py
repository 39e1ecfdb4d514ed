"""Arrays and tensors: NumPy and safetensors. Names, shapes, types, and the first values; nothing is unpickled."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import (
    MIB,
    MOST_ENTRIES,
    Ask,
    ForwardReader,
    Kind,
    Preview,
    PreviewError,
    as_file,
    bytes_text,
    figure,
    has_suffix,
    shown,
)
from datasets_app.previews.listing import grid, section

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

SHOWN_ROWS: Final = 20
SHOWN_COLUMNS: Final = 12
MOST_HEADER: Final = 100 * MIB
NPY: Final = b"\x93NUMPY"
# safetensors' names of types, and NumPy's.
TENSOR_TYPES: Final = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    # The upper half of a 32 bit float, which `_safetensors` makes of it.
    "BF16": "<u2",
}
# What is unpacked of a member of .npz to come to the first values of its first rows.
MOST_UNPACKED: Final = 256 * MIB


class ArrayKind(Kind):
    """`.npy`, `.npz` and safetensors."""

    name: ClassVar[str] = "array"
    label: ClassVar[str] = "Arrays"
    template: ClassVar[str] = "listing"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask magic, and the name of what has none."""
        named = has_suffix(name, ".npz") and head.startswith(b"PK")
        return head.startswith(NPY) or named or (has_suffix(name, ".safetensors") and head[8:9] == b"{")

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """List what is there, with the first values of one."""
        if has_suffix(ask.name, ".safetensors"):
            return _safetensors(reader, ask)
        return _npz(reader, ask) if has_suffix(ask.name, ".npz") else _npy(reader)


def listed_page(sections: list[dict[str, Any]], items: list[str], chosen: str) -> dict[str, Any]:
    """Return what previews/listing.html shows: sections, the `items` that can be chosen, and the one that is."""
    return {"sections": sections, "items": items[:MOST_ENTRIES], "item": chosen}


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, Any]:  # noqa: ANN401
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, kind = read(stream, max_header_size=100_000)
    return shape, is_fortran, kind


def _npy(reader: Reader) -> Preview:
    stream = as_file(reader)
    shape, is_fortran, kind = _npy_header(stream)
    facts = [("Shape", shape_text(shape)), ("Type", str(kind)), ("Values", figure(math.prod(shape)))]
    sections, notes = [], []
    if kind.hasobject:
        notes.append("The values are pickled Python objects, which are never read here.")
    elif math.prod(shape):
        sections.append(grid("First values", _corner(reader, stream.tell(), shape, kind, is_fortran=is_fortran)))
    return Preview("application/x-npy", facts, listed_page(sections, [], ""), notes)


def _corner(reader: Reader, start: int, shape: tuple[int, ...], kind: Any, *, is_fortran: bool) -> Any:  # noqa: ANN401
    """Read the first rows and columns of the last two dimensions."""
    import numpy as np

    if len(shape) < 2 or is_fortran:  # noqa: PLR2004
        count = min(math.prod(shape), SHOWN_COLUMNS * SHOWN_ROWS)
        raw = np.frombuffer(reader.read(start, count * kind.itemsize), dtype=kind)
        return raw[:SHOWN_COLUMNS] if raw.size < SHOWN_COLUMNS * 2 else raw[: raw.size // 10 * 10].reshape(-1, 10)
    rows, columns = min(shape[-2], SHOWN_ROWS), min(shape[-1], SHOWN_COLUMNS)
    lines = [
        np.frombuffer(reader.read(start + row * shape[-1] * kind.itemsize, columns * kind.itemsize), dtype=kind)
        for row in range(rows)
    ]
    return np.stack(lines)


def _npz(reader: Reader, ask: Ask) -> Preview:
    rows, items = [], []
    chosen = ask.options.get("item", "")
    sections, notes = [], []
    with zipfile.ZipFile(as_file(reader)) as archive:
        for entry in archive.infolist()[:MOST_ENTRIES]:
            name = entry.filename.removesuffix(".npy")
            with archive.open(entry) as stream:
                shape, is_fortran, kind = _npy_header(stream)
                rows.append((name, shape_text(shape), str(kind), bytes_text(entry.file_size)))
                items.append(name)
                if name != chosen:
                    continue
                if kind.hasobject:
                    notes.append("These values are pickled Python objects, which are never read here.")
                elif math.prod(shape[-1:]) * kind.itemsize * SHOWN_ROWS > MOST_UNPACKED and len(shape) > 1:
                    notes.append(f"The rows of {name} are too long to be unpacked here: its values are not shown.")
                elif math.prod(shape):
                    body = ForwardReader(partial(archive.open, entry), entry.file_size)
                    corner = _corner(body, stream.tell(), shape, kind, is_fortran=is_fortran)
                    sections.append(grid(f"First values of {name}", corner))
    listed = section("Arrays", ("Name", "Shape", "Type", "Size"), rows, numbers=(3,))
    return Preview(
        "application/x-npz", [("Arrays", figure(len(rows)))], listed_page([listed, *sections], items, chosen), notes
    )


def _safetensors(reader: Reader, ask: Ask) -> Preview:
    (length,) = struct.unpack("<Q", reader.read(0, 8))
    if not 2 <= length <= min(MOST_HEADER, reader.size - 8):  # noqa: PLR2004
        raise PreviewError("The header of this file has no possible length.")
    header = json.loads(reader.read(8, length))
    about = header.pop("__metadata__", {})
    rows = []
    for name, tensor in list(header.items())[:MOST_ENTRIES]:
        start, end = tensor["data_offsets"]
        rows.append((name, shape_text(tuple(tensor["shape"])), tensor["dtype"], bytes_text(end - start)))
    values = sum(math.prod(tensor["shape"]) for tensor in header.values())
    facts = [("Tensors", figure(len(header))), ("Parameters", figure(values))]
    facts += [(shown(key, 40), shown(value, 100)) for key, value in list(about.items())[:10]]
    listed = section(
        "Tensors", ("Name", "Shape", "Type", "Size"), rows, numbers=(3,), left_out=max(0, len(header) - MOST_ENTRIES)
    )
    sections = [listed]
    chosen = ask.options.get("item", "")
    tensor = header.get(chosen)
    notes = []
    if tensor is not None and tensor["dtype"] not in TENSOR_TYPES:
        kind = shown(tensor["dtype"], 40)
        notes.append(f"The values of {shown(chosen, 80)} are not shown: {kind} is a type that NumPy doesn't have.")
    elif tensor is not None and math.prod(tensor["shape"]):
        sections.append(grid(f"First values of {chosen}", _tensor_corner(reader, 8 + length, tensor)))
    return Preview("application/x-safetensors", facts, listed_page(sections, list(header), chosen), notes)


def _tensor_corner(reader: Reader, start: int, tensor: dict[str, Any]) -> Any:  # noqa: ANN401
    import numpy as np

    kind = np.dtype(TENSOR_TYPES[tensor["dtype"]])
    offset = start + tensor["data_offsets"][0]
    corner = _corner(reader, offset, tuple(tensor["shape"]), kind, is_fortran=False)
    return (corner.astype("<u4") << 16).view("<f4") if tensor["dtype"] == "BF16" else corner


def shape_text(shape: tuple[int, ...]) -> str:
    """Write a shape."""
    return " x ".join(map(figure, shape)) or "one value"
