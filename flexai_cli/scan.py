"""Walk what is to be pushed, in the order in which a dataset's tree is built; memory grows with one folder's names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from flexai_cli.digest import Root, Twice
from flexai_cli.errors import FlexaiError
from flexai_cli.paths import IllegalPath, check_length, normalise_name
from flexai_cli.patterns import Patterns
from flexai_cli.sources import Node

CHUNK_FILES = 1000
# Where `pull` keeps what is half fetched; never part of a dataset.
PULL_FOLDER = ".flexai-pull"


# Device and inode of folders.
Places = frozenset[tuple[int, int]]
NOWHERE: Places = frozenset()


class Stat(NamedTuple):
    """What changes when a file does: size in bytes, times in nanoseconds, inode."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stat:
        """Keep the part that matters."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(slots=True, eq=False)
class Chunk:
    """Up to 1000 files next to each other in one folder, by name. `digests` (32 bytes each) are None until known.

    `folder` is where they are on this machine, `prefix` ("" or "a/b/") where in the dataset; `names` are theirs there,
    `own_names` those on disk. `is_all` says that the folder has nothing else, `root` its digest where it is known.
    """

    folder: str
    prefix: str
    names: list[str]
    own_names: list[str]
    stats: list[Stat]
    digests: list[bytes | None]
    is_all: bool = False
    root: Root | None = None

    def path(self, index: int) -> str:
        """Return a file's path in the dataset."""
        return self.prefix + self.names[index]

    def source(self, index: int) -> str:
        """Return a file's path on this machine."""
        return f"{self.folder}/{self.own_names[index]}"


class Report(Protocol):
    """Is told what can't be taken: its path on this machine, why, and its path in the dataset if that was declared."""

    def __call__(self, source: str, reason: str, path: str = "") -> None:
        """Take note."""


def scan(tree: Node, *, exclude: Patterns, report: Report) -> Iterator[Chunk]:
    """Every file, in chunks. What can't be read or named is reported, and left out."""
    return _Walk(exclude, report).walk(tree, "", {})


class _Origin(NamedTuple):
    """Where a name in a folder of the dataset comes from: a folder and a name on disk, or a node of mappings."""

    folder: str
    own_name: str
    child: Node | None = None

    @property
    def source(self) -> str:
        """The path on this machine."""
        return f"{self.folder}/{self.own_name}"


