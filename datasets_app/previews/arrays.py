"""Arrays and tensors: NumPy, safetensors, HDF5. Names, shapes, types, and the first values; nothing is unpickled."""

from __future__ import annotations

import json
import math
import struct
import zipfile
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import (
    MIB,
    MOST_ENTRIES,
    Ask,
    Kind,
    MemoryReader,
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
HDF5: Final = b"\x89HDF\r\n\x1a\n"
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
}


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


class Hdf5Kind(Kind):
    """HDF5: its tree of groups and data sets."""

    name: ClassVar[str] = "hdf5"
    label: ClassVar[str] = "HDF5"
    template: ClassVar[str] = "listing"

    def recognises(self, head: bytes, name: str) -> bool:  # noqa: ARG002
        """Ask the magic."""
        return head.startswith(HDF5)

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """Walk the tree; links out of the file are named and not followed."""
        import h5py

        sections = []
        with h5py.File(as_file(reader), "r") as file:
            rows, left = _walk(file)
            sections.append(section("Contents", ("Path", "Kind", "Shape", "Type", "Attributes"), rows, left_out=left))
            chosen = ask.options.get("item", "")
            if chosen and isinstance(file.get(chosen, getlink=True), h5py.HardLink):
                item = file[chosen]
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "biufSc":
                    sections.append(grid(f"First values of {chosen}", _first(item)))
            items = [row[0] for row in rows if row[1] == "data set"]
        return Preview(
            "application/x-hdf5",
            [("Format", "HDF5"), ("Data sets", figure(len(items)))],
            _page(sections, items, chosen),
        )


def _page(sections: list[dict[str, Any]], items: list[str], chosen: str) -> dict[str, Any]:
    return {"sections": sections, "items": items[:MOST_ENTRIES], "item": chosen}


def _walk(file: Any) -> tuple[list[tuple[str, str, str, str, str]], int]:  # noqa: ANN401
    import h5py

    rows: list[tuple[str, str, str, str, str]] = []
    waiting, left, seen = [("", file)], 0, set()
    while waiting:
        path, group = waiting.pop(0)
        for name in group:
            inner = f"{path}/{name}"
            if len(rows) >= MOST_ENTRIES:
                left += 1
                continue
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                rows.append((inner, "link", "", "", shown(getattr(link, "path", ""), 80)))
                continue
            item = group[name]
            attributes = ", ".join(f"{key}={shown(value, 40)}" for key, value in list(item.attrs.items())[:6])
            if isinstance(item, h5py.Dataset):
                rows.append((inner, "data set", _shape(item.shape or ()), str(item.dtype), attributes))
            else:
                rows.append((inner, "group", f"{len(item)} entries", "", attributes))
                # A group may hold itself.
                address = h5py.h5o.get_info(item.id).addr
                if address not in seen:
                    seen.add(address)
                    waiting.append((inner, item))
    return rows, left


def _first(item: Any) -> Any:  # noqa: ANN401 - h5py in, numpy out
    import numpy as np

    if item.chunks and math.prod(item.chunks) * item.dtype.itemsize > 64 * MIB:
        raise PreviewError("The parts that this data set is stored in are too large to be read here.")
    if item.ndim == 0:
        return np.asarray(item[()]).reshape(1)
    index = (*(0,) * max(item.ndim - 2, 0), *(slice(0, SHOWN_ROWS), slice(0, SHOWN_COLUMNS))[-min(item.ndim, 2) :])
    return np.asarray(item[index])


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, Any]:  # noqa: ANN401
    from numpy.lib import format as npy

    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, kind = read(stream, max_header_size=100_000)
    return shape, is_fortran, kind


def _npy(reader: Reader) -> Preview:
    stream = as_file(reader)
    shape, is_fortran, kind = _npy_header(stream)
    facts = [("Shape", _shape(shape)), ("Type", str(kind)), ("Values", figure(math.prod(shape)))]
    sections, notes = [], []
    if kind.hasobject:
        notes.append("The values are pickled Python objects, which are never read here.")
    elif math.prod(shape):
        sections.append(grid("First values", _corner(reader, stream.tell(), shape, kind, is_fortran=is_fortran)))
    return Preview("application/x-npy", facts, _page(sections, [], ""), notes)


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
                rows.append((name, _shape(shape), str(kind), bytes_text(entry.file_size)))
                items.append(name)
                if name != chosen:
                    continue
                if kind.hasobject:
                    notes.append("These values are pickled Python objects, which are never read here.")
                elif math.prod(shape) and entry.file_size < 64 * MIB:
                    body = MemoryReader(stream.read(64 * MIB))
                    sections.append(
                        grid(f"First values of {name}", _corner(body, 0, shape, kind, is_fortran=is_fortran))
                    )
    listed = section("Arrays", ("Name", "Shape", "Type", "Size"), rows, numbers=(3,))
    return Preview(
        "application/x-npz", [("Arrays", figure(len(rows)))], _page([listed, *sections], items, chosen), notes
    )


def _safetensors(reader: Reader, ask: Ask) -> Preview:
    (length,) = struct.unpack("<Q", reader.read(0, 8))
    if not 2 <= length <= min(MOST_HEADER, reader.size - 8):  # noqa: PLR2004
        raise PreviewError("The header of this file has no possible length.")
    header = json.loads(reader.read(8, length))
    about = header.pop("__metadata__", {})
    rows = [
        (name, _shape(tuple(tensor["shape"])), tensor["dtype"], bytes_text(int.__sub__(*tensor["data_offsets"][::-1])))
        for name, tensor in list(header.items())[:MOST_ENTRIES]
    ]
    values = sum(math.prod(tensor["shape"]) for tensor in header.values())
    facts = [("Tensors", figure(len(header))), ("Parameters", figure(values))]
    facts += [(shown(key, 40), shown(value, 100)) for key, value in list(about.items())[:10]]
    listed = section(
        "Tensors", ("Name", "Shape", "Type", "Size"), rows, numbers=(3,), left_out=max(0, len(header) - MOST_ENTRIES)
    )
    sections = [listed]
    chosen = ask.options.get("item", "")
    tensor = header.get(chosen)
    if tensor is not None and tensor["dtype"] in TENSOR_TYPES and math.prod(tensor["shape"]):
        import numpy as np

        start = 8 + length + tensor["data_offsets"][0]
        kind = np.dtype(TENSOR_TYPES[tensor["dtype"]])
        corner = _corner(reader, start, tuple(tensor["shape"]), kind, is_fortran=False)
        sections.append(grid(f"First values of {chosen}", corner))
    return Preview("application/x-safetensors", facts, _page(sections, list(header), chosen))


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(figure, shape)) or "one value"
