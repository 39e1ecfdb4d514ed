"""Find files in a version by their names, endings and sizes."""

from __future__ import annotations

import re
from dataclasses import dataclass
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
_FOUND: Final = f"""
WITH RECURSIVE below(prefix, id) AS ({{below}})
SELECT below.prefix || f.name, b.size, b.sha256 FROM below
JOIN {File._meta.db_table} f ON f.directory_id = below.id
JOIN {Blob._meta.db_table} b ON b.id = f.blob_id
WHERE {{conditions}} LIMIT %s OFFSET %s
"""  # noqa: S608 - only names of our own tables


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
    conditions, values = _conditions(search)
    start = (page - 1) * PAGE_FILES
    with connection.cursor() as cursor:
        statement = _FOUND.format(conditions=" AND ".join(conditions), below=subtree_sql("below"))
        cursor.execute(statement, [version.root_id, KEY_SEPARATOR, *values, PAGE_FILES + 1, start])
        rows = cursor.fetchall()
    return FoundFiles([_entry(row) for row in rows[:PAGE_FILES]], page, has_more=len(rows) > PAGE_FILES)


def _conditions(search: Search) -> tuple[list[str], list[Any]]:
    like = "LIKE %s ESCAPE '!'" if connection.vendor == "sqlite" else "ILIKE %s ESCAPE '!'"
    conditions, values = ["1 = 1"], list[Any]()
    text = search.text.strip().strip("/")
    if text and _WILD & set(text):
        conditions.append(_matches("below.prefix || f.name" if "/" in text else "f.name"))
        values.append(_pattern(text))
    elif "/" in text:
        conditions.append(f"replace(below.prefix || f.name, %s, '/') {like}")
        values += [KEY_SEPARATOR, f"%{_escaped(text)}%"]
    elif text:
        conditions.append(f"f.name {like}")
        values.append(f"%{_escaped(text)}%")
    suffix = search.suffix.strip().lstrip("*.")
    if suffix:
        conditions.append(f"f.name {like}")
        values.append(f"%.{_escaped(suffix)}")
    if search.least_size is not None:
        conditions.append("b.size >= %s")
        values.append(search.least_size)
    if search.most_size is not None:
        conditions.append("b.size <= %s")
        values.append(search.most_size)
    return conditions, values


def _matches(column: str) -> str:
    """Compare with a glob in the database's own words."""
    return f"{column} GLOB %s" if connection.vendor == "sqlite" else f"{column} ~ %s"


def _pattern(glob: str) -> str:
    glob = glob.replace("**/", "*").replace("**", "*").replace("/", KEY_SEPARATOR)
    if connection.vendor == "sqlite":
        return glob
    parts = [{"*": ".*", "?": "."}.get(part) or _class(part) for part in re.findall(r"\[[^\]]+\]|.", glob, re.DOTALL)]
    return f"^{''.join(parts)}$"


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
