"""What an open version changes in its base, told before it is sealed: as a list of changes, and folder by folder.

Read from what is staged, moved and removed; of the base only the names that those concern are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import quote

from django.core import signing
from django.db import connection
from django.db.models import Sum

from datasets_app.errors import Conflict, NotFound
from datasets_app.models import File, StagedFile, Subdirectory, User, Version
from datasets_app.models.fields import below
from datasets_app.permissions import require
from datasets_app.services.pending import PendingTree
from datasets_app.services.validation import invalid_field
from datasets_app.store.paths import from_key, normalise, to_key

if TYPE_CHECKING:
    from datasets_app.services.pending import Node

Kind = Literal["added", "replaced", "renamed", "moved", "removed"]
KINDS: Final[tuple[Kind, ...]] = ("added", "replaced", "renamed", "moved", "removed")
# So many pending rows are told apart and counted; of more, only what is on the page is.
MOST_COUNTED: Final = 10_000
MOST_ROWS: Final = 1000
BATCH: Final = 500
SALT: Final = "pending"


@dataclass(frozen=True, slots=True)
class PendingChange:
    """One path that the new version has otherwise than its base. Sizes in bytes; `old_path` is where it was before.

    `file_count` is 1 for a file. `old_size` is of what is replaced. `state` tells of a new file whether its bytes are
    here: stored, partial, needed or failed.
    """

    kind: Kind
    type: Literal["directory", "file"]
    path: str
    file_count: int
    size: int
    old_path: str | None = None
    old_size: int | None = None
    state: str = "stored"

    @property
    def is_directory(self) -> bool:
        """Whether this stands for a whole folder."""
        return self.type == "directory"

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return self.path.rpartition("/")[2]

    @property
    def folder(self) -> str:
        """The folder that holds it; empty for the top."""
        return self.path.rpartition("/")[0]

    @property
    def undo_path(self) -> str:
        """The path as `undo_changes` takes it."""
        return f"{self.path}/" if self.is_directory else self.path


@dataclass(frozen=True, slots=True)
class PendingTally:
    """Files of one kind of change, and their bytes."""

    files: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class PendingChanges:
    """A page of changes in tree order. `tallies` counts all by kind, None when they are too many to be told apart.

    `file_count` and `size` (bytes) are what the version will hold; None when that is not counted.
    """

    changes: list[PendingChange]
    next_cursor: str | None
    tallies: dict[Kind, PendingTally] | None
    file_count: int | None
    size: int | None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is changed yet."""
        return self.tallies is not None and not any(tally.files for tally in self.tallies.values())


@dataclass(frozen=True, slots=True)
class PendingEntry:
    """A line of a folder as it will be. `mark` is a kind of change, "changed" for a folder with changes inside, or "".

    `file_count` and `size` of a folder are those of the base, without what `added_count` counts: files staged in it.
    """

    type: Literal["directory", "file"]
    name: str
    path: str
    file_count: int
    size: int
    mark: str = ""
    # Where it came from, or where it went.
    old_path: str = ""
    moved_to: str = ""
    added_count: int = 0

    @property
    def is_directory(self) -> bool:
        """Whether this is a folder."""
        return self.type == "directory"

    @property
    def is_gone(self) -> bool:
        """Whether the new version will not have it here."""
        return self.mark == "removed" or bool(self.moved_to)

    @property
    def full_path(self) -> str:
        """The path, with a slash at the end of a folder's."""
        return f"{self.path}/" if self.is_directory else self.path

    @property
    def url_path(self) -> str:
        """The path as part of a query."""
        return quote(self.path)


@dataclass(frozen=True, slots=True)
class PendingFolder:
    """One page of a folder."""

    entries: list[PendingEntry]
    next_cursor: str | None


class _Row(NamedTuple):
    """A pending row in the order of its key."""

    key: str
    path: str
    kind: Literal["staged", "folder", "removal"]
    staged: StagedFile | None = None


