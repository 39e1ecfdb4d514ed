"""What every kind of preview is made of. Plain Python; heavy libraries are imported inside the functions that use them.

A kind sees a file through `Reader.read` alone, in a worker process (`previews.process`) with limits on memory and time.
"""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import IO, Any, ClassVar, Final, Protocol, Self

MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Budget:
    """What one preview may cost: seconds of wall time, bytes of memory and of what it gives back."""

    seconds: float = 20
    memory_bytes: int = 512 * MIB
    # What the worker may read of the file; a table's statistics read all that this allows, a first page a small part.
    read_bytes: int = 2048 * MIB
    answer_bytes: int = 16 * MIB


# For people, in one place: rows and columns of a page, characters of a cell, pixels of a picture, lines of a text.
PAGE_ROWS: Final = 100
MOST_COLUMNS: Final = 200
CELL_CHARACTERS: Final = 300
MOST_PIXELS: Final = 200_000_000
PICTURE_SIDE: Final = 1600
THUMBNAIL_SIDE: Final = 256
MOST_LINES: Final = 1000
MOST_ENTRIES: Final = 500


class PreviewError(Exception):
    """The file can't be shown as what it seems to be; the text says why, for people."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is wanted of a file: a page (`part` empty) or a product such as "thumbnail", with the page's options."""

    name: str
    part: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def number(self, option: str, default: int, *, least: int = 0, most: int = 2**53) -> int:
        """Read a whole number among the options; nonsense is the default."""
        try:
            return min(max(int(self.options.get(option, "")), least), most)
        except ValueError:
            return default


@dataclass(frozen=True, slots=True)
class Preview:
    """A page: `facts` are label and value, `data` is what templates/previews/<kind>.html shows, all of it JSON."""

    media_type: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> bytes:
        """Encode it; what JSON has no word for (dates, say) is written as text."""
        return json.dumps(asdict(self), default=str, ensure_ascii=False).encode(errors="replace")

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """Decode what `to_json` wrote."""
        page = json.loads(raw)
        facts = [(label, value) for label, value in page["facts"]]
        return cls(page["media_type"], facts, page["data"], page["notes"])


@dataclass(frozen=True, slots=True)
class Product:
    """Bytes made from a file, such as a thumbnail; always of a type that browsers show safely."""

    media_type: str
    body: bytes

    def to_bytes(self) -> bytes:
        """Encode it: the type, a NUL, the bytes."""
        return self.media_type.encode() + b"\0" + self.body

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what `to_bytes` wrote."""
        media_type, _, body = raw.partition(b"\0")
        return cls(media_type.decode(), body)


@dataclass(frozen=True, slots=True)
class Stream:
    """Bytes taken out of a file, however many: `size` of them, in blocks."""

    size: int
    blocks: Iterator[bytes]


class Reader(Protocol):
    """A file's bytes; the only way to them. `size` in bytes."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """Give at most `length` bytes from `offset`; fewer at the end only."""
        ...


