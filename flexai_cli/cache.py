"""What is remembered between runs: digests of files that have not changed, and pushes that were not finished.

One SQLite file in the cache folder. It may be removed at any time: then everything is hashed again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from flexai_cli.chunks import Chunk, Stat
from flexai_cli.digest import Root
from flexai_cli.errors import FlexaiError

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS folder (
    id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE, used_at INTEGER NOT NULL,
    fingerprint BLOB, digest BLOB, file_count INTEGER, size INTEGER
);
CREATE TABLE IF NOT EXISTS file (
    folder_id INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE, name TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    sha256 BLOB NOT NULL, PRIMARY KEY (folder_id, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS push (
    key TEXT PRIMARY KEY, number INTEGER, creation TEXT NOT NULL, left_open INTEGER NOT NULL, used_at INTEGER NOT NULL
);
"""
VERSION: Final = 2
# Nanoseconds. A file that was written so recently might change again without its times saying so: where they are kept
# in full seconds, a second; elsewhere a tick of the kernel's clock.
COARSE_NS: Final = 2 * 10**9
FINE_NS: Final = 5 * 10**7
KEPT_SECONDS: Final = 90 * 24 * 3600
WRITTEN_AT_ONCE: Final = 2_000
# Seconds for which another process that writes is waited for.
BUSY_SECONDS: Final = 10


class Unfinished(NamedTuple):
    """A push under way: `creation` is the key under which its version is made, `number` that version's, once known.

    `left_open` says that it has ended, and was told not to seal.
    """

    creation: str
    number: int | None
    left_open: bool = False


class Cache:
    """The remembered digests. Not to be shared by threads. Without a folder, nothing is remembered.

    Other processes use the same file: what is new is kept here, and written in short transactions. Trouble with digests
    means that they are computed again; trouble with pushes under way is a FlexaiError.
    """

    def __init__(self, folder: Path | None, *, digests: bool = True) -> None:
        self._remembers = folder is not None and digests
        self._database = _open(folder)
        self._used: dict[str, int] = {}
        self._files: list[tuple[str, str, int, int, int, int, bytes]] = []
        self._roots: dict[str, tuple[bytes, Root]] = {}

    def close(self) -> None:
        """Write what is new."""
        self.flush()
        oldest = int(time.time()) - KEPT_SECONDS
        with suppress(sqlite3.Error), self._database:
            self._database.execute("DELETE FROM folder WHERE used_at < ?", (oldest,))
            self._database.execute("DELETE FROM push WHERE used_at < ?", (oldest,))
        self._database.close()

    def fill(self, chunk: Chunk, *, whole: bool = False) -> None:
        """Set the digests of files that have not changed; with `whole`, the chunk's root alone where it is known."""
        if self._remembers:
            with suppress(sqlite3.Error):
                self._fill(chunk, whole=whole)

    def _fill(self, chunk: Chunk, *, whole: bool) -> None:
        found = self._database.execute(
            "SELECT id, used_at, fingerprint, digest, file_count, size FROM folder WHERE path = ?",
            (os.fsencode(chunk.folder),),
        ).fetchone()
        if found is None:
            return
        folder_id, used_at, fingerprint, digest, file_count, size = found
        if time.time() - used_at > KEPT_SECONDS / 10:
            self._used[chunk.folder] = int(time.time())
            self._flush_when_full()
        if whole and chunk.is_all and fingerprint is not None and fingerprint == _fingerprint(chunk):
            chunk.root = Root(digest, file_count, size)
            return
        rows = self._database.execute(
            """SELECT name, size, mtime_ns, ctime_ns, inode, sha256 FROM file
            WHERE folder_id = ? AND name BETWEEN ? AND ?""",
            (folder_id, min(chunk.own_names), max(chunk.own_names)),
        )
        known = {name: (Stat(*about), sha256) for name, *about, sha256 in rows}
        for index, name in enumerate(chunk.own_names):
            about, sha256 = known.get(name, (None, None))
            if about == chunk.stats[index]:
                chunk.digests[index] = sha256

    def keep(self, chunk: Chunk, fresh: Sequence[int]) -> None:
        """Remember the digests at these places of the chunk, as its stats say that they were before hashing."""
        if not self._remembers:
            return
        now = time.time_ns()
        for index in fresh:
            digest, about = chunk.digests[index], chunk.stats[index]
            if digest is not None and is_settled(about, now):
                self._files.append((chunk.folder, chunk.own_names[index], *about, digest))
        self._flush_when_full()

    def keep_root(self, chunk: Chunk, root: Root) -> None:
        """Remember the digest of a whole folder, all of whose files are in the chunk."""
        now = time.time_ns()
        if self._remembers and all(is_settled(about, now) for about in chunk.stats):
            self._roots[chunk.folder] = (_fingerprint(chunk), root)

    def _flush_when_full(self) -> None:
        if len(self._files) + len(self._roots) + len(self._used) >= WRITTEN_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write digests down, so that they outlive this process."""
        if self._files or self._roots or self._used:
            with suppress(sqlite3.Error), self._database:
                self._write()
        self._files.clear()
        self._roots.clear()
        self._used.clear()

    def _write(self) -> None:
        now = int(time.time())
        self._used |= dict.fromkeys((*(row[0] for row in self._files), *self._roots), now)
        self._database.executemany(
            """INSERT INTO folder (path, used_at) VALUES (?, ?)
            ON CONFLICT (path) DO UPDATE SET used_at = excluded.used_at""",
            [(os.fsencode(folder), used_at) for folder, used_at in self._used.items()],
        )
        ids = {folder: self._id(folder) for folder in self._used}
        self._database.executemany(
            "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(ids[folder], *about) for folder, *about in self._files],
        )
        self._database.executemany(
            "UPDATE folder SET fingerprint = ?, digest = ?, file_count = ?, size = ? WHERE id = ?",
            [(fingerprint, *root, ids[folder]) for folder, (fingerprint, root) in self._roots.items()],
        )

    def _id(self, folder: str) -> int:
        row = self._database.execute("SELECT id FROM folder WHERE path = ?", (os.fsencode(folder),)).fetchone()
        return int(row[0])

    def unfinished(self, key: str) -> Unfinished | None:
        """Return the push that was begun under this key and not finished."""
        with _told():
            query = "SELECT creation, number, left_open FROM push WHERE key = ?"
            row = self._database.execute(query, (key,)).fetchone()
        return Unfinished(row[0], row[1], bool(row[2])) if row else None

    def begin(self, key: str, push: Unfinished) -> None:
        """Remember a push before its version is made, and again when the number is known."""
        row = (key, push.number, push.creation, push.left_open, int(time.time()))
        with _told(), self._database:
            self._database.execute("INSERT OR REPLACE INTO push VALUES (?, ?, ?, ?, ?)", row)

    def finish(self, key: str) -> None:
        """Forget a push."""
        with _told(), self._database:
            self._database.execute("DELETE FROM push WHERE key = ?", (key,))


@contextmanager
def _told() -> Iterator[None]:
    """Say in words what is wrong with the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise FlexaiError(
            f"What is remembered of unfinished pushes can't be read or written: {error}. "
            "FLEXAI_CACHE_DIR names another folder for it."
        ) from None


