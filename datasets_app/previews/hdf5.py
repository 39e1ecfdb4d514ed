"""HDF5: its tree of groups and data sets, and the first values of one. Nothing outside of the file is opened."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.arrays import SHOWN_COLUMNS, SHOWN_ROWS, listed_page, shape_text
from datasets_app.previews.base import MIB, MOST_ENTRIES, Ask, Kind, Preview, PreviewError, as_file, figure, shown
from datasets_app.previews.listing import grid, section

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

MAGIC: Final = b"\x89HDF\r\n\x1a\n"
MOST_CHUNK: Final = 64 * MIB
HERE: Final = "data set"
# The library would open whatever paths the file names.
ELSEWHERE: Final = ("external data set", "virtual data set")


class Hdf5Kind(Kind):
    """HDF5: its tree of groups and data sets."""

    name: ClassVar[str] = "hdf5"
    label: ClassVar[str] = "HDF5"
    template: ClassVar[str] = "listing"

    def recognises(self, head: bytes, name: str) -> bool:  # noqa: ARG002
        """Ask the magic."""
        return head.startswith(MAGIC)

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """Walk the tree; what leads out of the file (links, values kept elsewhere) is named and not followed."""
        import h5py

        notes = []
        with h5py.File(as_file(reader), "r") as file:
            rows, left = _walk(file)
            sections = [section("Contents", ("Path", "Kind", "Shape", "Type", "Attributes"), rows, left_out=left)]
            items = [row[0] for row in rows if row[1] == HERE]
            chosen = ask.options.get("item", "")
            # Only what the walk came to by itself: a path may lead through links.
            if chosen in items:
                item = file[chosen]
                if item.dtype.kind not in "biufSc":
                    notes.append(f"The values of {shown(chosen, 80)} are of a type that is not shown here.")
                elif item.size:
                    sections.append(grid(f"First values of {chosen}", _first(item)))
        outside = sum(row[1] in ELSEWHERE for row in rows)
        if outside:
            notes.append(f"The values of {figure(outside)} data sets lie in other files, which are never opened here.")
        facts = [("Format", "HDF5"), ("Data sets", figure(len(items) + outside))]
        return Preview("application/x-hdf5", facts, listed_page(sections, items, chosen), notes)


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
                rows.append((inner, _kind(item), shape_text(item.shape or ()), str(item.dtype), attributes))
            else:
                rows.append((inner, "group", f"{len(item)} entries", "", attributes))
                # A group may hold itself.
                address = h5py.h5o.get_info(item.id).addr
                if address not in seen:
                    seen.add(address)
                    waiting.append((inner, item))
    return rows, left


def _kind(item: Any) -> str:  # noqa: ANN401 - an h5py.Dataset
    external, virtual = ELSEWHERE
    return external if item.external else virtual if item.is_virtual else HERE


def _first(item: Any) -> Any:  # noqa: ANN401 - h5py in, numpy out
    import numpy as np

    if item.chunks and math.prod(item.chunks) * item.dtype.itemsize > MOST_CHUNK:
        raise PreviewError("The parts that this data set is stored in are too large to be read here.")
    if item.ndim == 0:
        return np.asarray(item[()]).reshape(1)
    index = (*(0,) * max(item.ndim - 2, 0), *(slice(0, SHOWN_ROWS), slice(0, SHOWN_COLUMNS))[-min(item.ndim, 2) :])
    return np.asarray(item[index])