class MemoryReader:
    """Bytes in memory as a Reader: what was taken out of an archive."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, length: int) -> bytes:
        """Give a part."""
        return self._data[offset : offset + length]


class SliceReader:
    """A part of a file as a Reader: what lies unpacked in an archive."""

    def __init__(self, reader: Reader, offset: int, size: int) -> None:
        self._reader, self._offset = reader, offset
        self.size = max(0, min(size, reader.size - offset))

    def read(self, offset: int, length: int) -> bytes:
        """Give a part of the part."""
        return self._reader.read(self._offset + offset, max(0, min(length, self.size - offset)))


class ForwardReader:
    """What can only be unpacked from its beginning, as a Reader in little memory: going back begins again."""

    def __init__(self, start: Callable[[], IO[bytes]], size: int) -> None:
        self._start, self.size = start, size
        self._stream: IO[bytes] | None = None
        self._at = 0
        # What was read last, since libraries look twice.
        self._block, self._block_at = b"", 0

    def read(self, offset: int, length: int) -> bytes:
        """Unpack up to `offset`, then give what follows."""
        length = max(0, min(length, self.size - offset))
        inside = offset - self._block_at
        if inside >= 0 and inside + length <= len(self._block):
            return self._block[inside : inside + length]
        if self._stream is None or offset < self._at:
            self._stream, self._at = self._start(), 0
        while self._at < offset:
            self._at += len(self._must_read(min(MIB, offset - self._at)))
        data = b""
        while len(data) < length:
            data += self._must_read(length - len(data))
        self._block, self._block_at = data, offset
        self._at = offset + len(data)
        return data

    def _must_read(self, length: int) -> bytes:
        data = self._stream.read(length) if self._stream is not None else b""
        if not data:
            raise PreviewError("The file ends too early.")
        return data


class Kind(ABC):
    """A kind of content: one file beside this one, one line in the registry, a page previews/<template>.html."""

    name: ClassVar[str]
    label: ClassVar[str]
    template: ClassVar[str]
    # Parts that `show` makes besides the page.
    parts: ClassVar[tuple[str, ...]] = ()
    # Parts that it gives as a Stream.
    streams: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Name the page's template after the kind, unless it says otherwise."""
        cls.template = cls.__dict__.get("template", cls.name)

    @abstractmethod
    def recognises(self, head: bytes, name: str) -> bool:
        """Tell by the first bytes, and by the lower-case name where bytes don't tell. No heavy import, no error."""

    @abstractmethod
    def show(self, reader: Reader, ask: Ask) -> Preview | Product | Stream:
        """Make the page or the part; PreviewError, or any exception of a library, when the file is not right."""

    def show_together(self, readers: Sequence[Reader], ask: Ask) -> Preview | Product | Stream:
        """Make the page of several files; those kinds that know of one alone show the first."""
        return self.show(readers[0], ask)

    def is_text(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - for those that are
        """Tell whether a recognised file may be shown as text where `show` fails."""
        return False

    def cheaper(self, ask: Ask) -> list[tuple[Mapping[str, str], str]]:  # noqa: ARG002 - for those that have some
        """Give the options of pages to try in turn where one fails, and what to say of each: at last a last resort."""
        return []

    def heed(self, ask: Ask) -> Ask:
        """Leave out the options that `show` doesn't need, since they are left to `arrange`: what it gives is kept."""
        return ask

    def arrange(self, page: Preview, ask: Ask) -> Preview:  # noqa: ARG002 - for those that have something to arrange
        """Choose what is shown of a kept page, in the process of the web server: only figures and texts."""
        return page


class ReaderFile(io.RawIOBase):
    """A Reader as a binary file, for libraries; wrap it in `io.BufferedReader` for small reads."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._reader.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - whatever can be written into
        """Read into a buffer, less than it holds only at the end."""
        data = self._reader.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def as_file(reader: Reader, *, buffer: int = 256 * 1024) -> io.BufferedReader:
    """Open a reader as a buffered file."""
    return io.BufferedReader(ReaderFile(reader), buffer)


def shown(value: object, most: int = CELL_CHARACTERS) -> str:
    """Make a value readable, and short."""
    if isinstance(value, bytes | bytearray | memoryview):
        raw = bytes(value[: most // 2])
        return f"{len(value)} bytes: {raw.hex(' ', 4)}{' …' if len(value) > len(raw) else ''}"
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= most else f"{text[:most]}…"


def figure(number: int) -> str:
    """Write a whole number with thin spaces between thousands."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def bytes_text(size: int) -> str:
    """Write a size in the units of the pages."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000:  # noqa: PLR2004
            return f"{size} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} PB"


def has_suffix(name: str, *suffixes: str) -> bool:
    """Tell whether a lower-case name ends in one of the suffixes (with their dots)."""
    return name.endswith(suffixes)
