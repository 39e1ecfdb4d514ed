"""Find files in a version by their names, endings and sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from datasets_app.models import Blob, File
from datasets_app.permissions import require
from datasets_app.services.browsing import Entry
from datasets_app.services.validation import invalid_field
from datasets_app.services.walking import subtree_sql
from datasets_app.store.paths import KEY_SEPARATOR, from_key

if TYPE_CHECKING:
    from datasets_app.models import User, Version

PAGE_FILES: Final = 100
MOST_PAGE: Final = 1000
_WILD: Final = frozenset("*?[")
# What folders can tell is asked of folders, of which there are far fewer than files; `whole` says that all files
# of a folder fit the path that was asked for. Files are counted out of the index of names, blobs come last:
# CROSS JOIN keeps SQLite to this order.
_PLACES: Final = """
WITH RECURSIVE below(prefix, id) AS ({below}),
places(prefix, id, whole) AS {kept} (SELECT prefix, id, {whole} FROM below WHERE {folders})
"""
# SQLite takes one row after the other, so the same search over the same tree has the same order without sorting.
_FOUND: Final = f"""
SELECT places.prefix || f.name, b.size, b.sha256 FROM places
CROSS JOIN {File._meta.db_table} f CROSS JOIN {Blob._meta.db_table} b
WHERE f.directory_id = places.id AND b.id = f.blob_id AND {{files}} LIMIT %s OFFSET %s
"""  # noqa: S608 - only names of our own tables
# PostgreSQL promises no order by itself. Folder by folder it stops at the end of the page all the same: the folders
# are sorted, then the files of each, and only what follows the last file shown is not looked at.
_FOUND_IN_ORDER: Final = f"""
SELECT places.prefix || f.name, f.size, f.sha256 FROM (SELECT * FROM places ORDER BY prefix) places
CROSS JOIN LATERAL (
    SELECT f.name, b.size, b.sha256 FROM {File._meta.db_table} f JOIN {Blob._meta.db_table} b ON b.id = f.blob_id
    WHERE f.directory_id = places.id AND {{files}} ORDER BY f.name
) f
ORDER BY places.prefix, f.name LIMIT %s OFFSET %s
"""  # noqa: S608 - as above


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


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """A page of what was found, and whether there is more."""

    items: list[Entry]
    page: int
    has_more: bool


def search_files(actor: User, *, version: Version, search: Search, page: int = 1) -> FoundFiles:
    """Return a page of the files that fit, in an order that stays the same; none of a version that is not sealed."""
    require(actor, "version.view", version)
    if not 1 <= page <= MOST_PAGE:
        raise invalid_field("page", f"Pages are 1 to {MOST_PAGE}: make the search narrower.")
    if version.root_id is None or search.is_empty:
        return FoundFiles([], page, has_more=False)
    start = (page - 1) * PAGE_FILES
    asked = _conditions(search)
    parts = {
        "below": subtree_sql("below"),
        "whole": asked.whole,
        # Else SQLite would ask the folder again for each of its files; without conditions, files can come at once.
        "kept": "MATERIALIZED" if asked.folders else "",
        "folders": " AND ".join(asked.folders) or "1 = 1",
        "files": " AND ".join(asked.files) or "1 = 1",
    }
    values = [version.root_id, KEY_SEPARATOR, *asked.whole_values, *asked.folder_values, *asked.file_values]
    with connection.cursor() as cursor:
        found = _FOUND if connection.vendor == "sqlite" else _FOUND_IN_ORDER
        cursor.execute((_PLACES + found).format(**parts), [*values, PAGE_FILES + 1, start])
        rows = cursor.fetchall()
    return FoundFiles([_entry(row) for row in rows[:PAGE_FILES]], page, has_more=len(rows) > PAGE_FILES)


@dataclass(slots=True)
class _Conditions:
    """A search in SQL: what is asked of folders and of files, and the values for it."""

    whole: str = "1 = 1"
    whole_values: list[Any] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    folder_values: list[Any] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    file_values: list[Any] = field(default_factory=list)

    def ask_file(self, condition: str, *values: object) -> None:
        """Add a condition on files."""
        self.files.append(condition)
        self.file_values += values


def _conditions(search: Search) -> _Conditions:
    asked = _Conditions()
    like = "LIKE %s ESCAPE '!'" if connection.vendor == "sqlite" else "ILIKE %s ESCAPE '!'"
    text = search.text.strip().strip("/")
    if text and _WILD & set(text):
        _ask_glob(asked, text)
    elif "/" in text:
        _ask_path(asked, text, like)
    elif text:
        asked.ask_file(f"f.name {like}", f"%{_escaped(text)}%")
    suffix = search.suffix.strip().lstrip("*.")
    if suffix:
        asked.ask_file(f"f.name {like}", f"%.{_escaped(suffix)}")
    if search.least_size is not None:
        asked.ask_file("b.size >= %s", search.least_size)
    if search.most_size is not None:
        asked.ask_file("b.size <= %s", search.most_size)
    return asked


def _ask_path(asked: _Conditions, text: str, like: str) -> None:
    """Ask for a part of a path: it lies in the folders alone, or ends in the beginning of the name."""
    head, _, tail = text.rpartition("/")
    prefix = f"replace(prefix, '{KEY_SEPARATOR}', '/')"
    within, before = f"%{_escaped(text)}%", f"%{_escaped(head)}/"
    asked.whole = f"{prefix} {like}"
    asked.whole_values = [within]
    asked.folders = [f"({prefix} {like} OR {prefix} {like})"]
    asked.folder_values = [within, before]
    asked.ask_file(f"(places.whole OR f.name {like})", f"{_escaped(tail)}%")


def _ask_glob(asked: _Conditions, glob: str) -> None:
    """Ask for a pattern over the name, or where it has a "/", over the whole path."""
    if "/" not in glob:
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


def _entry(row: tuple[str, int, bytes]) -> Entry:
    key, size, digest = row
    path = from_key(key)
    return Entry(
        kind="file", name=path.rpartition("/")[2], path=path, size=size, file_count=1, sha256=bytes(digest).hex()
    )