def list_changes(
    actor: User, *, version: Version, kind: str = "", cursor: str | None = None, limit: int = 200
) -> PendingChanges:
    """Return a page of what the open version changes in its base; `kind` keeps one of KINDS. `limit` is 1 to 1000.

    Raises Conflict for a sealed version: two of those are compared.
    """
    require(actor, "version.view", version)
    if not 1 <= limit <= MOST_ROWS:
        raise invalid_field("limit", f"A page has from 1 to {MOST_ROWS} rows.")
    if kind and kind not in KINDS:
        raise invalid_field("kind", f"A kind is one of {', '.join(KINDS)}.")
    _refuse_sealed(version)
    reader = _Reader(version)
    after = _decode(cursor) if cursor else ""
    counts = _count(version, reader)
    found = ((row, change) for row, change in reader.changes(after) if not kind or change.kind == kind)
    page = list(islice(found, limit + 1))
    following = signing.dumps(page[limit - 1][0].key, salt=SALT) if len(page) > limit else None
    return PendingChanges([change for _, change in page[:limit]], following, *counts)


def count_pending(version: Version) -> int:
    """Count the rows that say what the version changes: 0 if it would be the same as its base."""
    return version.staged.count() + version.removals.count() + version.moves.exclude(directory=None).count()


def list_pending_folder(
    actor: User, *, version: Version, path: str = "", cursor: str | None = None, limit: int = 100
) -> PendingFolder:
    """Return one page of a folder as it will be, folders first: also what is removed from it, marked as such.

    Raises NotFound where there will be no folder.
    """
    require(actor, "version.view", version)
    if not 1 <= limit <= MOST_ROWS:
        raise invalid_field("limit", f"A page has from 1 to {MOST_ROWS} rows.")
    _refuse_sealed(version)
    folder = normalise(path.strip("/")) if path.strip("/") else ""
    lister = _Lister(version, folder)
    kind, _, after = _decode(cursor).partition(".") if cursor else ("d", "", "")
    entries: list[PendingEntry] = []
    if kind == "d":
        entries = lister.folders(after, limit + 1)
        if len(entries) > limit:
            return PendingFolder(entries[:limit], signing.dumps(f"d.{entries[limit - 1].name}", salt=SALT))
        after = ""
    room = limit - len(entries)
    files = lister.files(after, room + 1)
    if len(files) > room:
        last = files[room - 1].name if room else ""
        return PendingFolder(entries + files[:room], signing.dumps(f"f.{last}", salt=SALT))
    return PendingFolder(entries + files, None)


def _refuse_sealed(version: Version) -> None:
    if version.root_id is not None or not (version.is_open or version.status == Version.Status.PENDING):
        raise Conflict(f"{version.label} is sealed: nothing is pending. Compare it with another version instead.")


def _decode(cursor: str) -> str:
    try:
        return str(signing.loads(cursor, salt=SALT))
    except (signing.BadSignature, ValueError) as error:
        raise invalid_field("cursor", "This cursor was not made by this list. Start again without it.") from error


def _count(version: Version, reader: _Reader) -> tuple[dict[Kind, PendingTally] | None, int | None, int | None]:
    root = version.base.root if version.base is not None else None
    if count_pending(version) > MOST_COUNTED:
        return None, None, None
    tallies: dict[Kind, PendingTally] = dict.fromkeys(KINDS, PendingTally())
    file_count, size = (root.file_count, root.size) if root is not None else (0, 0)
    for _, change in reader.changes(""):
        before = tallies[change.kind]
        tallies[change.kind] = PendingTally(before.files + change.file_count, before.size + change.size)
        if change.kind == "added":
            file_count, size = file_count + 1, size + change.size
        elif change.kind == "replaced":
            size += change.size - (change.old_size or 0)
        elif change.kind == "removed":
            file_count, size = file_count - change.file_count, size - change.size
    return tallies, file_count, size


