"""A store of the test's own, which can be damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection
from django.db.backends.utils import CursorWrapper

from datasets_app.models import Blob
from tests.garbage.conftest import store

__all__ = ["store"]


def pack_of(store: Path, digest: bytes) -> tuple[Path, int, int]:
    """Return the file, offset and size of a blob."""
    blob = Blob.objects.select_related("pack").get(sha256=digest)
    return store / blob.pack.key, blob.offset, blob.size


def flip(store: Path, digest: bytes, at: int = 0) -> None:
    """Change one bit of a blob's bytes, as a disk might."""
    path, offset, _ = pack_of(store, digest)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[offset + at] ^= 1
    path.write_bytes(data)


@contextmanager
def unguarded(table: str) -> Iterator[CursorWrapper]:
    """Switch a table's triggers off, as only the database's owner can."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield cursor
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
            return
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [table])
        triggers = cursor.fetchall()
        for name, _ in triggers:
            cursor.execute(f"DROP TRIGGER {name}")
        yield cursor
        for _, statement in triggers:
            cursor.execute(statement)
