"""Two texts line by line, side by side, with the lines around what differs."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MIB

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST_BYTES: Final = 8 * MIB
# Of what is between the first and the last difference; the time grows with the square of it where all is different.
MOST_DIFFERENT: Final = 20_000
# Lines that occur often are not matched beyond this size, for the same reason.
PRECISE: Final = 3_000
MOST_ROWS: Final = 2_000
CONTEXT: Final = 3
MOST_LINE: Final = 1_000

# (text before, what differs, text after); without a difference all is in the first.
Words = tuple[str, str, str]
Opcode = tuple[str, int, int, int, int]


def compare_lines(old: str, new: str) -> dict[str, Any]:
    """Return `rows` (kind, old number, old words, new number, new words), counts, and what was left out.

    A row of the kind "skip" stands for equal lines that are not shown; its old number says how many.
    """
    ours, theirs = _lines(old), _lines(new)
    opcodes, is_cut = _opcodes(ours, theirs)
    removed = sum(end - start for kind, start, end, _, _ in opcodes if kind != "equal")
    added = sum(end - start for kind, _, _, start, end in opcodes if kind != "equal")
    rows: list[Any] = []
    is_full = False
    for row in _rows(opcodes, ours, theirs):
        if len(rows) >= MOST_ROWS:
            is_full = True
            break
        rows.append(row)
    return {
        "rows": rows,
        "added": added,
        "removed": removed,
        "old_lines": len(ours),
        "new_lines": len(theirs),
        "is_full": is_full,
        "is_cut": is_cut,
    }


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1] else lines


def _opcodes(ours: list[str], theirs: list[str]) -> tuple[list[Opcode], bool]:
    """Tell which lines are equal; what both begin and end with is set aside first."""
    most = min(len(ours), len(theirs))
    start = 0
    while start < most and ours[start] == theirs[start]:
        start += 1
    end = 0
    while end < most - start and ours[-1 - end] == theirs[-1 - end]:
        end += 1
    middle = [lines[start : len(lines) - end] for lines in (ours, theirs)]
    is_cut = max(map(len, middle)) > MOST_DIFFERENT
    found: list[Opcode] = [("equal", 0, start, 0, start)] if start else []
    if is_cut:
        found.append(("replace", start, len(ours) - end, start, len(theirs) - end))
    else:
        matcher = SequenceMatcher(None, middle[0], middle[1], autojunk=max(map(len, middle)) > PRECISE)
        found += [(kind, a + start, b + start, c + start, d + start) for kind, a, b, c, d in matcher.get_opcodes()]
    if end:
        found.append(("equal", len(ours) - end, len(ours), len(theirs) - end, len(theirs)))
    return found, is_cut


def _rows(opcodes: Sequence[Opcode], ours: list[str], theirs: list[str]) -> Iterator[tuple[Any, ...]]:
    for place, (kind, old_start, old_end, new_start, new_end) in enumerate(opcodes):
        if kind == "equal":
            count = old_end - old_start
            head = 0 if place == 0 else min(CONTEXT, count)
            tail = 0 if place == len(opcodes) - 1 else min(CONTEXT, count - head)
            for step in range(head):
                yield _equal(ours, old_start + step, new_start + step)
            if count > head + tail:
                yield "skip", count - head - tail, None, 0, None
            for step in range(count - tail, count):
                yield _equal(ours, old_start + step, new_start + step)
            continue
        for step in range(max(old_end - old_start, new_end - new_start)):
            old = ours[old_start + step] if old_start + step < old_end else None
            new = theirs[new_start + step] if new_start + step < new_end else None
            word = "changed" if old is not None and new is not None else ("removed" if new is None else "added")
            before, after = _mark(old, new)
            yield (
                word,
                None if old is None else old_start + step + 1,
                before,
                None if new is None else new_start + step + 1,
                after,
            )


def _equal(lines: list[str], old: int, new: int) -> tuple[Any, ...]:
    words: Words = (lines[old][:MOST_LINE], "", "")
    return "equal", old + 1, words, new + 1, words


def _mark(old: str | None, new: str | None) -> tuple[Words | None, Words | None]:
    """Find what differs within two lines: all between what both begin and what both end with."""
    if old is None or new is None:
        return tuple(None if one is None else ("", one[:MOST_LINE], "") for one in (old, new))  # type: ignore[return-value]
    old, new = old[:MOST_LINE], new[:MOST_LINE]
    most = min(len(old), len(new))
    start = next((place for place in range(most) if old[place] != new[place]), most)
    end = next((place for place in range(most - start) if old[-1 - place] != new[-1 - place]), most - start)
    return _cut(old, start, end), _cut(new, start, end)


def _cut(line: str, start: int, end: int) -> Words:
    return line[:start], line[start : len(line) - end], line[len(line) - end :]
