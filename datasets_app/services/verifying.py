"""Read stored bytes again, and compare them, and the rows of trees, with their digests."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from datasets_app.errors import Unavailable
from datasets_app.models import Blob, Damage, Directory, Pack
from datasets_app.services import content, manifests
from datasets_app.services.content import Place
from datasets_app.services.trees import read_children
from datasets_app.store.digest import DIRECTORY_HEADER, directory_entry, file_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from datasets_app.models import Version


class Verdict(NamedTuple):
    """What became of a blob: None for whole, or the cause."""

    blob: Blob
    cause: Damage.Cause | None


def check_pack(pack: Pack, *, tick: Callable[[int], None]) -> Iterator[Verdict]:
    """Hash all blobs of a pack in one pass; `tick` is called with the number of bytes of each block.

    Blobs that were moved or collected meanwhile are left out. Raises Unavailable when the store does not answer.
    """
    for run in _runs(Blob.objects.filter(pack=pack).order_by("offset", "pk").iterator(1000)):
        yield from _check_run(pack, run, tick)


def check_blob(blob: Blob, place: Place, *, tick: Callable[[int], None] = lambda _size: None) -> Damage.Cause | None:
    """Hash one blob at a place; return what is wrong with it."""
    hasher = hashlib.sha256()
    try:
        for block in content.read_pack(key=place.key, offset=place.offset, length=blob.size):
            hasher.update(block)
            tick(len(block))
    except Unavailable as error:
        if not content.is_missing(error):
            raise
        return Damage.Cause.MISSING
    return None if hasher.digest() == bytes(blob.sha256) else Damage.Cause.CHANGED


def check_again(blob: Blob) -> Verdict | None:
    """Hash a blob where it is now; None when it has been collected."""
    place = content.find_place(blob.pk)
    if place is None:
        return None
    cause = check_blob(blob, place)
    # It may have been moved, and its pack collected, in between.
    if cause is not None and content.find_place(blob.pk) != place:
        return check_again(blob)
    return Verdict(blob, cause)


def check_directory(directory: Directory) -> str:
    """Compute a directory's digest, size and number of files from its rows; return what is wrong, or an empty text."""
    hasher = hashlib.sha256(DIRECTORY_HEADER)
    size = files = 0
    for child in read_children(directory.pk):
        is_file = child.file_count is None
        hasher.update((file_entry if is_file else directory_entry)(child.name, child.digest, child.size))
        size += child.size
        files += 1 if child.file_count is None else child.file_count
    if hasher.digest() != bytes(directory.digest):
        return f"the rows of directory {directory} have the digest sha256:{hasher.hexdigest()}"
    if (size, files) != (directory.size, directory.file_count):
        return f"directory {directory} has {files} files of {size} bytes, and says something else"
    return ""


def check_manifest(version: Version) -> bool:
    """Tell whether the stored manifest of a sealed version is there, whole, and of this version."""
    try:
        header = manifests.read_header(version.manifest_key)
        count = sum(1 for _ in manifests.read_files(version.manifest_key))
    except ValueError:
        return False
    except Unavailable as error:
        if not content.is_missing(error):
            raise
        return False
    return (header.get("digest"), count) == (version.digest, version.file_count)


def _runs(blobs: Iterable[Blob]) -> Iterator[list[Blob]]:
    """Cut the blobs of a pack into runs without gaps between them, which are read in one go."""
    run: list[Blob] = []
    for blob in blobs:
        if run and blob.offset != run[-1].offset + run[-1].size:
            yield run
            run = []
        run.append(blob)
    if run:
        yield run


def _check_run(pack: Pack, run: list[Blob], tick: Callable[[int], None]) -> Iterator[Verdict]:
    start, length = run[0].offset, sum(blob.size for blob in run)
    digests: list[bytes] = []
    try:
        blocks = content.read_pack(key=pack.key, offset=start, length=length)
        for digest in _digests(blocks, [blob.size for blob in run], tick):
            digests.append(digest)  # noqa: PERF402 - what came before an error is kept
    except Unavailable as error:
        if not content.is_missing(error):
            raise
    for blob, digest in zip(run, [*digests, *[b""] * len(run)], strict=False):
        if digest == bytes(blob.sha256):
            yield Verdict(blob, None)
        elif (verdict := check_again(blob)) is not None:
            # Looked at twice before it is called damaged.
            yield verdict


def _digests(blocks: Iterator[bytes], sizes: list[int], tick: Callable[[int], None]) -> Iterator[bytes]:
    """Cut a stream into pieces of these sizes; give the SHA-256 of each."""
    rest = memoryview(b"")
    for size in sizes:
        hasher, missing = hashlib.sha256(), size
        while missing:
            if not rest:
                rest = memoryview(next(blocks))
                tick(len(rest))
            hasher.update(rest[:missing])
            missing, rest = missing - len(rest[:missing]), rest[missing:]
        yield hasher.digest()
