"""Walk what is to be pushed, in the order in which a dataset's tree is built; memory grows with one folder's names."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from flexai_cli.chunks import PULL_FOLDER, Chunk, Report, Stat, look_at_files, reason_of
from flexai_cli.digest import Twice
from flexai_cli.errors import FlexaiError
from flexai_cli.paths import IllegalPath, are_plain, check_length, is_short, normalise_name
from flexai_cli.patterns import Patterns
from flexai_cli.sources import Node

CHUNK_FILES = 1000
NO_FILE = "This is no file, but a pipe, a socket or a device."
# Device and inode of folders.
Places = frozenset[tuple[int, int]]
NOWHERE: Places = frozenset()


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
        if names := self._plain_names(node, opened, prefix):
            yield from self._walk_plain(opened, prefix, names)
            return
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
                self._report(first.source, NO_FILE)
            else:
                if chunk is not None and (len(chunk.names) == CHUNK_FILES or chunk.folder != first.folder):
                    yield chunk
                    chunk, is_only = None, False
                chunk = chunk or Chunk(first.folder, prefix, [], [], [], [])
                chunk.names.append(name)
                chunk.own_names.append(first.own_name)
                chunk.looks.append(Stat.of(found))
                chunk.digests.append(None)
        if chunk is not None:
            chunk.is_all = is_only
            yield chunk

    def _plain_names(self, node: Node, opened: Mapping[str, Places], prefix: str) -> list[str]:
        """Return names in order where they come from one folder on disk, and can be taken as they are; else none."""
        if len(opened) != 1 or node.files or node.children or not is_short(prefix):
            return []
        try:
            names = os.listdir(*opened)  # noqa: PTH208 - names alone, of which there may be a million
        except OSError:
            return []
        if not names or PULL_FOLDER in names or not are_plain(names):
            return []
        if not self._exclude.takes_all:
            names = [name for name in names if not self._exclude.leaves_out(prefix + name)]
        names.sort()
        return names

    def _walk_plain(self, opened: dict[str, Places], prefix: str, names: list[str]) -> Iterator[Chunk]:
        """As `walk`, for one folder on disk with such names: nearly all are, so by as few calls as there can be."""
        (folder,) = opened
        for start in range(0, len(names), CHUNK_FILES):
            part = names[start : start + CHUNK_FILES]
            looks = look_at_files(folder, part)
            if looks is not None:
                yield Chunk(folder, prefix, part, part, looks, [None] * len(part), is_all=len(part) == len(names))
            else:
                yield from self._walk_mixed(opened, prefix, part)

    def _walk_mixed(self, opened: dict[str, Places], prefix: str, names: list[str]) -> Iterator[Chunk]:
        """Look at each when it is its turn: what is in a folder before it may take hours, and it change meanwhile."""
        (folder,) = opened
        files: dict[str, Stat] = {}
        for name in names:
            origin = _Origin(folder, name)
            found = self._look(origin, prefix + name)
            if found is None:
                continue
            if stat.S_ISREG(found.st_mode):
                files[name] = Stat.of(found)
                continue
            if not stat.S_ISDIR(found.st_mode):
                self._report(origin.source, NO_FILE)
                continue
            if files:
                yield _chunk(folder, prefix, files)
                files = {}
            if not self._exclude.leaves_out(f"{prefix}{name}/"):
                yield from self.walk(Node(), f"{prefix}{name}/", {origin.source: opened[folder]})
        if files:
            yield _chunk(folder, prefix, files)

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


def _chunk(folder: str, prefix: str, files: dict[str, Stat]) -> Chunk:
    names = list(files)
    return Chunk(folder, prefix, names, names, list(files.values()), [None] * len(names))


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
