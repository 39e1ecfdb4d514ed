"""The stored objects: any Django storage, with what it lacks (moving a file in, streaming a range out)."""

import errno
import filecmp
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from datasets_app.errors import Unavailable
from datasets_app.store.digest import BLOCK_BYTES
from datasets_app.store.listing import StoredObject, list_objects
from datasets_app.store.ranges import open_range

READ_ONLY = 0o444
# Files of the store that are not whole yet, or were left so by a crash: no key begins like this.
PARTIAL_PREFIX = ".new-"


class MissingPack(Unavailable):
    """The store has no object of this key, or a shorter one than the database knows: bytes were lost."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Stored bytes are missing or damaged (pack {key}). Tell whoever runs this server.")
        self.key = key


class PackStore:
    """Packs and manifests by key. Keys are random and never used twice; what is stored is never changed."""

    def __init__(self, storage: Storage | None = None, *, scratch: Path | None = None) -> None:
        """`storage` is `storages["packs"]` unless given; `scratch` takes what must be whole before it can be sent."""
        self.storage = storage or storages["packs"]
        self._scratch = scratch

    @staticmethod
    def key_of(pack_id: uuid.UUID) -> str:
        """Make the key of a pack out of its random id: "ab/" and 32 hexadecimal digits.

        256 folders, so that a pack seldom needs a new one, which would take two more fsyncs.
        """
        return f"{pack_id.hex[:2]}/{pack_id.hex}"

    def put(self, source: Path, key: str) -> None:
        """Store the file `source` under a new `key`; it is gone from its old place then, and durable in the new.

        On a filesystem store it is moved. May be run again after a crash anywhere: when `source` is gone and the
        object is there, it was done. Raises `FileExistsError` if other bytes have this key, `FileNotFoundError` if
        there is neither source nor object.
        """
        target = self.open_local(key)
        if target is not None:
            _put_local(source, target)
        else:
            self._put_remote(source, key)

    def put_bytes(self, key: str, blocks: Iterable[bytes]) -> None:
        """Store a stream of blocks under a new `key`: all of it or nothing. Raises `FileExistsError` if it is taken."""
        if self.exists(key):
            raise FileExistsError(key)
        target = self.open_local(key)
        if target is not None:
            _make_folders(target.parent)
        folder = self._scratch if target is None else target.parent
        descriptor, name = tempfile.mkstemp(prefix=PARTIAL_PREFIX, dir=folder)
        written = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(blocks)
            self.put(written, key)
        finally:
            written.unlink(missing_ok=True)

    def read(
        self, key: str, offset: int = 0, length: int | None = None, *, block: int = BLOCK_BYTES
    ) -> Iterator[bytes]:
        """Give `length` bytes from `offset` (to the end, if None) in blocks of at most `block` bytes.

        Asks the backend for this range only. Raises `MissingPack` where there is no such object or it ends too early,
        before or between blocks.
        """
        if length == 0:
            return
        missing = length
        try:
            with open_range(self.storage, key, offset, length) as stream:
                while missing is None or missing > 0:
                    data = stream.read(block if missing is None else min(block, missing))
                    if not data:
                        break
                    if missing is not None:
                        missing -= len(data)
                    yield data
        except FileNotFoundError:
            raise MissingPack(key) from None
        if missing:
            raise MissingPack(key)

    def open_local(self, key: str) -> Path | None:
        """Say where the object lies (or would lie) on this machine's disk; None if the store is elsewhere."""
        return Path(self.storage.path(key)) if isinstance(self.storage, FileSystemStorage) else None

    def url(self, key: str) -> str | None:
        """Make a URL that fetches the object from the store itself; None if the store offers none."""
        if isinstance(self.storage, FileSystemStorage):
            # It would make one under MEDIA_URL, which serves no packs.
            return None
        try:
            return self.storage.url(key)
        except NotImplementedError:
            return None

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        return self.storage.exists(key)

    def size(self, key: str) -> int:
        """Length of the object in bytes; raises `MissingPack`."""
        try:
            return self.storage.size(key)
        except FileNotFoundError:
            raise MissingPack(key) from None
        except Exception as error:
            # django-storages lets the error of Google's library through, which may not be installed.
            if type(error).__name__ != "NotFound":
                raise
            raise MissingPack(key) from None

    def objects(self, prefix: str = "") -> Iterator[StoredObject]:
        """List all objects below the folder `prefix`, in no order, for the garbage collector and for a rebuild."""
        return list_objects(self.storage, prefix)

    def remove(self, key: str) -> None:
        """Delete the object; it may be gone already."""
        self.storage.delete(key)

    def _send(self, file: "File[bytes]", key: str) -> None:
        name = self.storage.save(key, file)
        if name != key:
            # Django's storages step aside to another name when the wanted one is taken.
            self.storage.delete(name)
            raise FileExistsError(key)

    def _put_remote(self, source: Path, key: str) -> None:
        if not self.exists(key):
            with source.open("rb") as file:
                self._send(File(file), key)
        elif source.exists() and not self._holds(source, key):
            raise FileExistsError(key)
        source.unlink(missing_ok=True)

    def _holds(self, source: Path, key: str) -> bool:
        """Whether the object has the very bytes of `source`: then a `put` died before it removed `source`."""
        if self.size(key) != source.stat().st_size:
            return False
        with source.open("rb") as file:
            return all(file.read(len(block)) == block for block in self.read(key))


def _put_local(source: Path, target: Path) -> None:
    if not target.exists():
        _move(source, target)
    elif source.exists():
        if not filecmp.cmp(source, target, shallow=False):
            raise FileExistsError(target)
        source.unlink()
    target.chmod(READ_ONLY)
    _fsync(target.parent)


def _move(source: Path, target: Path) -> None:
    """Rename; across disks, copy first to a name that no key has."""
    _make_folders(target.parent)
    _fsync(source)
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        source.unlink()


def _copy(source: Path, target: Path) -> None:
    descriptor, name = tempfile.mkstemp(prefix=PARTIAL_PREFIX, dir=target.parent)
    try:
        with source.open("rb") as old, os.fdopen(descriptor, "wb") as new:
            shutil.copyfileobj(old, new, BLOCK_BYTES)
        _fsync(Path(name))
        Path(name).rename(target)
    finally:
        Path(name).unlink(missing_ok=True)


def _make_folders(folder: Path) -> None:
    """Make `folder` and what is missing above it, durably."""
    if folder.exists():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _fsync(folder.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
