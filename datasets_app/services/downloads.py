"""Bytes on their way out: one file or a part of it, and a whole version as a tar stream."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from datasets_app.errors import Conflict
from datasets_app.models import Directory, File, User, Version
from datasets_app.permissions import require
from datasets_app.services import content
from datasets_app.services.walking import walk_files

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_BYTES = 2**20
TAR_RECORD = 512


def sealed_root(actor: User, *, version: Version) -> Directory:
    """Return the root of a version that can be read; Conflict while it is not sealed."""
    require(actor, "version.view", version)
    if version.root is None:
        raise Conflict(f"{version.label} is {version.status}: its files can be read once it is sealed.")
    return version.root


def read_file(file: File, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Bytes of a file that the caller may read, in blocks of at most 1 MiB."""
    return content.read_blob(file.blob, offset=offset, length=length)


def tar_stream(actor: User, *, version: Version) -> Iterator[bytes]:
    """Return the whole version as a POSIX (pax) tar, in blocks of about 1 MiB; equal versions give equal bytes."""
    root = sealed_root(actor, version=version)
    return _blocks(_tar_parts(root))


def _tar_parts(root: Directory) -> Iterator[bytes]:
    written = 0
    for file in walk_files(root):
        member = tarfile.TarInfo(file.path)
        member.size = file.size
        member.mode = 0o444
        header = member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield header
        yield from content.read_pack(key=file.pack_key, offset=file.offset, length=file.size)
        padding = -file.size % TAR_RECORD
        yield bytes(padding)
        written += len(header) + file.size + padding
    # Two empty records end it; tar pads to whole blocks of 20 records.
    yield bytes(2 * TAR_RECORD + -(written + 2 * TAR_RECORD) % tarfile.RECORDSIZE)


def _blocks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Join small parts, so that 20 kB files don't mean three writes each."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= BLOCK_BYTES:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join(waiting)
