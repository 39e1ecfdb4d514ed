"""Build a version's Merkle tree from a sorted stream of entries, in memory that does not grow with their number."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from datasets_app.errors import Invalid
from datasets_app.store.case_clash import ClashReport
from datasets_app.store.digest import DIRECTORY_HEADER, directory_entry, file_entry
from datasets_app.store.spool import Chunk, Spool

# Rows held in memory over all open directories; beyond it they go to the spool.
PENDING_ROWS = 16_384
# Names remembered over all open directories to notice clashes of case: 8 bytes each.
WATCHED_NAMES = 4_000_000


class FileEntry(NamedTuple):
    """A file: normalised path, SHA-256 and size of its bytes, and the caller's id of the blob."""

    path: str
    sha256: bytes
    size: int
    ref: int


class TreeEntry(NamedTuple):
    """A whole directory taken over unchanged, with its digest and totals; `ref` is the caller's id of it, if known."""

    path: str
    digest: bytes
    file_count: int
    size: int
    ref: int | None = None


class FileRow(NamedTuple):
    """A file as its directory lists it."""

    name: str
    ref: int
    size: int


class SubdirectoryRow(NamedTuple):
    """A directory as its parent lists it; `ref` is what the caller set on its `Node`, or its `TreeEntry`'s."""

    name: str
    digest: bytes
    ref: int | None


class TreeError(Invalid):
    """The entries make no tree; `path` is the one at fault, `reason` a sentence for the owner of the files."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}" if path else reason, errors=[{"path": path, "detail": reason}])
        self.path = path
        self.reason = reason


class EmptyTree(TreeError):
    """There was no entry at all."""

    def __init__(self) -> None:
        super().__init__("", "A version has at least one file.")


class DuplicatePath(TreeError):
    """One path, twice."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "The path is there twice.")


class FileAndDirectory(TreeError):
    """One path is both a file and a directory, or a directory taken over whole and also listed file by file."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "The path is both a file and a folder.")


class OutOfOrder(ValueError):
    """The caller's entries are not in tree order: a bug, not bad input."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} is not in tree order")
        self.path = path


class Node:
    """A finished directory. Its rows can be read, more than once, until the next node is asked for.

    The caller may set `ref` to its id; the parent's `SubdirectoryRow` then carries it.
    """

    __slots__ = ("_open", "digest", "file_count", "path", "ref", "size")

    def __init__(self, frame: "_Open", digest: bytes) -> None:
        self._open: _Open | None = frame
        self.path = frame.path
        self.digest = digest
        self.file_count = frame.file_count
        self.size = frame.size
        self.ref: int | None = None

    @property
    def files(self) -> Iterator[FileRow]:
        """The files directly in it, in byte order of their names."""
        return map(FileRow._make, self._rows().files)

    @property
    def subdirectories(self) -> Iterator[SubdirectoryRow]:
        """The directories directly in it, in byte order of their names."""
        return map(SubdirectoryRow._make, self._rows().directories)

    def _rows(self) -> "_Open":
        if self._open is None:
            raise RuntimeError("the rows of a node are gone once the next one is asked for")
        return self._open

    def forget(self) -> None:
        """Let the builder reuse the room of the rows."""
        self._open = None


class _Rows:
    """Rows of one kind of one open directory: the older ones in the spool, the newer ones in `recent`."""

    __slots__ = ("_chunks", "_spool", "recent")

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._chunks: list[Chunk] = []
        self.recent: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        for chunk in self._chunks:
            yield from self._spool.read(chunk)
        yield from self.recent

    def spill(self) -> None:
        if self.recent:
            self._chunks.append(self._spool.push(self.recent))
            self.recent.clear()

    def drop(self) -> None:
        if self._chunks:
            self._spool.pop(self._chunks[0])


class _Open:
    """A directory whose entries are still coming in."""

    __slots__ = ("directories", "file_count", "files", "folds", "hasher", "last", "lines", "path", "size")

    def __init__(self, path: str, spool: Spool) -> None:
        self.path = path
        self.hasher = hashlib.sha256(DIRECTORY_HEADER)
        self.lines: list[bytes] = []
        self.files = _Rows(spool)
        self.directories = _Rows(spool)
        # Hashes of the names without their case, for `ClashReport`; None where there are too many.
        self.folds: array[int] | None = array("q")
        self.last = ""
        self.file_count = 0
        self.size = 0

    def spill(self) -> None:
        """Hash and put on disk what came in lately."""
        self.hasher.update(b"".join(self.lines))
        self.lines.clear()
        self.files.spill()
        self.directories.spill()

    def take(self, name: str, digest: bytes, file_count: int, size: int, ref: int | None) -> None:
        """List a finished directory."""
        self.lines.append(directory_entry(name, digest, size))
        self.directories.recent.append((name, digest, ref))
        self.file_count += file_count
        self.size += size

    def names(self) -> Iterator[str]:
        for rows in (self.files, self.directories):
            for row in rows:
                yield row[0]


