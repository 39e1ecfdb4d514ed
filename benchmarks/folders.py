"""The folders that are sent: made once, of random bytes, and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

FILES_A_DIRECTORY = 100
# After so much was deleted, some disks are slow for a while.
REST_SECONDS = 10


@dataclass(frozen=True)
class Shape:
    """`count` files of `size` bytes each."""

    name: str
    count: int
    size: int

    @property
    def total(self) -> int:
        """Bytes of all files together."""
        return self.count * self.size

    @property
    def title(self) -> str:
        """What a table calls it."""
        size = f"{self.size // 10**6} MB" if self.size >= 10**6 else f"{self.size // 1000} kB"
        return f"{self.count:,} x {size}"


def make_folder(cache: Path, shape: Shape) -> Path:
    """Return the folder of this shape; its files are random, so that nothing deduplicates or compresses."""
    folder = cache / "data" / f"{shape.name}-{shape.count}x{shape.size}"
    if folder.exists():
        return folder
    growing = folder.with_suffix(".new")
    for index in range(shape.count):
        place = growing / f"part-{index // FILES_A_DIRECTORY:04}"
        place.mkdir(parents=True, exist_ok=True)
        with (place / f"sample-{index:06}.bin").open("wb") as file:
            missing = shape.size
            while missing:
                missing -= file.write(os.urandom(min(missing, 2**20)))
    growing.rename(folder)
    return folder


def clear(folder: Path) -> None:
    """Delete what is in the folder, for disks that can't hold what all runs leave, and let the disk come to rest."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.sync()
    time.sleep(REST_SECONDS)


def hash_folder(folder: Path) -> tuple[float, float]:
    """Wall and CPU seconds that one process of this machine needs to read the folder and hash each file by SHA-256."""
    paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
    started, used = time.perf_counter(), time.process_time()
    for path in paths:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - thousands of times
            hashlib.file_digest(file, "sha256")
    return time.perf_counter() - started, time.process_time() - used
