"""Read and signal a tree of processes through Linux's `/proc`."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

PROC: Final = Path("/proc")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
# Positions in /proc/PID/stat after the command's closing parenthesis (proc_pid_stat(5) counts from 1, two before it).
_CPU_FIELDS: Final = slice(11, 15)
_START_FIELD: Final = 19


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory: private to processes (swapped ones too), and shared between them."""

    private: int = 0
    shared: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.private + other.private, self.shared + other.shared)


def walk_tree(root: int) -> Iterator[int]:
    """Yield the process and all its descendants."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        with suppress(OSError):
            for thread in (PROC / str(pid) / "task").iterdir():
                with suppress(OSError):
                    waiting.extend(map(int, (thread / "children").read_text().split()))


def cpu_seconds(root: int) -> float:
    """CPU time of the tree, with that of the processes it has waited for."""
    return sum(sum(map(int, fields[_CPU_FIELDS])) for pid in walk_tree(root) if (fields := _stat(pid))) / _TICKS


def quick_memory(root: int) -> Memory:
    """Memory of the tree, where pages shared by several processes count once for each: never too low, and cheap."""
    return sum((_fields(pid, "status", ("RssAnon", "VmSwap"), ("RssShmem",)) for pid in walk_tree(root)), Memory())


def exact_memory(root: int) -> Memory:
    """Memory of the tree, where each page counts once; costs time in proportion to the memory in use."""
    names = ("Pss_Anon", "SwapPss"), ("Pss_Shmem",)
    return sum((_fields(pid, "smaps_rollup", *names) for pid in walk_tree(root)), Memory())


def identify(pid: int) -> dict[str, Any]:
    """Return plain JSON that names this very process, not a later one with the same number."""
    return {**_place(), "boot": _boot_id(), "pid": pid, "start": _start(pid)}


def kill_identified(identity: Mapping[str, Any]) -> bool:
    """SIGKILL the process that `identify` named; False when it is gone or lives on another machine."""
    with suppress(KeyError, OSError):
        # The descriptor pins the process, so that what was compared is what gets the signal.
        descriptor = os.pidfd_open(identity["pid"])
        try:
            if identify(identity["pid"]).items() <= identity.items():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                return True
        finally:
            os.close(descriptor)
    return False


def is_gone(identity: Mapping[str, Any]) -> bool:
    """Whether the process that `identify` named has certainly ended; False where this can't be known from here."""
    if not identity or not _place().items() <= identity.items():
        return False
    return bool(identity["boot"] != _boot_id() or _start(identity["pid"]) != identity["start"])


def terminate_below(root: int) -> None:
    """SIGTERM to every descendant, but not to the process itself."""
    for pid in walk_tree(root):
        if pid != root:
            with suppress(OSError):
                os.kill(pid, signal.SIGTERM)


@cache
def _place() -> dict[str, str]:
    """Where process numbers mean what they mean here: containers of one machine have numbers of their own."""
    return {"host": socket.gethostname(), "namespace": str((PROC / "self/ns/pid").readlink())}


def _start(pid: int) -> int:
    """When the process started, in ticks since the machine did; 0 when there is none (a zombie has ended)."""
    fields = _stat(pid)
    return int(fields[_START_FIELD]) if fields and fields[0] != "Z" else 0


@cache
def _boot_id() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str]:
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _fields(pid: int, file: str, private: tuple[str, ...], shared: tuple[str, ...]) -> Memory:
    try:
        lines = (PROC / str(pid) / file).read_text(errors="replace").splitlines()
    except OSError:
        return Memory()
    values = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}

    def total(names: tuple[str, ...]) -> int:
        return sum(int(values[name][0]) * 1024 for name in names if name in values)

    return Memory(total(private), total(shared))