class TreeBuilder:
    """One build. `clashes` tells of names that differ only in case, once the last node came."""

    def __init__(self, spool_folder: Path | None = None) -> None:
        """`spool_folder` takes a nameless temporary file where more than `PENDING_ROWS` rows are open at a time."""
        self.clashes = ClashReport()
        self._spool = Spool(spool_folder)
        self._stack: list[_Open] = []
        self._pending = 0

    def build(self, entries: Iterable[FileEntry | TreeEntry]) -> Iterator[Node]:
        """Every directory once it is finished, children before parents, the root last.

        `entries` come in tree order, which is the order of `paths.to_key(path)`, with normalised paths. Raises a
        `TreeError` for a path that is there twice or as both file and directory, and for no entries at all;
        `OutOfOrder` if the caller didn't sort.
        """
        with self._spool:
            here = self._start("")
            previous: FileEntry | TreeEntry | None = None
            for entry in entries:
                path = entry[0]
                folder, _, name = path.rpartition("/")
                if folder != here.path:
                    yield from self._move(folder, path)
                    here = self._stack[-1]
                if name <= here.last:
                    _refuse(entry, name, here.last, previous)
                here.last = name
                if isinstance(entry, FileEntry):
                    _, sha256, size, ref = entry
                    here.lines.append(file_entry(name, sha256, size))
                    here.files.recent.append((name, ref, size))
                    here.file_count += 1
                    here.size += size
                else:
                    here.take(name, *entry[1:])
                if here.folds is not None:
                    here.folds.append(hash(name.casefold()))
                self._pending += 1
                if self._pending >= PENDING_ROWS:
                    self._spill()
                previous = entry
            if previous is None:
                raise EmptyTree
            while self._stack:
                yield from self._finish()

    def _start(self, path: str) -> _Open:
        opened = _Open(path, self._spool)
        self._stack.append(opened)
        return opened

    def _move(self, folder: str, path: str) -> Iterator[Node]:
        """Finish and start directories until `folder` is on top; `path` is the entry that asks for it."""
        here = self._stack[-1].path
        while here and folder != here and not folder.startswith(here + "/"):
            yield from self._finish()
            here = self._stack[-1].path
        while folder != here:
            end = folder.find("/", len(here) + 1)
            child = folder if end < 0 else folder[:end]
            name = child[len(here) + 1 :] if here else child
            parent = self._stack[-1]
            if name == parent.last:
                raise FileAndDirectory(child)
            if name < parent.last:
                raise OutOfOrder(path)
            parent.last = name
            if parent.folds is not None:
                parent.folds.append(hash(name.casefold()))
            here = self._start(child).path

    def _finish(self) -> Iterator[Node]:
        """Hand out the directory on top and list it in its parent."""
        done = self._stack.pop()
        done.hasher.update(b"".join(done.lines))
        if done.folds is None:
            self.clashes.unchecked.append(done.path)
        else:
            self.clashes.add(done.path, done.folds, done.names())
        node = Node(done, done.hasher.digest())
        yield node
        node.forget()
        self._pending -= len(done.files.recent) + len(done.directories.recent)
        done.files.drop()
        done.directories.drop()
        if self._stack:
            self._stack[-1].take(done.path.rpartition("/")[2], node.digest, node.file_count, node.size, node.ref)
            self._pending += 1

    def _spill(self) -> None:
        # From the root down: a directory's rows then lie in the spool above those of its parents, as a stack's must.
        watched = 0
        for opened in self._stack:
            opened.spill()
            watched += len(opened.folds or ())
        self._pending = 0
        if watched > WATCHED_NAMES:
            max(self._stack, key=lambda opened: len(opened.folds or ())).folds = None


def _refuse(entry: FileEntry | TreeEntry, name: str, last: str, previous: FileEntry | TreeEntry | None) -> NoReturn:
    if name < last:
        raise OutOfOrder(entry.path)
    if previous is not None and previous.path == entry.path and type(previous) is type(entry):
        raise DuplicatePath(entry.path)
    raise FileAndDirectory(entry.path)