class _Listing:
    """The names of one folder of the dataset, in order. Most come from one folder on disk, and need no object each."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._plain: list[str] = []
        self._others: dict[str, list[_Origin]] = {}
        self._plain_set: frozenset[str] = frozenset()

    def add(self, name: str, origin: _Origin) -> None:
        if origin.folder == self._folder and origin.own_name == name and origin.child is None:
            self._plain.append(name)
        else:
            self._others.setdefault(name, []).append(origin)

    def names(self) -> list[str]:
        if not self._others:
            self._plain.sort()
            return self._plain
        self._plain_set = frozenset(self._plain)
        return sorted(self._plain_set | self._others.keys())

    def origins(self, name: str) -> list[_Origin]:
        others = self._others.get(name)
        if others is None:
            return [_Origin(self._folder, name)]
        return [*others, _Origin(self._folder, name)] if name in self._plain_set else others


class _Walk:
    def __init__(self, exclude: Patterns, report: Report) -> None:
        self._exclude = exclude
        self._report = report

    def walk(self, node: Node, prefix: str, inner: dict[str, Places]) -> Iterator[Chunk]:
        """One folder of the dataset: what the node names, and `inner`, the folders that were come upon on disk.

        Each of these has the places of those above it, by which circles are noticed. What a mapping names begins anew.
        """
        opened = self._open(dict.fromkeys(node.folders, NOWHERE) | inner)
        listing = self._list(node, list(opened), prefix)
        chunk: Chunk | None = None
        is_only = True
        for name in listing.names():
            origins = listing.origins(name)
            first = origins[0]
            found = None if first.child else self._look(first, prefix + name)
            if first.child is None and found is None and len(origins) == 1:
                continue
            if len(origins) > 1 or found is None or stat.S_ISDIR(found.st_mode):
                if chunk is not None:
                    yield chunk
                chunk, is_only = None, False
                if not self._exclude.leaves_out(f"{prefix}{name}/"):
                    yield from self.walk(*self._join(origins, prefix + name, opened))
            elif not stat.S_ISREG(found.st_mode):
                self._report(first.source, "This is no file, but a pipe, a socket or a device.")
            else:
                if chunk is not None and (len(chunk.names) == CHUNK_FILES or chunk.folder != first.folder):
                    yield chunk
                    chunk, is_only = None, False
                chunk = chunk or Chunk(first.folder, prefix, [], [], [], [])
                chunk.names.append(name)
                chunk.own_names.append(first.own_name)
                chunk.stats.append(Stat.of(found))
                chunk.digests.append(None)
        if chunk is not None:
            chunk.is_all = is_only
            yield chunk

    def _look(self, origin: _Origin, path: str) -> os.stat_result | None:
        """Look up what is at a path of the dataset; None for what is left out."""
        if self._exclude.leaves_out(path):
            return None
        try:
            check_length(path)
            return os.stat(origin.source)  # noqa: PTH116 - once for each of a million files
        except IllegalPath as error:
            self._report(origin.source, error.reason)
        except OSError as error:
            is_link = os.path.islink(origin.source)  # noqa: PTH114
            self._report(origin.source, f"{'The symbolic link leads nowhere' if is_link else reason_of(error)}.")
        return None

    def _join(
        self, origins: list[_Origin], path: str, opened: dict[str, Places]
    ) -> tuple[Node, str, dict[str, Places]]:
        """Join what comes together under one name, which must be folders; return what to walk."""
        joined = Node()
        inner: dict[str, Places] = {}
        for origin in origins:
            if origin.child is not None:
                joined.folders += origin.child.folders
                joined.files |= origin.child.files
                joined.children |= origin.child.children
                continue
            found = self._look(origin, path)
            if found is not None and not stat.S_ISDIR(found.st_mode):
                raise Twice(path)
            if found is not None:
                inner[origin.source] = opened[origin.folder]
        return joined, f"{path}/", inner

    def _open(self, folders: dict[str, Places]) -> dict[str, Places]:
        """Leave out folders that are above themselves, as symbolic links can make them; add each one's own place."""
        opened = {}
        for folder, above in folders.items():
            try:
                found = os.stat(folder)  # noqa: PTH116
            except OSError as error:
                self._report(folder, f"{reason_of(error)}.")
                continue
            place = (found.st_dev, found.st_ino)
            if place in above:
                self._report(folder, "The symbolic link leads back to a folder above it.")
            else:
                opened[folder] = above | {place}
        return opened

    def _list(self, node: Node, folders: list[str], prefix: str) -> _Listing:
        """All names of one folder of the dataset; those that no dataset may hold are reported."""
        listing = _Listing(folders[0] if folders else "")
        for name, source in node.files.items():
            listing.add(name, _Origin(*os.path.split(source)))
        for name, child in node.children.items():
            listing.add(name, _Origin("", "", child))
        for folder in folders:
            try:
                own_names = os.listdir(folder)  # noqa: PTH208 - names alone, of which there may be a million
            except OSError as error:
                self._report(folder, f"{reason_of(error)}.")
                continue
            for own_name in own_names:
                if own_name == PULL_FOLDER:
                    continue
                try:
                    listing.add(normalise_name(own_name), _Origin(folder, own_name))
                except IllegalPath as error:
                    shown = own_name.encode("utf-8", "backslashreplace").decode()
                    if not self._exclude.leaves_out(prefix + shown):
                        self._report(f"{folder}/{shown}", error.reason)
        return listing


def reason_of(error: OSError) -> str:
    """Say what the system refused, without the path, which is named beside it."""
    return error.strerror or type(error).__name__


def count_files(tree: Node, exclude: Patterns) -> tuple[int, int]:
    """Count files and bytes; nothing is reported, since the walk that follows does that."""
    files = size = 0
    try:
        for chunk in scan(tree, exclude=exclude, report=lambda source, reason, path="": None):  # noqa: ARG005
            files += len(chunk.names)
            size += sum(about.size for about in chunk.stats)
    except FlexaiError:
        pass
    return files, size
