"""What a search asks, in each database's SQL: of folders, of lists of names, and of files.

The tables are `places(prefix, id, whole)`, `l` (NameList) and `f` (File). What is asked of lists is what each name that
is found has in common, so that the others needn't be looked at: see `store.name_lists`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connection

from datasets_app.models import Blob
from datasets_app.store.name_lists import MARK, needle
from datasets_app.store.paths import KEY_SEPARATOR

_WILD: Final = frozenset("*?[")
_SIZE: Final = f"SELECT b.size FROM {Blob._meta.db_table} b WHERE b.id = f.blob_id"  # noqa: S608 - our own names
_ANY: Final = re.compile(r"\*+|\?|\[[^\]]*\]?")


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for: `text` is a part of a path's last name, or a glob over the whole path; sizes are bytes."""

    text: str = ""
    suffix: str = ""
    least_size: int | None = None
    most_size: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was asked for."""
        return not (self.text or self.suffix or self.least_size is not None or self.most_size is not None)


@dataclass(slots=True)
class Terms:
    """A search in SQL, and the values for it. `whole` tells that all files of a folder fit the path asked for."""

    whole: str = "1 = 1"
    whole_values: list[Any] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    folder_values: list[Any] = field(default_factory=list)
    lists: list[str] = field(default_factory=list)
    list_values: list[Any] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    file_values: list[Any] = field(default_factory=list)

    def ask_file(self, condition: str, *values: object) -> None:
        """Add a condition on files."""
        self.files.append(condition)
        self.file_values += values

    def ask_list(self, part: str, *, unless: str = "") -> None:
        """Ask for lists that have `part`, wherever a name has it; `unless` is a condition that makes any list do."""
        wanted = needle(part)
        if wanted.strip(MARK):
            find = "instr" if connection.vendor == "sqlite" else "strpos"
            self.lists.append(f"({unless}{find}(l.names, %s) > 0)")
            self.list_values.append(wanted)

    def ask_size(self, condition: str, of_list: str, size: int) -> None:
        """Add a condition on sizes."""
        # Not a join: SQLite would first go through all blobs for a filter of those that are large enough.
        self.ask_file(f"({_SIZE}) {condition} %s", size)
        self.lists.append(f"{of_list} {condition} %s")
        self.list_values.append(size)


def write_terms(search: Search) -> Terms:
    """Write a search in SQL."""
    asked = Terms()
    like = "LIKE %s ESCAPE '!'" if connection.vendor == "sqlite" else "ILIKE %s ESCAPE '!'"
    text = search.text.strip().strip("/")
    if text and _WILD & set(text):
        _ask_glob(asked, text)
    elif "/" in text:
        _ask_path(asked, text, like)
    elif text:
        asked.ask_list(text)
        asked.ask_file(f"f.name {like}", f"%{_escaped(text)}%")
    suffix = search.suffix.strip().lstrip("*.")
    if suffix:
        asked.ask_list(f".{suffix}{MARK}")
        asked.ask_file(f"f.name {like}", f"%.{_escaped(suffix)}")
    if search.least_size is not None:
        asked.ask_size(">=", "l.most_size", search.least_size)
    if search.most_size is not None:
        asked.ask_size("<=", "l.least_size", search.most_size)
    return asked


def _ask_path(asked: Terms, text: str, like: str) -> None:
    """Ask for a part of a path: it lies in the folders alone, or ends in the beginning of the name."""
    head, _, tail = text.rpartition("/")
    prefix = f"replace(prefix, '{KEY_SEPARATOR}', '/')"
    within, before = f"%{_escaped(text)}%", f"%{_escaped(head)}/"
    asked.whole = f"{prefix} {like}"
    asked.whole_values = [within]
    asked.folders = [f"({prefix} {like} OR {prefix} {like})"]
    asked.folder_values = [within, before]
    asked.ask_list(f"{MARK}{tail}", unless="places.whole OR ")
    asked.ask_file(f"(places.whole OR f.name {like})", f"{_escaped(tail)}%")


def _ask_glob(asked: Terms, glob: str) -> None:
    """Ask for a pattern over the name, or where it has a "/", over the whole path."""
    if "/" not in glob:
        pieces = _ANY.split(f"{MARK}{glob}{MARK}")
        asked.ask_list(max(pieces, key=len))
        asked.ask_file(*_glob("f.name", glob))
        return
    # What is before the first wildcard tells in which folders to look.
    start = min(glob.index(sign) for sign in _WILD if sign in glob)
    lead = glob[:start].replace("/", KEY_SEPARATOR)
    asked.folders = ["(substr(prefix, 1, %s) = %s OR substr(%s, 1, length(prefix)) = prefix)"]
    asked.folder_values = [len(lead), lead, lead]
    # And what is behind the last star, how the name ends; cheaper than the whole, and mostly decides.
    end = glob.rpartition("/")[2].rpartition("*")[2]
    if end and "]" not in end:
        asked.ask_list(f"{_ANY.split(end)[-1]}{MARK}")
        asked.ask_file(*_glob("f.name", f"*{end}"))
    asked.ask_file(*_glob("places.prefix || f.name", glob))


def _glob(column: str, glob: str) -> tuple[str, str]:
    """Compare with a glob in the database's own words: the condition, and its value."""
    glob = glob.replace("**/", "*").replace("**", "*").replace("/", KEY_SEPARATOR)
    if connection.vendor == "sqlite":
        return f"{column} GLOB %s", glob
    if "[" not in glob:
        # A third of the time of a regular expression.
        return f"{column} LIKE %s ESCAPE '!'", _escaped(glob).replace("*", "%").replace("?", "_")
    parts = [{"*": ".*", "?": "."}.get(part) or _class(part) for part in re.findall(r"\[[^\]]+\]|.", glob, re.DOTALL)]
    return f"{column} ~ %s", f"^{''.join(parts)}$"


def _class(part: str) -> str:
    """Turn a set such as [a-z] or [^0-9] into the same of a regular expression; anything else stands for itself."""
    if len(part) == 1:
        return re.escape(part)
    inside = part[1:-1].replace("\\", "\\\\")
    return f"[{inside}]"


def _escaped(text: str) -> str:
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
