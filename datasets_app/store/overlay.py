"""Lay new files and removals over a base tree, without reading the subtrees that stay as they are."""

from __future__ import annotations

from heapq import merge
from operator import itemgetter
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


class Graft(NamedTuple):
    """A directory that hangs at `path` instead of what the base has there; `child` is what it is, whatever its name."""

    path: str
    child: Child


class Overlay:
    """One pass over base, moved directories, new files and removals, all in tree order."""

    def __init__(
        self,
        children: Callable[[int], Iterable[Child]],
        files: Iterable[FileEntry],
        removals: Iterable[str],
        grafts: Iterable[Graft] = (),
    ) -> None:
        """`children(ref)` lists a base directory sorted by name; `removals` are paths, with "/" at the end for folders.

        A new file wins over a removal of the same path, and so does a graft. Below a graft, files and removals are laid
        over it, not over the base. Removals of what isn't there change nothing.
        """
        self._children = children
        new_files = ((to_key(entry.path), entry) for entry in files)
        new_folders = ((to_key(graft.path), graft) for graft in grafts)
        # A file and a graft of one path stay two: the builder says which path is both.
        self._new: _Head[FileEntry | Graft] = _Head(merge(new_files, new_folders, key=itemgetter(0)))
        self._removals = _Head((to_key(path), path) for path in removals)

    def entries(self, base: int | None) -> Iterator[FileEntry | TreeEntry]:
        """Entries of the new tree in tree order, for `merkle.TreeBuilder`; `base` is the id of the base's root."""
        # A stack of our own: a legal path has more folders than Python allows calls.
        stack = [("", self._listed("", base))]
        while stack:
            prefix, children = stack[-1]
            if self._new.below(prefix) and self._is_next(children):
                key, item = self._new.key, self._new.pop()
                if self._replaces(key, item, children):
                    children.pop()
                if isinstance(item, FileEntry):
                    yield item
                elif item is not None:
                    yield from self._enter(key, item.child, stack)
                continue
            key, child = children.key, children.pop()
            if child is None:
                stack.pop()
            elif child.file_count is not None:
                if not self._is_removed(key + KEY_SEPARATOR):
                    yield from self._enter(key, child, stack)
            elif not self._is_removed(key):
                yield FileEntry(from_key(key), child.digest, child.size, child.ref)

    def _is_next(self, children: _Head[Child]) -> bool:
        """Tell whether the new item comes before the base's next child, or takes its place."""
        if children.done or self._new.before(children.key):
            return True
        # A file of the base whose name a moved folder gets is dealt with first: it may be removed.
        is_file = children.item is not None and children.item.file_count is None
        return self._new.at(children.key) and not (is_file and isinstance(self._new.item, Graft))

    def _listed(self, prefix: str, directory: int | None) -> _Head[Child]:
        children = () if directory is None else self._children(directory)
        return _Head((prefix + child.name, child) for child in children)

    def _enter(self, key: str, child: Child, stack: list[tuple[str, _Head[Child]]]) -> Iterator[TreeEntry]:
        """Take a directory as a whole, or open it where something is to be laid over it."""
        inside = key + KEY_SEPARATOR
        # What was to be removed before it, or was this directory as the base had it, is done with.
        while self._removals.before(inside) or self._removals.at(inside):
            self._removals.pop()
        if self._new.below(inside) or self._removals.below(inside):
            stack.append((inside, self._listed(inside, child.ref)))
        elif child.file_count is not None:
            yield TreeEntry(from_key(key), child.digest, child.file_count, child.size, child.ref)

    @staticmethod
    def _replaces(key: str, item: FileEntry | Graft | None, children: _Head[Child]) -> bool:
        """Tell whether a new item takes the place of the base's: like for like, else the builder says what clashes."""
        if not children.at(key) or children.item is None:
            return False
        return isinstance(item, Graft) == (children.item.file_count is not None)

    def _is_removed(self, key: str) -> bool:
        """Tell whether this key is removed; forget removals that lie before it."""
        while self._removals.before(key):
            self._removals.pop()
        return self._removals.at(key)
