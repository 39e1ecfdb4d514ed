"""Bytes on their way out: one file or a part of it, a folder or a version as tar or zip, the list of its files."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datasets_app.errors import Conflict, ErrorItem, Invalid, NotFound, Unavailable
from datasets_app.models import Directory, File, User, Version
from datasets_app.permissions import require
from datasets_app.services import content
from datasets_app.services.browsing import find_directory
from datasets_app.services.walking import WalkedFile, find_files, walk_files
from datasets_app.store.digest import BLOCK_BYTES
from datasets_app.store.zips import zip_parts, zip_size

TAR_RECORD = 512
MOST_PATHS = 1000
# Of more files the walk that tells the length would take longer than people wait.
SIZED_FILES = 20_000


class Download(NamedTuple):
    """A stream in blocks of about 256 KiB, and its length in bytes where it is known."""

    parts: Iterator[bytes]
    size: int | None


def sealed_root(actor: User, *, version: Version) -> Directory:
    """Return the root of a version that can be read; Conflict while it is not sealed."""
    require(actor, "version.view", version)
    if version.root is None:
        raise Conflict(f"{version.label} is {version.status}: its files can be read once it is sealed.")
    return version.root


def read_file(file: File, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Bytes of a file that the caller may read, in blocks of at most 256 KiB."""
    return content.read_blob(file.blob, offset=offset, length=length)


def read_files(actor: User, *, version: Version, paths: Sequence[str]) -> Download:
    """Return up to 1000 files back to back, in the order of `paths`.

    NotFound names every path that is no file of the version. Files that lie next to each other are read as one.
    """
    root = sealed_root(actor, version=version)
    if not 1 <= len(paths) <= MOST_PATHS:
        raise Invalid(
            f"Read 1 to {MOST_PATHS} files at a time.", errors=[{"field": "paths", "detail": f"{len(paths)} paths"}]
        )
    found = find_files(root, paths)
    missing: list[ErrorItem] = [{"path": path, "detail": "not a file"} for path in paths if path not in found]
    if missing:
        raise NotFound(f"{len(missing)} paths are no files of {version.label}.", errors=missing)
    pieces = [
        content.StoredSlice(row.blob_id, row.size, content.Place(row.pack_key, row.offset))
        for row in map(found.get, paths)
        if row
    ]
    return Download(_blocks(content.read_slices(pieces)), sum(piece.size for piece in pieces))


def tar_stream(actor: User, *, version: Version, path: str = "") -> Download:
    """Return a folder (default: all of the version) as a POSIX (pax) tar; equal folders give equal bytes."""
    root = _folder(actor, version, path)
    # The headers alone tell the length.
    size = sum(map(len, _tar_parts(root, heads_only=True))) + root.size if root.file_count <= SIZED_FILES else None
    return Download(_blocks(_tar_parts(root)), size)


def zip_stream(actor: User, *, version: Version, path: str = "") -> Download:
    """Return a folder (default: all of the version) as a ZIP64 without compression; equal folders give equal bytes."""
    root = _folder(actor, version, path)
    size = zip_size((file.path, file.size) for file in _walk_all(root)) if root.file_count <= SIZED_FILES else None
    return Download(_blocks(zip_parts(_zip_members(root))), size)


def csv_lines(actor: User, *, version: Version) -> Iterator[str]:
    """List the version's files as CSV (RFC 4180) with a header: path, size in bytes, SHA-256 in hex; in tree order."""
    root = sealed_root(actor, version=version)
    return _csv_lines(root)


def _csv_lines(root: Directory) -> Iterator[str]:
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(("path", "size", "sha256"))
    for file in walk_files(root):
        writer.writerow((file.path, file.size, file.sha256.hex()))
        if sink.tell() > BLOCK_BYTES:
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def _folder(actor: User, version: Version, path: str) -> Directory:
    root = sealed_root(actor, version=version)
    return find_directory(actor, version=version, path=path) if path.strip("/") else root


def _tar_parts(root: Directory, *, heads_only: bool = False) -> Iterator[bytes]:
    """Give the parts of a tar; with `heads_only`, all of it but the bytes of the files."""
    written = 0
    for file in _walk_all(root):
        member = tarfile.TarInfo(file.path)
        member.size = file.size
        member.mode = 0o444
        header = member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        yield header
        if not heads_only:
            yield from _file_bytes(file)
        padding = -file.size % TAR_RECORD
        yield bytes(padding)
        written += len(header) + file.size + padding
    # Two empty records end it; tar pads to whole blocks of 20 records.
    yield bytes(2 * TAR_RECORD + -(written + 2 * TAR_RECORD) % tarfile.RECORDSIZE)


def _zip_members(root: Directory) -> Iterator[tuple[str, int, Iterator[bytes]]]:
    for file in _walk_all(root):
        yield file.path, file.size, _file_bytes(file)


def _walk_all(root: Directory) -> Iterator[WalkedFile]:
    """Walk all files; Unavailable after the last one when some were missing."""
    count = 0
    for file in walk_files(root):
        count += 1
        yield file
    if count != root.file_count:
        # Purged meanwhile: better broken off than whole to look at.
        raise Unavailable("This version was removed while it was read.")


def _file_bytes(file: WalkedFile) -> Iterator[bytes]:
    place = content.Place(file.pack_key, file.offset)
    return content.read_slice(place, blob_id=file.blob_id, length=file.size)


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
