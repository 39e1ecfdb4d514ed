"""The parts of an import: how the files that have to be fetched are divided among workers, and kept in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
import zstandard
from django.conf import settings

from datasets_app.models import ImportPart
from datasets_app.models.bulk import insert_rows
from datasets_app.sources.base import PAGE_FILES, SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Of small files: what one worker takes up at a time, and fetches anew at most when it dies.
PART_BYTES: Final = 64 * 2**20


class PartFile(NamedTuple):
    """An object to fetch, and the path of the version that it is for."""

    path: str
    source: SourceFile


class PartFiles(NamedTuple):
    """What a part's row holds: `after` is the cursor from which a listing gives these files again."""

    after: str
    files: list[PartFile]


def insert_parts(run_id: int, files: Iterable[PartFile], *, after: str) -> None:
    """Write the parts that hold these files of one page, inside the caller's transaction."""
    rows = [
        (
            run_id,
            ImportPart.Status.WAITING,
            len(part),
            sum(f.source.size for f in part),
            pack_files(PartFiles(after, part)),
            0,
            0,
        )
        for part in divide(files)
    ]
    insert_rows(ImportPart, ("run_id", "status", "file_count", "size", "files", "attempts", "staged_size"), rows)


def divide(files: Iterable[PartFile]) -> Iterator[list[PartFile]]:
    """Keep the order: large files by themselves, small ones together."""
    part: list[PartFile] = []
    size = 0
    for file in files:
        if is_large(file.source):
            yield [file]
            continue
        if part and (len(part) == PAGE_FILES or size + file.source.size > PART_BYTES):
            yield part
            part, size = [], 0
        part.append(file)
        size += file.source.size
    if part:
        yield part


def is_large(file: SourceFile) -> bool:
    """Whether it is stored by itself, and read in ranges."""
    return file.size >= settings.LARGE_FILE_BYTES


def pack_files(part: PartFiles) -> bytes:
    """Make what `ImportPart.files` holds."""
    items = [(f.path, *f.source._replace(sha256=None), f.source.sha256 and f.source.sha256.hex()) for f in part.files]
    return zstandard.compress(orjson.dumps([part.after, items]), 3)


def unpack_files(packed: bytes) -> PartFiles:
    """Read what `pack_files` made."""
    after, items = orjson.loads(zstandard.decompress(packed))
    files = []
    for path, *fields, digest in items:
        source = SourceFile(*fields)
        files.append(PartFile(path, source._replace(sha256=bytes.fromhex(digest)) if digest else source))
    return PartFiles(after, files)