def is_settled(about: Stat, now: int) -> bool:
    """Whether a later change of the file would show in its times; `now` in nanoseconds since 1970."""
    latest = max(about.mtime_ns, about.ctime_ns)
    return now - latest > (COARSE_NS if about.mtime_ns % 10**9 == 0 else FINE_NS)


def _fingerprint(chunk: Chunk) -> bytes:
    """Names (on disk, and in the dataset) and stats of all files of a folder, as one value."""
    names = "\0".join([*chunk.own_names, "", *chunk.names]).encode("utf-8", "surrogateescape")
    numbers = list(chain.from_iterable(chunk.looks))
    try:
        told = array("q", numbers).tobytes()
    except OverflowError:
        # Of some file systems, inodes have 64 bits.
        told = repr(numbers).encode()
    return hashlib.sha256(names + told).digest()


def _open(folder: Path | None) -> sqlite3.Connection:
    """Open the cache; one that can't be used is replaced, or done without."""
    if folder is None:
        return _prepare(":memory:")
    file = folder / "digests.sqlite3"
    for _attempt in range(2):
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return _prepare(str(file))
        except sqlite3.OperationalError:
            break
        except sqlite3.DatabaseError:
            # Damaged, or of another release.
            for ending in ("", "-wal", "-shm"):
                with suppress(OSError):
                    Path(f"{file}{ending}").unlink()
        except OSError:
            break
    return _prepare(":memory:")


def _prepare(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=BUSY_SECONDS)
    try:
        # What a power cut takes away is hashed again.
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA foreign_keys=ON")
        version = _value(database, "PRAGMA user_version")
        if version not in {0, VERSION}:
            raise sqlite3.DatabaseError("made by another release")  # noqa: TRY301
        if version != VERSION:
            _create(database)
    except BaseException:
        database.close()
        raise
    return database


def _create(database: sqlite3.Connection) -> None:
    """Make the tables. A process that does the same at this moment is waited for."""
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode=WAL")
            database.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        except sqlite3.OperationalError as error:
            # The change to WAL does not wait by itself.
            if error.sqlite_errorcode not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} or time.monotonic() > end:
                raise
            database.rollback()
            time.sleep(0.05)
        else:
            return


def _value(database: sqlite3.Connection, query: str) -> int:
    with closing(database.execute(query)) as cursor:
        return int(cursor.fetchone()[0])
