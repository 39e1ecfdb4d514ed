"""What is remembered between runs: digests of files that have not changed, and pushes that were not finished.

One SQLite file in the cache folder. It may be removed at any time: then everything is hashed again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from flexai_cli.digest import Root
from flexai_cli.scan import Chunk, Stat

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
    key TEXT PRIMARY KEY, number INTEGER, creation TEXT NOT NULL, used_at INTEGER NOT NULL
);
"""
VERSION: Final = 1
# Nanoseconds. A file that was written so recently might change again without its times saying so: where they are kept
# in full seconds, a second; elsewhere a tick of the kernel's clock.
COARSE_NS: Final = 2 * 10**9
FINE_NS: Final = 5 * 10**7
KEPT_SECONDS: Final = 90 * 24 * 3600
WRITTEN_AT_ONCE: Final = 20_000


class Unfinished(NamedTuple):
    """A push under way: `creation` is the key under which its version is made, `number` that version's, once known."""

    creation: str
    number: int | None


class Cache:
    """The remembered digests. Not to be shared by threads. Without a folder, nothing is remembered."""

    def __init__(self, folder: Path | None) -> None:
        self._remembers = folder is not None
        self._database = _open(folder)
        self._files: list[tuple[int, str, int, int, int, int, bytes]] = []
        self._ids: dict[str, int] = {}

    def close(self) -> None:
        """Write what is new."""
        with suppress(sqlite3.Error):
            self.flush()
            self._database.execute("DELETE FROM folder WHERE used_at < ?", (int(time.time()) - KEPT_SECONDS,))
            self._database.execute("DELETE FROM push WHERE used_at < ?", (int(time.time()) - KEPT_SECONDS,))
            self._database.commit()
        self._database.close()

    def fill(self, chunk: Chunk, *, whole: bool = False) -> None:
        """Set the digests of files that have not changed; with `whole`, the chunk's root alone where it is known."""
        if not self._remembers:
            return
        found = self._database.execute(
            "SELECT id, used_at, fingerprint, digest, file_count, size FROM folder WHERE path = ?",
            (os.fsencode(chunk.folder),),
        ).fetchone()
        if found is None:
            return
        folder_id, used_at, fingerprint, digest, file_count, size = found
        if time.time() - used_at > KEPT_SECONDS / 10:
            self._database.execute("UPDATE folder SET used_at = ? WHERE id = ?", (int(time.time()), folder_id))
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
        folder_id = self._folder_id(chunk.folder)
        for index in fresh:
            digest, about = chunk.digests[index], chunk.stats[index]
            if digest is not None and is_settled(about, now):
                self._files.append((folder_id, chunk.own_names[index], *about, digest))
        if len(self._files) >= WRITTEN_AT_ONCE:
            self.flush()

    def keep_root(self, chunk: Chunk, root: Root) -> None:
        """Remember the digest of a whole folder, all of whose files are in the chunk."""
        if not self._remembers:
            return
        now = time.time_ns()
        if all(is_settled(about, now) for about in chunk.stats):
            self._database.execute(
                "UPDATE folder SET fingerprint = ?, digest = ?, file_count = ?, size = ? WHERE id = ?",
                (_fingerprint(chunk), *root, self._folder_id(chunk.folder)),
            )

    def flush(self) -> None:
        """Write digests down, so that they outlive this process."""
        self._database.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?)", self._files)
        self._files.clear()
        self._database.commit()

    def unfinished(self, key: str) -> Unfinished | None:
        """Return the push that was begun under this key and not finished."""
        row = self._database.execute("SELECT creation, number FROM push WHERE key = ?", (key,)).fetchone()
        return Unfinished(*row) if row else None

    def begin(self, key: str, push: Unfinished) -> None:
        """Remember a push before its version is made, and again when the number is known."""
        row = (key, push.number, push.creation, int(time.time()))
        self._database.execute("INSERT OR REPLACE INTO push VALUES (?, ?, ?, ?)", row)
        self._database.commit()

    def finish(self, key: str) -> None:
        """Forget a push."""
        self._database.execute("DELETE FROM push WHERE key = ?", (key,))
        self._database.commit()

    def _folder_id(self, folder: str) -> int:
        known = self._ids.get(folder)
        if known is None:
            path, now = os.fsencode(folder), int(time.time())
            self._database.execute("INSERT OR IGNORE INTO folder (path, used_at) VALUES (?, ?)", (path, now))
            known = int(self._database.execute("SELECT id FROM folder WHERE path = ?", (path,)).fetchone()[0])
            if len(self._ids) > WRITTEN_AT_ONCE:
                self._ids.clear()
            self._ids[folder] = known
        return known


def is_settled(about: Stat, now: int) -> bool:
    """Whether a later change of the file would show in its times; `now` in nanoseconds since 1970."""
    latest = max(about.mtime_ns, about.ctime_ns)
    return now - latest > (COARSE_NS if about.mtime_ns % 10**9 == 0 else FINE_NS)


def _fingerprint(chunk: Chunk) -> bytes:
    """Names and stats of all files of a folder, as one value."""
    text = "\0".join(chunk.own_names) + repr([tuple(about) for about in chunk.stats])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


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
            with suppress(OSError):
                file.unlink()
        except OSError:
            break
    return _prepare(":memory:")


def _prepare(name: str) -> sqlite3.Connection:
    database = sqlite3.connect(name, timeout=10)
    try:
        # What a power cut takes away is hashed again.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=OFF")
        database.execute("PRAGMA foreign_keys=ON")
        with closing(database.execute("PRAGMA user_version")) as cursor:
            (version,) = cursor.fetchone()
        if version not in {0, VERSION}:
            raise sqlite3.DatabaseError("made by another release")  # noqa: TRY301
        database.executescript(f"{SCHEMA} PRAGMA user_version = {VERSION};")
    except BaseException:
        database.close()
        raise
    return database
