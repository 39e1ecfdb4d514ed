"""What an open version will hold: its base, with what is staged, moved and removed laid over it.

Nothing here reads more of the base than the folders on the way to a path that is asked about. A folder that was moved
hangs elsewhere, as a layer of its own: below it, removals are removals from it. See `store.overlay`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from django.db import connection
from django.db.models import Q

from datasets_app.models import Blob, Directory, File, StagedFile, StagedMove, Subdirectory
from datasets_app.models.fields import below
from datasets_app.services.staged import find_staged
from datasets_app.store.paths import from_key, parents

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from datasets_app.models import Version

T = TypeVar("T")

LOOKUP = 500
_FILES = f"""
WITH wanted(directory, name) AS (VALUES {{}})
SELECT wanted.directory, wanted.name, b.id, b.size, b.sha256, NULL FROM wanted
JOIN {File._meta.db_table} f ON f.directory_id = wanted.directory AND f.name = wanted.name
JOIN {Blob._meta.db_table} b ON b.id = f.blob_id
"""  # noqa: S608 - only names of our own tables
_DIRECTORIES = f"""
WITH wanted(directory, name) AS (VALUES {{}})
SELECT wanted.directory, wanted.name, d.id, d.size, d.digest, d.file_count FROM wanted
JOIN {Subdirectory._meta.db_table} s ON s.parent_id = wanted.directory AND s.name = wanted.name
JOIN {Directory._meta.db_table} d ON d.id = s.child_id
"""  # noqa: S608
# More removals below one folder are not counted: it is taken to hold something still.
MOST_REMOVALS = 20_000


class Node(NamedTuple):
    """A file (`ref` is its blob's id) or a directory of a sealed tree. `size` in bytes."""

    ref: int
    size: int
    digest: bytes
    file_count: int | None

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return self.file_count is not None


class Layer(NamedTuple):
    """Which sealed directory lies at a path: `inner` is the path in it, `base_path` the one in the base version."""

    root: int | None
    # Where it hangs; empty for the base itself.
    place: str
    inner: str
    base_path: str


class Found(NamedTuple):
    """What will be at a path. `staged` is a new or moved file, `node` what comes from the base; a folder may be new."""

    is_directory: bool
    staged: StagedFile | None = None
    node: Node | None = None


class PendingTree:
    """The pending state of one open version, as it was when this was made; `services.moving` keeps it true."""

    def __init__(self, version: Version) -> None:
        """Load the moves, of which a version has not many."""
        self.version = version
        self.root = version.base.root_id if version.base is not None else None
        self.folders: dict[str, StagedMove] = {}
        # Of single files, and only as long as the file is still the one that was moved.
        self.files: dict[str, StagedMove] = {}
        loose: dict[str, StagedMove] = {}
        for row in version.moves.select_related("directory"):
            (loose if row.directory_id is None else self.folders)[row.path] = row
        if loose:
            self.files = self._still_moved(loose)

    def _still_moved(self, rows: dict[str, StagedMove]) -> dict[str, StagedMove]:
        """Leave out what was replaced since by another file of the same path."""
        staged = {from_key(key): blob for key, blob in _staged(self.version, rows, ("path", "blob_id"))}
        origins = find_nodes(self.root, [row.origin for row in rows.values()])
        return {
            path: row
            for path, row in rows.items()
            if (node := origins.get(row.origin)) is not None and staged.get(path) == node.ref
        }

    def layer(self, path: str, *, above: bool = False) -> Layer:
        """Return the sealed directory that lies at `path`; with `above`, that which a folder moved there hides."""
        places = [*reversed(parents(path))] if above else [path, *reversed(parents(path))]
        for place in places:
            moved = self.folders.get(place)
            if moved is not None:
                rest = path[len(place) :]
                return Layer(moved.directory_id, place, rest.removeprefix("/"), moved.origin + rest)
        return Layer(self.root, "", path, path)

    def home_of(self, origin: str) -> tuple[str, str]:
        """Return the layer and the path where a path of the base lies, or would if it had not been moved itself."""
        places = {row.origin: row.path for row in self.folders.values()}
        for folder in reversed(parents(origin)):
            if folder in places:
                return places[folder], places[folder] + origin[len(folder) :]
        return "", origin

    def place_of(self, origin: str) -> str:
        """Return the path alone."""
        return self.home_of(origin)[1]

    def departures(self) -> dict[tuple[str, str], str]:
        """Return every place, by its layer, that something was moved away from, and where it is now."""
        return {self.home_of(row.origin): row.path for row in (*self.folders.values(), *self.files.values())}

    def has_left(self, path: str, departures: Container[tuple[str, str]]) -> bool:
        """Tell whether what the base has at a path was moved away, by itself or with a folder above it."""
        place = self.layer(path, above=True).place
        return any((place, one) in departures for one in (path, *parents(path)) if len(one) > len(place))

    def nodes(self, paths: Iterable[str], *, above: bool = False) -> dict[str, Node]:
        """Return what the sealed directories have at the paths, removed or not."""
        by_root: dict[int, dict[str, str]] = {}
        for path in paths:
            layer = self.layer(path, above=above)
            if layer.root is not None:
                by_root.setdefault(layer.root, {})[path] = layer.inner
        found: dict[str, Node] = {}
        for root, wanted in by_root.items():
            there = find_nodes(root, set(wanted.values()))
            found.update({path: there[inner] for path, inner in wanted.items() if inner in there})
        return found

    def hidden(self, paths: Iterable[str], *, by_parents: bool = False, above: bool = False) -> set[str]:
        """Return those of the paths that a removal takes out of their layer; `by_parents`: one of a folder above.

        Those of folders end in "/". What hangs at a path is not what was removed there; with `above`, that is asked
        about which it hides.
        """
        rows: dict[str, list[str]] = {}
        for path in paths:
            bare = path.removesuffix("/")
            place = self.layer(bare, above=above).place
            if bare == place and place:
                continue
            own = [] if by_parents else [path]
            rows[path] = [*own, *(f"{folder}/" for folder in parents(bare) if len(folder) > len(place))]
        there = self.removals({row for wanted in rows.values() for row in wanted})
        return {path for path, wanted in rows.items() if not there.isdisjoint(wanted)}

    def removals(self, paths: Iterable[str]) -> set[str]:
        """Return those of the paths (of folders with a slash at the end) that have a row of removal."""
        found: set[str] = set()
        for some in _slices(sorted(paths)):
            found.update(self.version.removals.filter(path__in=some).values_list("path", flat=True))
        return found

    def find(self, path: str) -> Found | None:
        """Return what will be at the path; None where there is nothing."""
        staged = self.version.staged.filter(path=path).select_related("upload").first()
        if staged is not None:
            return Found(is_directory=False, staged=staged)
        node = self.nodes([path]).get(path)
        if node is not None and self.hidden([f"{path}/" if node.is_directory else path]):
            node = None
        if node is not None and not node.is_directory:
            return Found(is_directory=False, node=node)
        if self.has_new(path) or (node is not None and not self._is_emptied(path, node)):
            return Found(is_directory=True, node=node)
        return None

    def has_new(self, path: str) -> bool:
        """Tell whether something new lies below a folder, or is the folder itself."""
        inside = f"{path}/"
        if path in self.folders or any(place.startswith(inside) for place in self.folders):
            return True
        return self.version.staged.filter(below(path)).exists()

    def _is_emptied(self, path: str, node: Node) -> bool:
        """Tell whether all that the folder had was removed, piece by piece."""
        place = self.layer(path).place
        rows = self.version.removals.filter(below(path)).values_list("path", flat=True)
        removed = [row.removesuffix("/") for row in rows[:MOST_REMOVALS]]
        if not removed:
            return False
        mine = [one for one in removed if self.layer(one, above=True).place == place]
        gone = sum(found.file_count or 1 for found in self.nodes(mine, above=True).values())
        return gone >= (node.file_count or 0)


def find_nodes(root: int | None, paths: Iterable[str]) -> dict[str, Node]:
    """Find files and directories below a directory by their paths ("" is itself); the rest is left out.

    Some queries for each level of folders, however many folders there are.
    """
    wanted = set(paths)
    if root is None or not wanted:
        return {}
    found: dict[str, Node] = {}
    if "" in wanted:
        here = Directory.objects.get(pk=root)
        found[""] = Node(here.pk, here.size, bytes(here.digest), here.file_count)
        wanted.discard("")
    levels: dict[int, set[str]] = {}
    for path in wanted:
        for depth, folder in enumerate(parents(path)):
            levels.setdefault(depth, set()).add(folder)
    directories: dict[str, int] = {"": root}
    for _, level in sorted(levels.items()):
        directories.update((folder, node.ref) for folder, node in _look_up(_DIRECTORIES, level, directories))
    found.update(_look_up(_FILES, wanted, directories))
    found.update(_look_up(_DIRECTORIES, wanted, directories))
    return found


def _look_up(statement: str, paths: Iterable[str], directories: dict[str, int]) -> Iterator[tuple[str, Node]]:
    """Find entries of known directories."""
    places: dict[tuple[int, str], list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder in directories:
            # Directories of the same content are one row: several paths may lead to it.
            places.setdefault((directories[folder], name), []).append(path)
    with connection.cursor() as cursor:
        for some in _slices(list(places)):
            rows = ", ".join(["(CAST(%s AS bigint), %s)"] * len(some))
            cursor.execute(statement.format(rows), [value for place in some for value in place])
            for directory, name, ref, size, digest, count in cursor.fetchall():
                for path in places[directory, name]:
                    yield path, Node(ref, size, bytes(digest), count)


def _staged(version: Version, paths: Iterable[str], columns: tuple[str, ...]) -> Iterator[tuple[str, int | None]]:
    for some in _slices(sorted(paths)):
        yield from find_staged(version.pk, some, columns)


def at_or_below(path: str) -> Q:
    """Select a path and what lies below it."""
    return Q(path=path) | below(path)


def _slices(items: list[T]) -> Iterator[list[T]]:
    return (items[start : start + LOOKUP] for start in range(0, len(items), LOOKUP))
