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
        # The key of the last new file; no key is empty.
        self._replaced = ""

    def entries(self, base: int | None) -> Iterator[FileEntry | TreeEntry]:
        """Entries of the new tree in tree order, for `merkle.TreeBuilder`; `base` is the id of the base's root."""
        # A stack of our own: a legal path has more folders than Python allows calls.
        open_ones = [] if base is None else [("", iter(self._children(base)))]
        while open_ones:
            prefix, children = open_ones[-1]
            child = next(children, None)
            if child is None:
                open_ones.pop()
                continue
            key = prefix + child.name
            yield from self._new_files(until=key)
            covered = self._is_covered(key)
            if child.file_count is None:
                if not covered:
                    yield FileEntry(from_key(key), child.digest, child.size, child.ref)
                continue
            inside = key + KEY_SEPARATOR
            if self._removals.at(inside):
                while self._removals.below(inside):
                    self._removals.pop()
            elif self._files.below(inside) or self._removals.below(inside):
                open_ones.append((inside, iter(self._children(child.ref))))
            else:
                yield TreeEntry(from_key(key), child.digest, child.file_count, child.size, child.ref)
        while not self._files.done:
            yield from self._new_file()

    def _new_file(self) -> Iterator[FileEntry]:
        entry = self._files.pop()
        if entry is not None:
            yield entry

    def _new_files(self, *, until: str) -> Iterator[FileEntry]:
        """Give the new files up to this key, itself included; forget removals that lie before it."""
        while self._files.before(until) or self._files.at(until):
            self._replaced = self._files.key
            yield from self._new_file()
        while self._removals.before(until):
            self._removals.pop()

    def _is_covered(self, key: str) -> bool:
        """Tell whether a file of this key is removed, or replaced by a new one."""
        removed = False
        while self._removals.at(key):
            removed = True
            self._removals.pop()
        return removed or self._replaced == key
