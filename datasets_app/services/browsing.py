"""Look into datasets: list versions, list a directory in pages, find a path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from django.db.models import QuerySet

from datasets_app.errors import Conflict, Invalid, NotFound
from datasets_app.models import Dataset, Directory, File, Subdirectory, User, Version
from datasets_app.permissions import require
from datasets_app.services.damages import damaged_among
from datasets_app.services.paging import Page, take_page
from datasets_app.services.validation import invalid_field
from datasets_app.store.paths import normalise

PAGE_ROWS = 200
MOST_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing. `size` is in bytes; of a directory, like `file_count`, that of its whole subtree."""

    kind: Literal["directory", "file"]
    name: str
    path: str
    size: int
    file_count: int
    sha256: str
    # Its stored bytes, or those of something in it, are known to be damaged.
    damaged: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory; templates can't compare a Literal shortly."""
        return self.kind == "directory"

    @property
    def url_path(self) -> str:
        """The path as part of a URL."""
        return quote(self.path)


def list_versions(
    actor: User, *, dataset: Dataset, available: bool = False, cursor: str | None = None, limit: int = 50
) -> Page[Version]:
    """Return one page of a dataset's versions, the newest first; `available` keeps only the sealed ones."""
    require(actor, "version.view", dataset)
    rows = Version.objects.filter(dataset=dataset, deleted_at=None).select_related("root", "created_by", "base")
    if available:
        rows = rows.filter(status=Version.Status.AVAILABLE)
    page = take_page(rows, order=("-number",), cursor=cursor, limit=limit)
    for version in page.items:
        version.dataset = dataset
    return page


def find_directory(actor: User, *, version: Version, path: str = "") -> Directory:
    """Return the directory at `path` ("" is the root). NotFound when it is a file or not there."""
    found = find_node(actor, version=version, path=path)
    if isinstance(found, File):
        raise NotFound(f"{path} is a file in {version.label}, not a directory.")
    return found


def find_file(actor: User, *, version: Version, path: str) -> File:
    """Return the file at `path` with its blob and pack. NotFound when it is a directory or not there."""
    found = find_node(actor, version=version, path=path)
    if isinstance(found, Directory):
        raise NotFound(f"{path or 'The root'} is a directory in {version.label}, not a file.")
    return found


def find_node(actor: User, *, version: Version, path: str) -> Directory | File:
    """Return what is at `path`: one query for each directory on the way. NotFound when there is nothing."""
    require(actor, "version.view", version)
    directory = _root(version)
    parts = _parts(version, path)
    for depth, name in enumerate(parts, start=1):
        edge = Subdirectory.objects.filter(parent=directory, name=name).select_related("child").first()
        if edge is not None:
            directory = edge.child
            continue
        file = None
        if depth == len(parts):
            rows = File.objects.filter(directory=directory, name=name)
            file = rows.select_related("blob__pack").first()
        if file is None:
            raise NotFound(f"There is no {path} in {version.label}.")
        return file
    return directory


def list_directory(
    actor: User, *, version: Version, path: str = "", cursor: str | None = None, limit: int = PAGE_ROWS
) -> Page[Entry]:
    """Return one page of the directory at `path`: directories first, then files, each in byte order of their names.

    Every page costs the same, the last one too. `limit` is from 1 to 1000.
    """
    if not 1 <= limit <= MOST_ROWS:
        raise invalid_field("limit", f"A page has from 1 to {MOST_ROWS} rows.")
    directory = find_directory(actor, version=version, path=path)
    prefix = "".join(f"{part}/" for part in _parts(version, path))
    page = _list(directory, prefix, cursor, limit)
    damaged = damaged_among(version, prefix.rstrip("/"), [entry.path for entry in page.items])
    if not damaged:
        return page
    items = [replace(entry, damaged=True) if entry.path in damaged else entry for entry in page.items]
    return Page(items, page.next_cursor)


def _list(directory: Directory, prefix: str, cursor: str | None, limit: int) -> Page[Entry]:
    kind, _, inner = (cursor or "d").partition(".")
    if kind not in {"d", "f"}:
        raise invalid_field("cursor", "This cursor was not made by this list. Start again without it.")
    entries: list[Entry] = []
    if kind == "d":
        page = take_page(_subdirectories(directory), order=("name",), cursor=inner, limit=limit)
        entries = [_directory_entry(row, prefix) for row in page.items]
        if page.next_cursor is not None:
            return Page(entries, f"d.{page.next_cursor}")
        inner = ""
    files = _files(directory)
    if len(entries) == limit:
        return Page(entries, "f." if files.exists() else None)
    rest = take_page(files, order=("name",), cursor=inner, limit=limit - len(entries))
    entries += [_file_entry(row, prefix) for row in rest.items]
    return Page(entries, rest.next_cursor and f"f.{rest.next_cursor}")


def _root(version: Version) -> Directory:
    if version.root is None:
        raise Conflict(f"{version.label} is {version.status}: its files can be seen once it is sealed.")
    return version.root


def _parts(version: Version, path: str) -> list[str]:
    """Split a path as it came in a URL; one that no version may hold is not found either."""
    trimmed = path.strip("/")
    if not trimmed:
        return []
    try:
        return normalise(trimmed).split("/")
    except Invalid as error:
        raise NotFound(f"There is no such path in {version.label}: {error.detail}") from error


def _subdirectories(directory: Directory) -> QuerySet[Subdirectory]:
    return Subdirectory.objects.filter(parent=directory).select_related("child")


def _files(directory: Directory) -> QuerySet[File]:
    return File.objects.filter(directory=directory).select_related("blob")


def _directory_entry(row: Subdirectory, prefix: str) -> Entry:
    child = row.child
    return Entry("directory", row.name, prefix + row.name, child.size, child.file_count, child.hex)


def _file_entry(row: File, prefix: str) -> Entry:
    return Entry("file", row.name, prefix + row.name, row.blob.size, 1, row.blob.hex)
