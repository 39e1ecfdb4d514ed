"""Which paths a dataset may hold (the server refuses the same ones), and the order in which its tree is built."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from flexai_cli.errors import FlexaiError

MAX_PATH_BYTES: Final = 4096
MAX_PART_BYTES: Final = 255

_PLAIN_NAME: Final = re.compile(r"(?!\.\.?\Z)[ -.0-\[\]-~]{1,255}").fullmatch
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]").search
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]").search


class IllegalPath(FlexaiError):
    """A path that no dataset may hold; `reason` is a sentence for its owner."""

    def __init__(self, path: str, reason: str) -> None:
        shown = path.encode("utf-8", "backslashreplace").decode()
        super().__init__(f"{shown!r}: {reason}", items=[{"path": shown, "detail": reason}])
        self.reason = reason


def are_plain(names: Sequence[str]) -> bool:
    """Tell at once whether all names of a folder on disk are such as most are: ASCII, and against no rule."""
    together = "".join(names)
    return (
        together.isascii()
        and together.isprintable()
        and "\\" not in together
        and max(map(len, names)) <= MAX_PART_BYTES
    )


def normalise_name(name: str) -> str:
    """Give one part of a path in Unicode NFC; raise IllegalPath where it breaks a rule."""
    if _PLAIN_NAME(name):
        return name
    if _SURROGATE(name):
        raise IllegalPath(name, "The name is not valid Unicode text.")
    normal = unicodedata.normalize("NFC", name)
    if not normal:
        raise IllegalPath(name, "The path has an empty part: a slash at its start or end, or two in a row.")
    if normal in {".", ".."}:
        raise IllegalPath(name, f"The path has a part that is {normal!r}.")
    if "/" in normal or "\\" in normal:
        raise IllegalPath(name, "The name contains a slash or a backslash.")
    if _CONTROL(normal):
        raise IllegalPath(name, "The path contains a control character, such as a line break or a tab.")
    if len(normal.encode()) > MAX_PART_BYTES:
        raise IllegalPath(name, f"The path has a file or folder name longer than {MAX_PART_BYTES} bytes.")
    return normal


def normalise(path: str) -> str:
    """Give a whole path in Unicode NFC; raise IllegalPath where it breaks a rule."""
    try:
        normal = "/".join(map(normalise_name, path.split("/")))
    except IllegalPath as error:
        raise IllegalPath(path, error.reason) from None
    check_length(normal)
    return normal


def is_short(folder: str) -> bool:
    """Whether any name that a folder may hold makes a path that is not too long."""
    return len(folder) <= MAX_PATH_BYTES // 4 - MAX_PART_BYTES


def check_length(path: str) -> None:
    """Raise IllegalPath for a normalised path with too many bytes."""
    if len(path) > MAX_PATH_BYTES // 4 and len(path.encode()) > MAX_PATH_BYTES:
        raise IllegalPath(path, f"The path is longer than {MAX_PATH_BYTES} bytes.")
