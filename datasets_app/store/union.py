"""Put several trees together into one, without reading the directories that only one of them has."""

from __future__ import annotations

from heapq import merge
from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple

from datasets_app.store.merkle import FileEntry, TreeEntry
from datasets_app.store.overlay import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

OnClash = Literal["refuse", "first", "last"]
SHOWN_CLASHES = 20


class Mount(NamedTuple):
    """A directory and where it lies in the result; "" is the top. `takes` chooses files by their paths and digests."""

    root: Child
    place: str = ""
    # By the path in that directory and the SHA-256 (32 bytes); None takes all.
    takes: Callable[[str, bytes], bool] | None = None


class _Here(NamedTuple):
    """What one mount has at the place that is being read: a directory, or only the way to one."""

    position: int
    directory: int | None
    way: tuple[str, ...]
    path: str


class Union:
    """One pass over the mounts, in tree order.

    `clashes` are paths for which two of them have different bytes, the first 20 of `clash_count`; then the first or
    the last wins, as `on_clash` says. `taken` has files and bytes of the result by mount. `looked` counts names.
    """

    def __init__(
        self,
        children: Callable[[int], Iterable[Child]],
        mounts: list[Mount],
        *,
        on_clash: OnClash = "refuse",
        progress: Callable[[int], None] = lambda _looked: None,
    ) -> None:
        """`children(ref)` lists a directory sorted by name; `progress` is called with `looked` now and then."""
        self._children = children
        self._mounts = mounts
        self._on_clash = on_clash
        self._progress = progress
        self.clashes: list[str] = []
        self.clash_count = 0
        self.taken = [[0, 0] for _ in mounts]
        self.looked = 0

    def entries(self) -> Iterator[FileEntry | TreeEntry]:
        """Entries of the new tree in tree order, for `merkle.TreeBuilder`, which refuses files that are folders too."""
        start = []
        for position, mount in enumerate(self._mounts):
            way = tuple(mount.place.split("/")) if mount.place else ()
            start.append(_Here(position, mount.root.ref, way, ""))
        stack = [("", self._groups(start))]
        while stack:
            prefix, groups = stack[-1]
            found = next(groups, None)
            if found is None:
                stack.pop()
                continue
            name, items = found
            path = prefix + name
            files = [(here, child) for here, child in items if child.file_count is None and self._takes(here, child)]
            if files:
                yield self._pick(path, files)
            below = [(here, child) for here, child in items if child.file_count is not None]
            whole = self._whole(below)
            if whole is not None:
                here, child = whole
                self._count(here.position, child.file_count or 0, child.size)
                yield TreeEntry(path, child.digest, child.file_count or 0, child.size, child.ref)
            elif below:
                inner = [self._enter(here, child) for here, child in below]
                stack.append((f"{path}/", self._groups(inner)))

    def _groups(self, places: list[_Here]) -> Iterator[tuple[str, list[tuple[_Here, Child]]]]:
        """Everything of one name, name by name."""
        streams = [self._named(here) for here in places]
        for name, items in groupby(merge(*streams, key=lambda item: item[:2]), key=lambda item: item[0]):
            yield name, [(here, child) for _, _, here, child in items]

    def _named(self, here: _Here) -> Iterator[tuple[str, int, _Here, Child]]:
        for child in self._list(here):
            yield child.name, here.position, here, child

    def _list(self, here: _Here) -> Iterator[Child]:
        if here.way:
            root = self._mounts[here.position].root
            # The last step of the way is the directory itself; those before it hold nothing else.
            yield root._replace(name=here.way[0])
            return
        for child in self._children(here.directory or 0):
            self.looked += 1
            if self.looked % 1000 == 0:
                self._progress(self.looked)
            yield child

    def _enter(self, here: _Here, child: Child) -> _Here:
        if here.way:
            return here._replace(way=here.way[1:])
        return here._replace(directory=child.ref, path=f"{here.path}{child.name}/")

    def _takes(self, here: _Here, child: Child) -> bool:
        takes = self._mounts[here.position].takes
        return takes is None or takes(here.path + child.name, child.digest)

    def _whole(self, below: list[tuple[_Here, Child]]) -> tuple[_Here, Child] | None:
        """Return a directory that is taken as it is: the same one in all, and nothing is chosen from it."""
        same = len({child.ref for _, child in below}) == 1
        if same and all(len(here.way) <= 1 and self._mounts[here.position].takes is None for here, _ in below):
            return below[0]
        return None

    def _pick(self, path: str, files: list[tuple[_Here, Child]]) -> FileEntry:
        if len({child.digest for _, child in files}) > 1:
            self.clash_count += 1
            if len(self.clashes) < SHOWN_CLASHES:
                self.clashes.append(path)
        here, child = files[-1 if self._on_clash == "last" else 0]
        self._count(here.position, 1, child.size)
        return FileEntry(path, child.digest, child.size, child.ref)

    def _count(self, position: int, files: int, size: int) -> None:
        self.taken[position][0] += files
        self.taken[position][1] += size
