"""The digest of a folder, as the server computes it for a version (docs/decisions/0002-digest-format.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple, NoReturn

from flexai_cli.errors import FlexaiError

BLOCK_BYTES: Final = 2**20
DIRECTORY_HEADER: Final = b"directory\n"
PREFIX: Final = "sha256:"


class Root(NamedTuple):
    """A finished directory: its digest (32 bytes), and the count and size in bytes of all files below it."""

    digest: bytes
    file_count: int
    size: int

    def __str__(self) -> str:
        """Return the digest as people and the API see it."""
        return PREFIX + self.digest.hex()


class Twice(FlexaiError):
    """Two files of this machine would get one path, or one path is both a file and a folder."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path!r} is there twice, or is both a file and a folder.", items=[{"path": path}])


class _Open:
    """A directory whose entries are still coming in."""

    __slots__ = ("file_count", "hasher", "last", "path", "size")

    def __init__(self, path: str) -> None:
        self.path = path
        self.hasher = hashlib.sha256(DIRECTORY_HEADER)
        self.last = ""
        self.file_count = 0
        self.size = 0


class TreeDigest:
    """Takes the files of a folder in tree order (each directory's entries by name) and gives the digest of its root.

    Folders are named "" for the root, "a/b/" for others. Memory grows with the depth alone.
    """

    def __init__(self) -> None:
        self._stack = [_Open("")]
        self._known: Root | None = None

    def add_files(self, folder: str, names: Sequence[str], digests: Sequence[bytes], sizes: Sequence[int]) -> None:
        """Take files of one folder: normalised names in order, SHA-256 (32 bytes) and size of each."""
        here = self._move(folder)
        for previous, name in zip([here.last, *names], names, strict=False):
            if name <= previous:
                _refuse(folder + name, previous)
        here.hasher.update(_lines(names, digests, sizes))
        here.last = names[-1]
        here.file_count += len(names)
        here.size += sum(sizes)

    def add(self, path: str, digest: bytes, size: int) -> None:
        """Take one file."""
        folder, slash, name = path.rpartition("/")
        self.add_files(folder + slash, [name], [digest], [size])

    def add_folder(self, folder: str, done: Root) -> None:
        """Take a whole folder ("a/b/") whose digest is known; the root, "", as well."""
        if not folder:
            self._known = done
            return
        parent, _, name = folder[:-1].rpartition("/")
        here = self._move(f"{parent}/" if parent else "")
        if name <= here.last:
            _refuse(folder[:-1], here.last)
        here.last = name
        self._list(here, name, done)

    def finish(self) -> Root | None:
        """Return the root; None when there was no file."""
        while len(self._stack) > 1:
            self._close()
        root = self._stack[0]
        if self._known is None and root.file_count:
            self._known = Root(root.hasher.digest(), root.file_count, root.size)
        return self._known

    def _move(self, folder: str) -> _Open:
        here = self._stack[-1]
        while not folder.startswith(here.path):
            self._close()
            here = self._stack[-1]
        while here.path != folder:
            name = folder[len(here.path) : folder.index("/", len(here.path))]
            if name <= here.last:
                _refuse(here.path + name, here.last)
            here.last = name
            here = _Open(f"{here.path}{name}/")
            self._stack.append(here)
        return here

    def _close(self) -> None:
        done = self._stack.pop()
        name = done.path[:-1].rpartition("/")[2]
        self._list(self._stack[-1], name, Root(done.hasher.digest(), done.file_count, done.size))

    @staticmethod
    def _list(parent: _Open, name: str, done: Root) -> None:
        parent.hasher.update(f"directory {done.digest.hex()} {done.size} {name}\0".encode())
        parent.file_count += done.file_count
        parent.size += done.size


def folder_root(names: Sequence[str], digests: Sequence[bytes], sizes: Sequence[int]) -> Root:
    """Return the digest of a folder that holds these files, in order, and no folders."""
    hasher = hashlib.sha256(DIRECTORY_HEADER)
    hasher.update(_lines(names, digests, sizes))
    return Root(hasher.digest(), len(names), sum(sizes))


def _lines(names: Sequence[str], digests: Sequence[bytes], sizes: Sequence[int]) -> bytes:
    rows = zip(names, digests, sizes, strict=True)
    return b"".join([f"file {digest.hex()} {size} {name}\0".encode() for name, digest, size in rows])


def _refuse(path: str, last: str) -> NoReturn:
    if not path.endswith(last):
        raise AssertionError(f"{path!r} is not in tree order")
    raise Twice(path)


def parse_digest(text: str) -> bytes:
    """Turn "sha256:<hex>" or bare hex into 32 bytes; ValueError for anything else."""
    digits = text.strip().lower().removeprefix(PREFIX)
    digest = bytes.fromhex(digits)
    if digest.hex() != digits or len(digits) != 2 * hashlib.sha256().digest_size:
        raise ValueError(f"{text!r} is not a SHA-256 digest of 64 hexadecimal digits")
    return digest
