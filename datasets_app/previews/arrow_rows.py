"""Count the rows of an Arrow IPC file by the headers of its batches; the library would read all of their values.

Footer, Message and RecordBatch are tables of FlatBuffers: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.previews.base import Reader

# The length of the footer and the magic.
TAIL: Final = struct.Struct("<i6s")
# A batch's place: offset, length of its header, length of its values.
BLOCK: Final = struct.Struct("<qi4xq")
MOST_FOOTER: Final = 2**26
MOST_HEADER: Final = 2**20
CONTINUATION: Final = b"\xff\xff\xff\xff"
# The fields of the tables that are looked at, by their place in the schema.
FOOTER_BATCHES: Final = 3
MESSAGE_HEADER: Final = 2
BATCH_LENGTH: Final = 0


def count_rows(reader: Reader, *, most_batches: int) -> int | None:
    """Return the number of rows; None where there are more batches than that, or the headers make no sense."""
    try:
        length, _ = TAIL.unpack(reader.read(reader.size - TAIL.size, TAIL.size))
        if not 0 < length <= min(MOST_FOOTER, reader.size - TAIL.size):
            return None
        blocks = list(_blocks(reader.read(reader.size - TAIL.size - length, length), most_batches + 1))
        if len(blocks) > most_batches:
            return None
        return sum(_rows(reader.read(offset, min(size, MOST_HEADER))) for offset, size in blocks)
    except struct.error:
        return None


def _blocks(footer: bytes, most: int) -> Iterator[tuple[int, int]]:
    place = _field(footer, _follow(footer, 0), FOOTER_BATCHES)
    if place:
        vector = _follow(footer, place)
        (count,) = struct.unpack_from("<I", footer, vector)
        for number in range(min(count, most)):
            offset, size, _ = BLOCK.unpack_from(footer, vector + 4 + number * BLOCK.size)
            yield offset, size


def _rows(message: bytes) -> int:
    # Files from before 2019 lack the mark before the length.
    message = message[8 if message.startswith(CONTINUATION) else 4 :]
    batch = _follow(message, _field(message, _follow(message, 0), MESSAGE_HEADER))
    place = _field(message, batch, BATCH_LENGTH)
    return int(struct.unpack_from("<q", message, place)[0]) if place else 0


def _follow(data: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", data, place)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Return the place of a table's field, 0 where it has its default."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    (size,) = struct.unpack_from("<H", data, vtable)
    entry = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + entry)[0] if entry < size else 0
    return int(table + offset) if offset else 0
