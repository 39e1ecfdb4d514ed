"""Where the process of a preview runs: by bubblewrap, without network, other processes, and almost without a disk."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Where people and services keep what is theirs. Programs and libraries lie elsewhere, or are bound once more.
PRIVATE: Final = ("/boot", "/etc", "/home", "/media", "/mnt", "/root", "/run", "/srv", "/var")
# Of those, what the loader of libraries and the clock need.
PUBLIC: Final = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime")


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Where workers run: `hidden` folders they must not see, besides the usual ones and this server's own."""

    hidden: tuple[Path, ...] = ()


def sandboxed(sandbox: Sandbox, program: Sequence[str], *, memory_bytes: int) -> list[str]:
    """Return the command that runs Python with the arguments `program`; `memory_bytes` is what it may write to /tmp.

    Without bubblewrap it is the program alone.
    """
    # By its real path: nothing can be laid over a link, should the environment be one.
    prefix, python = Path(sys.prefix).resolve(), Path(sys.executable)
    if python.is_relative_to(sys.prefix):
        python = prefix / python.relative_to(sys.prefix)
    bubblewrap = shutil.which("bwrap")
    if bubblewrap is None:
        return [str(python), *program]
    private = [folder for folder in map(Path, PRIVATE) if folder.is_dir() and not folder.is_symlink()]
    hidden = [part for folder in (*private, ROOT, *sandbox.hidden) for part in ("--tmpfs", str(folder))]
    # Once more after what is hidden, which the program may lie below.
    needed = [ROOT / "datasets_app", prefix, *_homes(python)]
    shown = [part for path in needed for part in ("--ro-bind", str(path), str(path))]
    public = [part for path in PUBLIC for part in ("--ro-bind-try", path, path)]
    return [
        bubblewrap,
        *("--unshare-net", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--cap-drop", "ALL"),
        *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--size", str(memory_bytes)),
        *("--tmpfs", "/tmp"),  # noqa: S108 - a new one, inside the sandbox
        *hidden,
        *shown,
        *public,
        *("--chdir", str(ROOT), "--"),
        *(str(python), *program),
    ]


def _homes(python: Path) -> Iterator[Path]:
    """Yield the folders of the Python that an environment was made from, by all names that lead to it."""
    yield Path(sys.base_prefix)
    while python.is_symlink():
        python = python.parent / python.readlink()
        yield python.parent.parent
    yield python.resolve().parent.parent
