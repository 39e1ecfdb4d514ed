"""Compare what a run uses with what it may use."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from datasets_app.runners import processes
from datasets_app.runners.base import Limits

_DISK_LOOK_SECONDS: Final = 1.0
_BLOCK: Final = 512
_LEAST_FREE_INODES: Final = 10_000


class Guard:
    """Watches one run from its start; each cause is a sentence for the user."""

    def __init__(self, limits: Limits, output_dir: Path, *, disk_reserve_bytes: int) -> None:
        self._limits = limits
        self._output_dir = output_dir
        self._disk_reserve_bytes = disk_reserve_bytes
        self._began = time.monotonic()
        self._next_disk_look = 0.0

    @property
    def cpu_cause(self) -> str:
        """What is said of a run that used up its CPU time."""
        return f"Used up its CPU time of {self._limits.cpu_seconds} seconds."

    @property
    def output_cause(self) -> str:
        """What is said of a run that wrote too much."""
        return f"Wrote more than its output limit of {format_bytes(self._limits.output_bytes or 0)}."

    def look(self, outer: int, root: int | None) -> str:
        """Return why the run has to end, or "". `outer` is the process outside, `root` the first one inside."""
        limits = self._limits
        if limits.time_limit_seconds is not None and time.monotonic() - self._began > limits.time_limit_seconds:
            return f"Reached its time limit of {limits.time_limit_seconds} seconds."
        # The outer process has waited for the inside once all is over, so its count is complete.
        if limits.cpu_seconds is not None and processes.cpu_seconds(outer) > limits.cpu_seconds:
            return self.cpu_cause
        if limits.memory_bytes is not None and root is not None and self._memory(root) > limits.memory_bytes:
            return f"Killed for memory: used more than its limit of {format_bytes(limits.memory_bytes)}."
        return self._look_at_disk()

    def _memory(self, root: int) -> int:
        """Bytes of memory; page cache does not count, since the kernel takes it back when it is needed."""
        in_files = sum(_used(Path(f"/proc/{root}/root{target}")) for target in ("/tmp", "/dev/shm"))  # noqa: S108
        quick = processes.quick_memory(root)
        if quick.private + max(quick.shared, in_files) <= (self._limits.memory_bytes or 0):
            return 0
        exact = processes.exact_memory(root)
        # Shared memory that processes have mapped is mostly those very files.
        return exact.private + max(exact.shared, in_files)

    def _look_at_disk(self) -> str:
        began = time.monotonic()
        if began < self._next_disk_look:
            return ""
        disk = os.statvfs(self._output_dir)
        # Some file systems don't count inodes and report none at all.
        short_of_inodes = disk.f_files > 0 and disk.f_favail < _LEAST_FREE_INODES
        if short_of_inodes or disk.f_bavail * disk.f_frsize < self._disk_reserve_bytes:
            return "Ended because the server's disk is nearly full."
        too_much = self._limits.output_bytes is not None and _size_of(self._output_dir) > self._limits.output_bytes
        # A folder of very many files takes long to add up.
        self._next_disk_look = began + max(_DISK_LOOK_SECONDS, 20 * (time.monotonic() - began))
        return self.output_cause if too_much else ""


def format_bytes(size: int) -> str:
    """Write bytes in the largest binary unit that leaves a short number."""
    value = float(size)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:  # noqa: PLR2004
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} TiB"


def _used(path: Path) -> int:
    with suppress(OSError):
        disk = os.statvfs(path)
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize
    return 0


def _size_of(folder: Path) -> int:
    """Bytes on disk below a folder that a job changes meanwhile; links are neither followed nor counted twice."""
    total = 0
    linked = set()
    for _, _, names, descriptor in os.fwalk(folder):
        for name in names:
            with suppress(OSError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
                    if found.st_ino in linked:
                        continue
                    linked.add(found.st_ino)
                total += found.st_blocks * _BLOCK
    return total
