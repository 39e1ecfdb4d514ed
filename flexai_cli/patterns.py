"""Which paths are wanted: patterns as in .gitignore, with the meaning that they have in an import on the server."""

from __future__ import annotations

import re
from collections.abc import Sequence


class Patterns:
    """Takes a path that one of `include` matches (all, where there is none) and none of `exclude` does.

    `*` and `?` match within a name, `**` any number of folders, `[ab]` and `[!ab]` one character. A pattern without a
    slash matches names in every folder; one with a slash begins at the top. A folder that is matched counts with all
    that it holds; a slash at the end matches folders only.
    """

    def __init__(self, *, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = compile_patterns(include)
        self._exclude = compile_patterns(exclude)

    @property
    def takes_all(self) -> bool:
        """Whether there is no pattern."""
        return self._include is None and self._exclude is None

    def takes(self, path: str) -> bool:
        """Whether the file is wanted."""
        return (self._include is None or self._include.match(path) is not None) and not self.leaves_out(path)

    def leaves_out(self, path: str) -> bool:
        """Whether the path is excluded; "a/b/" asks about a folder, and with it all that is in it."""
        return self._exclude is not None and self._exclude.match(path) is not None


def compile_patterns(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """Translate patterns into one expression; None for no patterns."""
    wanted = [pattern for pattern in patterns if pattern.strip("/")]
    return re.compile("|".join(f"(?:{_translate(pattern)})" for pattern in wanted), re.DOTALL) if wanted else None


def _translate(pattern: str) -> str:
    """Match the beginning of a path, up to the end of a name."""
    parts = pattern.strip("/").split("/")
    if len(parts) == 1 and not pattern.startswith("/"):
        parts = ["**", *parts]
    expression = ""
    for number, part in enumerate(parts, start=1):
        is_last = number == len(parts)
        if part == "**":
            expression += "[^/]" if is_last else "(?:[^/]*/)*"
        else:
            expression += _translate_name(part) + ("" if is_last else "/")
    if parts[-1] == "**":
        return expression
    return expression + ("(?=/)" if pattern.endswith("/") else r"(?=/|\Z)")


def _translate_name(part: str) -> str:
    expression = ""
    position = 0
    while position < len(part):
        character = part[position]
        closing = part.find("]", position + 2) if character == "[" else -1
        if closing > 0:
            inner = part[position + 1 : closing]
            negated = inner[0] in "!^"
            members = re.sub(r"([\\\]\[^&~|])", r"\\\1", inner[negated:])
            expression += f"[{'^/' if negated else ''}{members}]"
            position = closing
        else:
            expression += {"*": "[^/]*", "?": "[^/]"}.get(character) or re.escape(character)
        position += 1
    return expression
