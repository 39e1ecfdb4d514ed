"""The plain preview of any file, from its first bytes: text, a picture that browsers can draw, or figures in hex."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

# The first bytes of the pictures that every browser draws. SVG is not among them: it can hold scripts.
_PICTURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    # Before UTF-16, whose mark is the start of this one.
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\x1b")
_FIRST_PRINTABLE = 0x20
_DELETE = 0x7F
_HEX_BYTES = 512
_HEX_LINE = 16
_RIFF_HEADER = 12


@dataclass(frozen=True, slots=True)
class PlainPreview:
    """What to show: `text` for text, nothing for pictures (the browser fetches them), `hex_lines` for the rest.

    `media_type` is guessed from the bytes alone, never from the name. `encoding` is empty unless it is text.
    """

    kind: Literal["empty", "text", "image", "binary"]
    media_type: str
    text: str = ""
    encoding: str = ""
    hex_lines: tuple[tuple[str, str, str], ...] = ()


def preview_plainly(head: bytes) -> PlainPreview:
    """Tell what a file is by its first bytes, and make them readable."""
    if not head:
        return PlainPreview("empty", "application/octet-stream")
    picture = picture_type(head)
    if picture:
        return PlainPreview("image", picture)
    decoded = decode_text(head)
    if decoded is not None:
        text, encoding = decoded
        return PlainPreview("text", "text/plain", text=text, encoding=encoding)
    return PlainPreview("binary", "application/octet-stream", hex_lines=tuple(hex_lines(head[:_HEX_BYTES])))


def picture_type(head: bytes) -> str:
    """Return the media type of a picture that browsers draw safely; "" for everything else."""
    if head[:4] == b"RIFF" and head[8:_RIFF_HEADER] == b"WEBP":
        return "image/webp"
    return next((media_type for magic, media_type in _PICTURES if head.startswith(magic)), "")


def decode_text(head: bytes) -> tuple[str, str] | None:
    """Return the text and the name of its encoding, or None if these bytes are no text.

    `head` may end inside a character, which is then left out.
    """
    for mark, codec, name in _MARKS:
        if head.startswith(mark):
            text = _decode(head, codec)
            return None if text is None or "\0" in text else (text, name)
    if any(byte < _FIRST_PRINTABLE and byte not in _TEXT_CONTROLS for byte in head):
        return None
    text = _decode(head, "utf-8")
    if text is not None:
        return text, "ASCII" if text.isascii() else "UTF-8"
    # Any bytes are Windows-1252, so let it pass only where Western letters are rare among ASCII.
    foreign = sum(byte >= _DELETE for byte in head)
    if foreign * 4 > len(head):
        return None
    return head.decode("cp1252", errors="replace"), "Windows-1252"


def hex_lines(head: bytes) -> Iterator[tuple[str, str, str]]:
    """Yield lines of 16 bytes: the offset, the bytes in hex, and what of them is ASCII."""
    for start in range(0, len(head), _HEX_LINE):
        line = head[start : start + _HEX_LINE]
        shown = "".join(chr(byte) if _FIRST_PRINTABLE <= byte < _DELETE else "." for byte in line)
        yield f"{start:08x}", f"{line[:8].hex(' ')}  {line[8:].hex(' ')}".ljust(3 * _HEX_LINE), shown


def _decode(head: bytes, codec: str) -> str | None:
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        return decoder.decode(head)
    except UnicodeDecodeError:
        return None
