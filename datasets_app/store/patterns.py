"""Which paths of a remote store are wanted: patterns as in .gitignore, translated into one regular expression."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from datasets_app.errors import ErrorItem, Invalid

MOST_PATTERNS: Final = 100
MOST_CHARACTERS: Final = 1000


class Patterns:
    """Takes a path that one of `include` matches (all, where there is none) and none of `exclude` does.

    `*` and `?` match within a name, `**` any number of folders, `[ab]` and `[!ab]` one character. A pattern without a
    slash matches names in every folder; one with a slash begins at the top. A folder that is matched counts with all
    that it holds; a slash at the end matches folders only.
    """

    def __init__(self, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = _compile(include)
        self._exclude = _compile(exclude)

    def takes(self, path: str) -> bool:
        """Whether the path is wanted."""
        if self._include is None and self._exclude is None:
            return True
        normal = path if path.isascii() else unicodedata.normalize("NFC", path)
        if self._include is not None and not self._include.match(normal):
            return False
        return self._exclude is None or not self._exclude.match(normal)


def clean_patterns(patterns: Iterable[str], *, field: str) -> list[str]:
    """Strip the patterns and leave out empty ones; Invalid, naming the form's `field`, where one can't be used."""
    cleaned = [text for text in (unicodedata.normalize("NFC", pattern.strip()) for pattern in patterns) if text]
    wrong = [problem for problem in map(_problem, cleaned) if problem]
    if len(cleaned) > MOST_PATTERNS:
        wrong = [f"At most {MOST_PATTERNS} patterns."]
    if wrong:
        errors: list[ErrorItem] = [{"field": field, "detail": detail} for detail in wrong]
        raise Invalid(wrong[0], errors=errors)
    return cleaned


def _problem(pattern: str) -> str:
    shown = pattern if len(pattern) <= 50 else f"{pattern[:50]}…"  # noqa: PLR2004
    if len(pattern) > MOST_CHARACTERS:
        return f"{shown}: a pattern has at most {MOST_CHARACTERS} characters."
    if not pattern.strip("/"):
        return f"{shown}: this matches no file."
    if "\x00" in pattern:
        return "A pattern holds no NUL character."
    return ""


def _compile(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{_translate(pattern)})" for pattern in patterns), re.DOTALL) if patterns else None


def _translate(pattern: str) -> str:
    """Match the beginning of a path, up to the end of a name.

    What follows `**` is taken where it comes first, for good: a later place would match no more, and time would grow
    with the power of the number of `**`.
    """
    text = pattern.strip("/")
    parts = re.sub(r"\*\*+", "**", text).split("/")
    if "/" not in text and not pattern.startswith("/"):
        parts = ["**", *parts]
    below_only = parts[-1] == "**"
    runs: list[list[str]] = [[]]
    for part in parts:
        if part == "**":
            runs.append([])
        else:
            runs[-1].append(_translate_name(part))
    expression = "".join(f"{name}/" for name in runs[0]) if len(runs) > 1 else _end("/".join(runs[0]))
    for number, run in enumerate(runs[1:], start=2):
        if run:
            names = _end("/".join(run)) if number == len(runs) else "".join(f"{name}/" for name in run)
            expression += f"(?>(?:[^/]*/)*?{names})"
    return expression + ("[^/]" if below_only else "(?=/)" if pattern.endswith("/") else "")


def _end(names: str) -> str:
    return names + r"(?=/|\Z)"


def _translate_name(part: str) -> str:
    """Translate a name's pattern.

    What follows a star is taken where it comes first, for good: more tries would find nothing new, only take time.
    """
    pieces = [_translate_piece(piece) for piece in re.split(r"\*+", part)]
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + "".join(f"(?>[^/]*?{piece})" for piece in middle if piece) + "[^/]*" + last


def _translate_piece(piece: str) -> str:
    """Translate what stands between stars: always as many characters as it matches."""
    expression = ""
    position = 0
    while position < len(piece):
        character = piece[position]
        closing = piece.find("]", position + 2) if character == "[" else -1
        if closing > 0:
            inner = piece[position + 1 : closing]
            negated = inner[0] in "!^"
            expression += f"[{'^/' if negated else ''}{_translate_class(inner[negated:])}]"
            position = closing
        else:
            expression += "[^/]" if character == "?" else re.escape(character)
        position += 1
    return expression


def _translate_class(inner: str) -> str:
    """Keep ranges such as a-z, and escape everything else; a range that runs backwards is meant literally."""
    expression = ""
    position = 0
    while position < len(inner):
        end = inner[position + 2 : position + 3]
        if inner[position + 1 : position + 2] == "-" and end and inner[position] <= end:
            expression += f"{re.escape(inner[position])}-{re.escape(end)}"
            position += 3
        else:
            expression += re.escape(inner[position])
            position += 1
    return expression
