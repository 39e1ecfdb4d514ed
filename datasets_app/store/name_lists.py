"""Names of a directory's files in a few texts, which a search looks through instead of row by row.

A text begins and ends with MARK, and has one after each name; its ASCII letters are lower-case. What a name must
contain to be found (`needle`) is asked of the text first, so that files are looked at only where one of them may fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# No name may contain it.
MARK: Final = "\n"
# Fewer files are looked at as fast as a list.
LEAST_FILES: Final = 16
# PostgreSQL keeps rows below 2 kB in one piece, uncompressed.
MOST_CHARACTERS: Final = 1500


class NameList(NamedTuple):
    """The files from `first` to `last` of a directory, in byte order, and the bounds of their sizes in bytes."""

    first: str
    last: str
    names: str
    least_size: int
    most_size: int


def list_names(files: Iterable[tuple[str, int]]) -> Iterator[NameList]:
    """Cut the files of a directory (name, size), sorted by name, into lists."""
    names: list[str] = []
    sizes: list[int] = []
    length = 0
    for name, size in files:
        names.append(name)
        sizes.append(size)
        length += len(name) + 1
        if length >= MOST_CHARACTERS:
            yield _join(names, sizes)
            names, sizes, length = [], [], 0
    if names:
        yield _join(names, sizes)


def _join(names: list[str], sizes: list[int]) -> NameList:
    text = f"{MARK}{MARK.join(names)}{MARK}"
    return NameList(names[0], names[-1], _lower(text), min(sizes), max(sizes))


def needle(part: str) -> str:
    """Return the longest piece of `part` that is in the list of every name that has it, in whatever case; or ""."""
    longest = piece = ""
    for sign in part:
        # Databases don't agree on the case of other letters.
        piece = piece + sign if sign.isascii() or sign.lower() == sign.upper() else ""
        longest = max(longest, piece, key=len)
    return _lower(longest)


def _lower(text: str) -> str:
    return text.lower() if text.isascii() else text.encode().lower().decode()