class _Reader:
    """Reads pending rows, and tells what each means for the base."""

    def __init__(self, version: Version) -> None:
        self.version = version
        self.tree = PendingTree(version)
        self.departures = self.tree.departures()

    def changes(self, after: str) -> Iterator[tuple[_Row, PendingChange]]:
        """Every change after a key, in the order of keys."""
        rows = merge(self._staged(after), self._folders(after), self._removals(after), key=lambda row: row.key)
        while batch := list(islice(rows, BATCH)):
            yield from self._classify(batch)

    def _staged(self, after: str) -> Iterator[_Row]:
        last = from_key(after)
        rows = self.version.staged.order_by("path").select_related("upload")
        while page := list(rows.filter(path__gt=last)[:BATCH]):
            for row in page:
                yield _Row(to_key(row.path), row.path, "staged", row)
            last = page[-1].path

    def _folders(self, after: str) -> Iterator[_Row]:
        found = [_Row(to_key(path), path, "folder") for path in self.tree.folders]
        return iter(sorted(row for row in found if row.key > after))

    def _removals(self, after: str) -> Iterator[_Row]:
        last = from_key(after)
        rows = self.version.removals.order_by("path").values_list("path", flat=True)
        while page := list(rows.filter(path__gt=last)[:BATCH]):
            for path in page:
                yield _Row(to_key(path), path, "removal")
            last = page[-1]

    def _classify(self, batch: list[_Row]) -> Iterator[tuple[_Row, PendingChange]]:
        tree = self.tree
        removed = [row.path.removesuffix("/") for row in batch if row.kind == "removal"]
        staged = [row.path for row in batch if row.kind == "staged"]
        nodes = tree.nodes(staged) | tree.nodes(removed, above=True)
        replaced = set(self.version.staged.filter(path__in=removed).values_list("path", flat=True)) - set(tree.files)
        hidden = tree.hidden(removed, by_parents=True, above=True)
        for row in batch:
            change: PendingChange | None = None
            if row.staged is not None:
                change = self._of_staged(row.staged, nodes.get(row.path))
            elif row.kind == "folder":
                moved = tree.folders[row.path]
                found = moved.directory
                if found is not None and moved.origin != row.path:
                    kind = _moved_kind(moved.origin, row.path)
                    change = PendingChange(
                        kind, "directory", row.path, found.file_count, found.size, old_path=moved.origin
                    )
            else:
                path = row.path.removesuffix("/")
                node = nodes.get(path)
                is_folder = row.path.endswith("/")
                if node is None or node.is_directory != is_folder or path in hidden or self._departed(path):
                    continue
                if is_folder:
                    change = self._of_removed_folder(path, node)
                elif path not in replaced:
                    change = PendingChange("removed", "file", path, 1, node.size)
            if change is not None:
                yield row, change

    def _departed(self, path: str) -> str:
        """Tell where to the base's file or folder was moved; nothing if it was not."""
        return self.departures.get((self.tree.layer(path, above=True).place, path), "")

    def _of_staged(self, row: StagedFile, node: Node | None) -> PendingChange | None:
        if row.path.endswith("/"):
            return PendingChange("added", "directory", row.path.removesuffix("/"), 0, 0, state=row.state)
        moved = self.tree.files.get(row.path)
        if moved is not None:
            if moved.origin == row.path:
                return None
            kind = _moved_kind(moved.origin, row.path)
            return PendingChange(kind, "file", row.path, 1, row.size, old_path=moved.origin)
        if node is not None and not node.is_directory and not self.tree.has_left(row.path, self.departures):
            return PendingChange("replaced", "file", row.path, 1, row.size, old_size=node.size, state=row.state)
        return PendingChange("added", "file", row.path, 1, row.size, state=row.state)

    def _of_removed_folder(self, path: str, node: Node) -> PendingChange | None:
        """Count what of a removed folder goes: not what was moved out of it, nor what has a new file in its place."""
        files, size = node.file_count or 0, node.size
        inside = f"{path}/"
        mine = self.tree.layer(path, above=True).place
        for row in (*self.tree.folders.values(), *self.tree.files.values()):
            layer, place = self.tree.home_of(row.origin)
            if layer != mine or not place.startswith(inside):
                continue
            moved = row.directory
            if moved is not None:
                files, size = files - moved.file_count, size - moved.size
            else:
                files -= 1
                size -= self.version.staged.filter(path=row.path).aggregate(size=Sum("size", default=0))["size"]
        new = list(self.version.staged.filter(below(path)).values_list("path", flat=True)[:MOST_COUNTED])
        own = [one for one in new if one not in self.tree.files and self.tree.layer(one, above=True).place == mine]
        for place, old in self.tree.nodes(own).items():
            if not old.is_directory and not self.tree.has_left(place, self.departures):
                files, size = files - 1, size - old.size
        return PendingChange("removed", "directory", path, files, size) if files else None


