"""Versions as folders on this disk, which jobs see at `/input/<name>`: made once for each digest, shared by all jobs.

`MOUNTS_DIR/<hex>` holds exactly the version's files. `<hex>.json` beside it says that it is whole and durable; its
modification time is when the folder was last asked for. Whoever makes, trusts or removes a folder holds `<hex>.lock`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

from django.conf import settings

from datasets_app.errors import Conflict, OutOfSpace, Unavailable
from datasets_app.models import Directory, Job, JobDataset, Version
from datasets_app.services.content import was_collected
from datasets_app.services.copying import copy_files
from datasets_app.services.walking import walk_files
from datasets_app.store.folder import FolderWriter, remove_folder

BATCH_FILES: Final = 50_000
_WAIT_SECONDS: Final = 0.2
_TRIES: Final = 3


def materialise(version: Version, *, tick: Callable[[], None] = lambda: None) -> Path:
    """Return a read-only folder with exactly the version's files, made now unless it is there already.

    `tick` is called about once a second at most; what it raises ends the work. Raises Conflict for a version that is
    not sealed, OutOfSpace when the disk would get too full, Unavailable when stored bytes are missing or damaged.
    """
    root = version.root
    if root is None:
        raise Conflict(f"{version.label} is {version.status}: it has no files to mount yet.")
    folder = _folder(root)
    tick = _at_most_once_a_second(tick)
    with _lock(folder, tick):
        marker = _marker(folder)
        if folder.is_dir() and marker.exists():
            os.utime(marker)
            return folder
        _remove(folder)
        draft = folder.with_suffix(".building")
        try:
            copied = _build_anew(root, draft, tick)
            _sync(draft)
            draft.rename(folder)
            _write_marker(marker, {"files": root.file_count, "size": root.size, "copied": copied})
        finally:
            # A build that a crash left behind can't be told from one that failed now: neither is of use.
            remove_folder(draft)
    return folder


def trim_mounts(*, most_bytes: int | None = None) -> int:
    """Remove folders that nothing needs until the rest has at most `most_bytes` (MOUNTS_CACHE_BYTES); return how many.

    Folders of versions that are gone come first, then those that were not asked for the longest. Those of active jobs
    stay. Bytes shared with the content store don't count.
    """
    most = settings.MOUNTS_CACHE_BYTES if most_bytes is None else most_bytes
    for draft in settings.MOUNTS_DIR.glob("*.building"):
        _remove_abandoned(draft)
    found = []
    for marker in settings.MOUNTS_DIR.glob("*.json"):
        folder = marker.with_suffix("")
        with suppress(FileNotFoundError):
            used, copied = marker.stat().st_mtime, json.loads(marker.read_text())["copied"]
            found.append((_is_wanted(folder), used, folder, copied))
    total = sum(copied for *_, copied in found)
    removed = 0
    for wanted, _, folder, copied in sorted(found):
        if (not wanted or total > most) and _remove_unused(folder):
            total -= copied
            removed += 1
    return removed


def mount_path(digest: str) -> Path:
    """Return where the folder of a version with this digest ("sha256:<hex>") is, or would be."""
    return Path(settings.MOUNTS_DIR) / digest.removeprefix("sha256:")


def _build_anew(root: Directory, draft: Path, tick: Callable[[], None]) -> int:
    """Build, and begin again when a pack was emptied by compaction, and then collected, since the rows were read."""
    for _ in range(_TRIES - 1):
        try:
            return _build(root, draft, tick)
        except Unavailable as error:
            if not was_collected(error):
                raise
    return _build(root, draft, tick)


def _build(root: Directory, draft: Path, tick: Callable[[], None]) -> int:
    """Write all files; return the bytes that had to be copied."""
    remove_folder(draft)

    def look() -> None:
        tick()
        _check_space(draft)

    files = walk_files(root)
    count = size = copied = 0
    with FolderWriter(draft) as writer:
        while batch := list(islice(files, BATCH_FILES)):
            look()
            copied += copy_files(batch, writer, look)
            count += len(batch)
            size += sum(file.size for file in batch)
        if (count, size) != (root.file_count, root.size):
            message = f"{root} has {root.file_count} files of {root.size} bytes, but its rows list {count} of {size}"
            raise RuntimeError(message)
    return copied


def _check_space(draft: Path) -> None:
    if shutil.disk_usage(draft.parent).free >= settings.DISK_RESERVE_BYTES:
        return
    trim_mounts(most_bytes=0)
    if shutil.disk_usage(draft.parent).free < settings.DISK_RESERVE_BYTES:
        raise OutOfSpace("The server's disk is too full to lay out the datasets of this job.")


def _remove_unused(folder: Path) -> bool:
    """Remove the folder, unless an active job uses it or somebody holds it."""
    try:
        with _lock(folder, _give_up):
            # Asked under the lock: a job's row is there before its folder is, so none can begin to use it unseen.
            if JobDataset.objects.filter(digest=f"sha256:{folder.name}", job__status__in=Job.ACTIVE).exists():
                return False
            _remove(folder)
    except BlockingIOError:
        return False
    return True


def _remove_abandoned(draft: Path) -> None:
    """Remove what a killed worker had begun; whoever still builds holds the lock."""
    with suppress(BlockingIOError), _lock(draft.with_suffix(""), _give_up):
        remove_folder(draft)


def _is_wanted(folder: Path) -> bool:
    rows = Version.objects.filter(root__digest=bytes.fromhex(folder.name), deleted_at=None)
    return rows.filter(dataset__deleted_at=None).exists()


def _folder(root: Directory) -> Path:
    base = Path(settings.MOUNTS_DIR)
    base.mkdir(parents=True, exist_ok=True)
    return base / root.hex


def _marker(folder: Path) -> Path:
    return folder.with_suffix(".json")


def _remove(folder: Path) -> None:
    # The marker first: without it the folder counts as not there.
    _marker(folder).unlink(missing_ok=True)
    remove_folder(folder)


def _write_marker(marker: Path, content: dict[str, int]) -> None:
    draft = marker.with_suffix(".marking")
    draft.write_text(json.dumps(content))
    _sync(draft)
    draft.rename(marker)


@contextmanager
def _lock(folder: Path, tick: Callable[[], None]) -> Iterator[None]:
    """Hold the folder's lock; the lock's file stays, since removing it would let two hold "the" lock."""
    with folder.with_suffix(".lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                tick()
                time.sleep(_WAIT_SECONDS)
        yield


def _give_up() -> None:
    raise BlockingIOError


def _sync(path: Path) -> None:
    """Make the whole file system durable at once: far cheaper than thousands of files one by one."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed")
    finally:
        os.close(descriptor)


def _at_most_once_a_second(tick: Callable[[], None]) -> Callable[[], None]:
    last = 0.0

    def maybe() -> None:
        nonlocal last
        if time.monotonic() - last >= 1:
            last = time.monotonic()
            tick()

    return maybe
