"""Text and code: a window of numbered, highlighted lines, wherever in the file, however large it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from datasets_app.previews.base import MIB, MOST_LINES, Ask, Kind, Preview, PreviewError
from datasets_app.previews.plain import decode_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.previews.base import Reader

WINDOW_BYTES: Final = 192 * 1024
MOST_LINE: Final = 4000
WIDE = {"UTF-16": 2, "UTF-32": 4}
CODECS = {"ASCII": "ascii", "UTF-8": "utf-8", "Windows-1252": "cp1252"}

# One (class, text) after the other; the class is a short name of Pygments', "" for what is not coloured.
Line = list[tuple[str, str]]


class TextKind(Kind):
    """Anything that decodes as text."""

    name: ClassVar[str] = "text"
    label: ClassVar[str] = "Text"

    def recognises(self, head: bytes, name: str) -> bool:  # noqa: ARG002 - the name says nothing about text
        """Ask the decoder."""
        return decode_text(head) is not None

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """Show the window at byte `at` (whose line number is `line`), or the one that begins with line `go`."""
        decoded = decode_text(reader.read(0, 64 * 1024))
        if decoded is None and reader.size:
            raise PreviewError("This is no text.")
        encoding = decoded[1] if decoded else "ASCII"
        at, line, notes = self._place(reader, ask, encoding)
        raw = reader.read(at, WINDOW_BYTES)
        text, taken = _whole_lines(raw, encoding, is_end=at + len(raw) >= reader.size)
        lines = highlight(text, ask.name)
        cut = sum(1 for one in lines if sum(len(part) for _, part in one) > MOST_LINE)
        if cut:
            notes.append(f"{cut} long lines are cut after {MOST_LINE} characters.")
        end = at + taken
        more = None if end >= reader.size else {"at": end, "line": line + len(lines)}
        if more is not None and encoding not in WIDE and not raw[:taken].endswith(b"\n"):
            # The same line once more, not the next one.
            more["line"] -= 1
            notes.append(f"Line {more['line']:,} is too long to be shown at once: it goes on in the next part.")
        data = {
            "lines": [_cut(one) for one in lines],
            "first_line": line,
            "at": at,
            "next": more,
            "is_whole": at == 0 and more is None,
            "percent": round(100 * at / reader.size) if reader.size else 0,
        }
        return Preview("text/plain", facts=[("Encoding", encoding)], data=data, notes=notes)

    def _place(self, reader: Reader, ask: Ask, encoding: str) -> tuple[int, int, list[str]]:
        if encoding in WIDE:
            notes = [] if reader.size <= WINDOW_BYTES else [f"Of {encoding} text only the beginning is shown."]
            return 0, 1, notes
        wanted = ask.number("go", 0)
        if wanted > 1:
            return find_line(reader, wanted)
        return ask.number("at", 0, most=max(reader.size - 1, 0)), ask.number("line", 1, least=1), []


def find_line(reader: Reader, wanted: int) -> tuple[int, int, list[str]]:
    """Return the byte at which line `wanted` begins, its number, and a note where there is no such line."""
    line, last_start, at = 1, 0, 0
    while at < reader.size:
        block = reader.read(at, 4 * MIB)
        count = block.count(b"\n")
        if line + count >= wanted:
            place = -1
            for _ in range(wanted - line):
                place = block.index(b"\n", place + 1)
            return at + place + 1, wanted, []
        line += count
        newest = block.rfind(b"\n")
        last_start = at + newest + 1 if newest >= 0 else last_start
        at += len(block)
    if last_start >= reader.size > 0:
        # The last byte ends a line: the line after it is none.
        line -= 1
        before = reader.read(max(0, reader.size - WINDOW_BYTES), WINDOW_BYTES)[:-1]
        last_start = reader.size - 1 - len(before) + before.rfind(b"\n") + 1
    return last_start, line, [f"There is no line {wanted:,}; the last one is {line:,}."]


def _whole_lines(raw: bytes, encoding: str, *, is_end: bool) -> tuple[str, int]:
    """Decode at most MOST_LINES whole lines of a window; return them and how many bytes they are."""
    if encoding in WIDE:
        return raw.decode(encoding.lower().replace("-", ""), errors="replace"), len(raw)
    end, count = 0, 0
    while count < MOST_LINES:
        place = raw.find(b"\n", end)
        if place < 0:
            break
        end, count = place + 1, count + 1
    else:
        return raw[:end].decode(CODECS[encoding], errors="replace"), end
    if is_end or end == 0:
        end = len(raw)
        while not is_end and end and raw[end - 1] & 0xC0 == 0x80:  # noqa: PLR2004 - not inside a character
            end -= 1
    return raw[:end].decode(CODECS[encoding], errors="replace"), end


def highlight(text: str, name: str) -> list[Line]:
    """Split into lines of (class, text), coloured where the file's name tells a language."""
    lines: list[Line] = [[]] if text else []
    for kind, part in _tokens(text, name):
        first, *others = part.split("\n")
        if first:
            lines[-1].append((kind, first))
        lines += [[(kind, other)] if other else [] for other in others]
    if text.endswith("\n"):
        lines.pop()
    return lines


def _tokens(text: str, name: str) -> Iterator[tuple[str, str]]:
    from pygments.lexers import get_lexer_for_filename
    from pygments.token import STANDARD_TYPES
    from pygments.util import ClassNotFound

    text = text.replace("\r\n", "\n").replace("\r", "\n")
    try:
        lexer = get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        yield "", text
        return
    for token, part in lexer.get_tokens(text):
        while token not in STANDARD_TYPES:
            token = token.parent  # noqa: PLW2901 - up to a token type that has a name
        yield STANDARD_TYPES[token], part


def _cut(line: Line) -> Line:
    left, kept = MOST_LINE, []
    for kind, part in line:
        if left <= 0:
            break
        kept.append((kind, part[:left]))
        left -= len(part)
    return kept