def _moved_kind(origin: str, path: str) -> Kind:
    """Tell a rename, which leaves a thing in its folder, from a move."""
    return "renamed" if origin.rpartition("/")[0] == path.rpartition("/")[0] else "moved"


class _Lister:
    """Lists one folder: what its layer has and what is new, merged by name."""

    def __init__(self, version: Version, folder: str) -> None:
        self.version = version
        self.folder = folder
        self.tree = PendingTree(version)
        self.departures = self.tree.departures()
        self.prefix = f"{folder}/" if folder else ""
        node = self.tree.nodes([folder]).get(folder)
        if node is not None and not node.is_directory:
            node = None
        self.directory = node.ref if node is not None else None
        if folder and node is None and not self.tree.has_new(folder):
            raise NotFound(f"There is no folder {folder} in {version.label}.")

    def folders(self, after: str, limit: int) -> list[PendingEntry]:
        """Subfolders by name."""
        found: dict[str, PendingEntry] = {}
        if self.directory is not None:
            rows = Subdirectory.objects.filter(parent=self.directory, name__gt=after).order_by("name")
            for name, files, size in rows.values_list("name", "child__file_count", "child__size")[:limit]:
                found[name] = PendingEntry("directory", name, self.prefix + name, files, size)
        staged = {name: (files, size) for name, files, size in self._new_folders(after, limit)}
        hanging = {
            name: row for path, row in self.tree.folders.items() if (name := self._direct(path)) and name > after
        }
        names = sorted({*found, *staged, *hanging, *self._on_the_way(after)})[:limit]
        paths = [self.prefix + name for name in names]
        gone = self.tree.hidden([f"{path}/" for path in paths if path not in self.tree.folders])
        return [
            self._folder_entry(
                name, found.get(name), staged.get(name, (0, 0))[0], is_gone=f"{self.prefix}{name}/" in gone
            )
            for name in names
        ]

    def _folder_entry(self, name: str, base: PendingEntry | None, added: int, *, is_gone: bool) -> PendingEntry:
        path = self.prefix + name
        moved = self.tree.folders.get(path)
        inside = f"{path}/"
        has_changes = bool(added) or any(place.startswith(inside) for place in self.tree.folders)
        if moved is not None and moved.directory is not None:
            mark: str = _moved_kind(moved.origin, path) if moved.origin != path else "changed"
            files, size = moved.directory.file_count, moved.directory.size
            return PendingEntry("directory", name, path, files, size, mark, old_path=moved.origin, added_count=added)
        if base is None:
            return PendingEntry("directory", name, path, 0, 0, "added", added_count=added)
        if is_gone and not has_changes:
            to = self._departed(path)
            return PendingEntry(
                "directory", name, path, base.file_count, base.size, "" if to else "removed", moved_to=to
            )
        has_changes = has_changes or is_gone or self.version.removals.filter(below(path)).exists()
        mark = "changed" if has_changes else ""
        return PendingEntry("directory", name, path, base.file_count, base.size, mark, added_count=added)

    def files(self, after: str, limit: int) -> list[PendingEntry]:
        """Files by name."""
        found: dict[str, int] = {}
        if self.directory is not None:
            rows = File.objects.filter(directory=self.directory, name__gt=after).order_by("name")
            found = dict(rows.values_list("name", "blob__size")[:limit])
        staged = dict(self._new_files(after, limit))
        names = sorted({*found, *staged})[:limit]
        gone = self.tree.hidden([self.prefix + name for name in names if name not in staged], above=True)
        return [
            self._file_entry(name, found.get(name), staged.get(name), is_gone=self.prefix + name in gone)
            for name in names
        ]

    def _file_entry(self, name: str, base: int | None, staged: int | None, *, is_gone: bool) -> PendingEntry:
        path = self.prefix + name
        if staged is not None:
            moved = self.tree.files.get(path)
            if moved is not None:
                mark: str = _moved_kind(moved.origin, path) if moved.origin != path else ""
                return PendingEntry("file", name, path, 1, staged, mark, old_path=moved.origin)
            mark = "added" if base is None or self.tree.has_left(path, self.departures) else "replaced"
            return PendingEntry("file", name, path, 1, staged, mark)
        to = self._departed(path) if is_gone else ""
        mark = "removed" if is_gone and not to else ""
        return PendingEntry("file", name, path, 1, base or 0, mark, moved_to=to)

    def _departed(self, path: str) -> str:
        return self.departures.get((self.tree.layer(path, above=True).place, path), "")

    def _direct(self, path: str) -> str:
        """Return the name of a path that lies directly in this folder, else nothing."""
        rest = path[len(self.prefix) :] if path.startswith(self.prefix) else ""
        return "" if "/" in rest else rest

    def _on_the_way(self, after: str) -> Iterator[str]:
        """Folders that only exist because a moved one hangs below them."""
        for path in self.tree.folders:
            if path.startswith(self.prefix):
                name, slash, _ = path[len(self.prefix) :].partition("/")
                if slash and name > after:
                    yield name

    def _new_folders(self, after: str, limit: int) -> list[tuple[str, int, int]]:
        """Names of folders with staged files, how many each has and their bytes: one pass over the rows below."""
        find = "strpos" if connection.vendor == "postgresql" else "instr"
        start = len(self.prefix) + 1
        name = f"substr(path, {start}, {find}(substr(path, {start}), %s) - 1)"
        statement = (
            f"SELECT {name} AS name, count(*), sum(size) FROM {StagedFile._meta.db_table} "  # noqa: S608 - our own names
            f"WHERE version_id = %s AND {find}(substr(path, {start}), %s) > 0 AND path > %s {self._range()} "
            "GROUP BY 1 ORDER BY 1 LIMIT %s"
        )
        with connection.cursor() as cursor:
            first = to_key(self.prefix) + (f"{after}\x02" if after else "")
            cursor.execute(statement, ["\x01", self.version.pk, "\x01", first, *self._end(), limit])
            return [(row[0], row[1], int(row[2])) for row in cursor.fetchall()]

    def _new_files(self, after: str, limit: int) -> list[tuple[str, int]]:
        find = "strpos" if connection.vendor == "postgresql" else "instr"
        start = len(self.prefix) + 1
        statement = (
            f"SELECT substr(path, {start}), size FROM {StagedFile._meta.db_table} "  # noqa: S608 - our own names
            f"WHERE version_id = %s AND {find}(substr(path, {start}), %s) = 0 AND path > %s {self._range()} "
            "ORDER BY path LIMIT %s"
        )
        with connection.cursor() as cursor:
            cursor.execute(statement, [self.version.pk, "\x01", to_key(self.prefix) + after, *self._end(), limit])
            return list(cursor.fetchall())

    def _range(self) -> str:
        return "AND path < %s" if self.folder else ""

    def _end(self) -> list[str]:
        return [f"{to_key(self.folder)}\x02"] if self.folder else []
