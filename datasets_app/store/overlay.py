"""Lay new files and removals over a base tree, without reading the subtrees that stay as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from datasets_app.store.merkle import FileEntry, TreeEntry
from datasets_app.store.paths import KEY_SEPARATOR, from_key, to_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")


class Child(NamedTuple):
    """An entry of a base directory: a file when `file_count` is None; `ref` is the id of its blob or directory."""

    name: str
    digest: bytes
    size: int
    ref: int
    file_count: int | None = None


class _Head(Generic[T]):
    """A stream of (key, item) whose next element can be looked at."""

    def __init__(self, items: Iterable[tuple[str, T]]) -> None:
        self._items = iter(items)
        self.key = ""
        self.item: T | None = None
        self.done = False
        self.pop()

    def pop(self) -> T | None:
        taken = self.item
        following = next(self._items, None)
        if following is None:
            self.key, self.item, self.done = "", None, True
        else:
            self.key, self.item = following
        return taken

    def before(self, key: str) -> bool:
        return not self.done and self.key < key

    def at(self, key: str) -> bool:
        return not self.done and self.key == key

    def below(self, prefix: str) -> bool:
        return not self.done and self.key.startswith(prefix)


class Overlay:
    """One pass over base, new files and removals, all in tree order."""

    def __init__(
        self,
        children: Callable[[int], Iterable[Child]],
        files: Iterable[FileEntry],
        removals: Iterable[str],
    ) -> None:
        """`children(ref)` lists a base directory sorted by name; `removals` are paths, with "/" at the end for folders.

        A new file wins over a removal of the same path. Removals of what isn't there change nothing.
        """
        self._children = children
        self._files = _Head((to_key(entry.path), entry) for entry in files)
        self._removals = _Head((to_key(path), path) for path in removals)

    def entries(self, base: int | None) -> Iterator[FileEntry | TreeEntry]:
        """Entries of the new tree in tree order, for `merkle.TreeBuilder`; `base` is the id of the base's root."""
        # A list, not recursion: legal paths are 2048 folders deep.
        opened: list[tuple[Iterator[Child], str]] = []
        if base is not None:
            opened.append((iter(self._children(base)), ""))
        while opened:
            children, prefix = opened[-1]
            child = next(children, None)
            if child is None:
                opened.pop()
                continue
            key = prefix + child.name
            while self._files.before(key):
                yield from self._new_file()
            if child.file_count is None:
                yield from self._file(child, key)
                continue
            inside = key + KEY_SEPARATOR
            # A new file in the folder's place comes first, for the builder to refuse unless the folder is removed.
            while self._files.at(key):
                yield from self._new_file()
            if self._take_removals(inside, whole=True):
                continue
            if self._files.below(inside) or self._removals.below(inside):
                opened.append((iter(self._children(child.ref)), inside))
            else:
                yield TreeEntry(from_key(key), child.digest, child.file_count, child.size, child.ref)
        while not self._files.done:
            yield from self._new_file()

    def _new_file(self) -> Iterator[FileEntry]:
        entry = self._files.pop()
        if entry is not None:
            yield entry

    def _file(self, child: Child, key: str) -> Iterator[FileEntry]:
        removed = self._take_removals(key)
        if self._files.at(key):
            yield from self._new_file()
        elif not removed:
            yield FileEntry(from_key(key), child.digest, child.size, child.ref)

    def _take_removals(self, key: str, *, whole: bool = False) -> bool:
        """Whether `key` is removed; skips removals of what is not there, or goes with a `whole` folder."""
        while self._removals.before(key):
            self._removals.pop()
        found = False
        while self._removals.at(key) or (found and whole and self._removals.below(key)):
            found = True
            self._removals.pop()
        return found
