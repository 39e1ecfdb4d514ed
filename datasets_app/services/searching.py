"""Find files in a version by their names, endings and sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from django.core import signing
from django.db import connection

from datasets_app.errors import Conflict
from datasets_app.models import Blob, File, NameList
from datasets_app.permissions import require
from datasets_app.services.browsing import MOST_ROWS, Entry
from datasets_app.services.damages import damaged_files
from datasets_app.services.paging import Page
from datasets_app.services.search_terms import Search, write_terms
from datasets_app.services.validation import invalid_field
from datasets_app.services.walking import subtree_sql
from datasets_app.store.paths import KEY_SEPARATOR, from_key

if TYPE_CHECKING:
    from datasets_app.models import User, Version
    from datasets_app.services.search_terms import Terms

__all__ = ["PAGE_FILES", "FoundFiles", "Search", "find_files_page", "search_files"]

PAGE_FILES: Final = 100
MOST_PAGE: Final = 1000
_SALT: Final = "cursor search"
# What folders can tell is asked of folders, of which there are far fewer than files. Then lists of names tell which
# files to look at; a folder without lists has few. Blobs come last, for the page's files alone. All comes one folder
# after the other, in the order of the tree, so that the end of the page ends the search.
_PLACES: Final = """
WITH RECURSIVE below(prefix, id) AS ({below}),
places(prefix, id, whole) AS {kept} (SELECT prefix, id, {whole} FROM below WHERE {folders})
SELECT found.prefix || found.name, b.size, b.sha256 FROM ({found}) found
"""
_JOIN: Final = f"LEFT JOIN {NameList._meta.db_table} l ON l.directory_id = places.id"
_BETWEEN: Final = "AND f.name >= coalesce(l.first, '') AND f.name <= coalesce(l.last, {last})"
_WITH_BLOB: Final = f"JOIN {Blob._meta.db_table} b ON b.id = found.blob_id ORDER BY found.prefix, found.name"
# SQLite joins in the order in which CROSS JOIN names the tables, reads each by its index, and so needn't sort.
_SQLITE: Final = f"""
SELECT places.prefix AS prefix, f.name AS name, f.blob_id AS blob_id FROM places {{lists}}
CROSS JOIN {File._meta.db_table} f
WHERE f.directory_id = places.id {{between}} AND {{asked}} AND {{files}} LIMIT %s OFFSET %s
"""  # noqa: S608 - only names of our own tables
# PostgreSQL promises no order by itself, and would look at all files at once but for the ORDER BY inside.
_POSTGRESQL: Final = f"""
SELECT places.prefix, f.name, f.blob_id FROM (SELECT * FROM places ORDER BY prefix) places {{lists}}
CROSS JOIN LATERAL (
    SELECT f.name, f.blob_id FROM {File._meta.db_table} f
    WHERE f.directory_id = places.id {{between}} AND {{files}} ORDER BY f.name
) f
WHERE {{asked}} ORDER BY places.prefix, {{first}} f.name LIMIT %s OFFSET %s
"""  # noqa: S608 - as above


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """A page of what was found, and whether there is more."""

    items: list[Entry]
    page: int
    has_more: bool


def search_files(actor: User, *, version: Version, search: Search, page: int = 1) -> FoundFiles:
    """Return a page of the files that fit, folder by folder; none of a version that is not sealed."""
    require(actor, "version.view", version)
    if not 1 <= page <= MOST_PAGE:
        raise invalid_field("page", f"Pages are 1 to {MOST_PAGE}: make the search narrower.")
    if search.is_empty:
        return FoundFiles([], page, has_more=False)
    found = _find(version, search, limit=PAGE_FILES + 1, offset=(page - 1) * PAGE_FILES)
    return FoundFiles(found[:PAGE_FILES], page, has_more=len(found) > PAGE_FILES)


def find_files_page(
    actor: User, *, version: Version, search: Search, cursor: str | None = None, limit: int = PAGE_FILES
) -> Page[Entry]:
    """Return up to `limit` (1 to 1000) of the files that fit, folder by folder; of an empty search, of all files.

    Pages begin where the one before ended, so that the last one costs what the first does. Conflict when the version
    is not sealed.
    """
    require(actor, "version.view", version)
    if version.root_id is None:
        raise Conflict(f"{version.label} is {version.status}: its files can be found once it is sealed.")
    if not 1 <= limit <= MOST_ROWS:
        raise invalid_field("limit", f"A page has from 1 to {MOST_ROWS} rows.")
    after = _decode(cursor) if cursor else ""
    found = _find(version, search, limit=limit + 1, after=after)
    items = found[:limit]
    damaged = damaged_files(version, [entry.path for entry in items])
    following = signing.dumps(items[-1].path, salt=_SALT) if len(found) > limit else None
    return Page([replace(entry, damaged=True) if entry.path in damaged else entry for entry in items], following)


def _decode(cursor: str) -> str:
    try:
        return str(signing.loads(cursor, salt=_SALT))
    except (signing.BadSignature, ValueError) as error:
        detail = "This cursor was not made by a search. Start again without it."
        raise invalid_field("cursor", detail) from error


def _find(version: Version, search: Search, *, limit: int, offset: int = 0, after: str = "") -> list[Entry]:
    """Run the search; `after` is the path of a file to start behind."""
    if version.root_id is None:
        return []
    terms = write_terms(search)
    if after:
        _start_behind(terms, after)
    values = [version.root_id, KEY_SEPARATOR, *terms.whole_values, *terms.folder_values]
    asked, files = terms.list_values, terms.file_values
    values += [*asked, *files] if connection.vendor == "sqlite" else [*files, *asked]
    with connection.cursor() as cursor:
        cursor.execute(_statement(terms), [*values, limit, offset])
        return [_entry(row) for row in cursor.fetchall()]


def _start_behind(terms: Terms, path: str) -> None:
    folder, _, name = path.rpartition("/")
    prefix = f"{folder}/".replace("/", KEY_SEPARATOR) if folder else ""
    terms.folders.append("prefix >= %s")
    terms.folder_values.append(prefix)
    # Lists that end before it are passed over as a whole.
    terms.lists.append("(places.prefix > %s OR l.last > %s)")
    terms.list_values += [prefix, name]
    terms.ask_file("(places.prefix > %s OR f.name > %s)", prefix, name)


def _statement(terms: Terms) -> str:
    is_sqlite = connection.vendor == "sqlite"
    has_lists = bool(terms.lists)
    parts = {
        "lists": _JOIN if has_lists else "",
        "between": _BETWEEN.format(last="char(1114111)" if is_sqlite else "chr(1114111)") if has_lists else "",
        "asked": f"(l.id IS NULL OR ({' AND '.join(terms.lists)}))" if has_lists else "1 = 1",
        "first": "l.first," if has_lists else "",
        "files": " AND ".join(terms.files) or "1 = 1",
    }
    found = (_SQLITE if is_sqlite else _POSTGRESQL).format(**parts)
    return (_PLACES + _WITH_BLOB).format(
        # SQLite goes through the folders in order while it finds them; PostgreSQL sorts them afterwards.
        below=f"{subtree_sql('below')} {'ORDER BY 1' if is_sqlite else ''}",
        whole=terms.whole,
        # Else SQLite would ask the folder again for each of its files; without conditions, files can come at once.
        kept="MATERIALIZED" if terms.folders else "",
        folders=" AND ".join(terms.folders) or "1 = 1",
        found=found,
    )


def _entry(row: tuple[str, int, Any]) -> Entry:
    key, size, digest = row
    path = from_key(key)
    return Entry(
        kind="file", name=path.rpartition("/")[2], path=path, size=size, file_count=1, sha256=bytes(digest).hex()
    )
