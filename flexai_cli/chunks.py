"""Files of this machine next to each other in one folder, and what tells that one has changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

from flexai_cli.digest import Root

# Where `pull` keeps what is half fetched; never part of a dataset.
PULL_FOLDER = ".flexai-pull"


# The values of a `Stat`, by which there is less to make.
Look = tuple[int, int, int, int]


class Stat(NamedTuple):
    """What changes when a file does: size in bytes, times in nanoseconds, inode."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, found: os.stat_result) -> Stat:
        """Keep the part that matters."""
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


_mode: Final = attrgetter("st_mode")
_what_matters: Final[Callable[[os.stat_result], Look]] = attrgetter("st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
_as_stat: Final[Callable[[Look], Stat]] = partial(tuple.__new__, Stat)


@dataclass(slots=True, eq=False)
class Chunk:
    """Up to 1000 files next to each other in one folder, by name. `digests` (32 bytes each) are None until known.

    `folder` is where they are on this machine, `prefix` ("" or "a/b/") where in the dataset; `names` are theirs there,
    `own_names` those on disk; `looks` have the values of their `stats`, and need not be such. `is_all` says that the
    folder has nothing else, `root` its digest where it is known.
    """

    folder: str
    prefix: str
    names: list[str]
    own_names: list[str]
    looks: list[Look]
    digests: list[bytes | None]
    is_all: bool = False
    root: Root | None = None
    _stats: list[Stat] | None = None

    @property
    def stats(self) -> list[Stat]:
        """How the files looked. Made when first asked for: of most folders that are remembered, nobody asks."""
        if self._stats is None:
            self._stats = list(map(_as_stat, self.looks))
        return self._stats

    def path(self, index: int) -> str:
        """Return a file's path in the dataset."""
        return self.prefix + self.names[index]

    def source(self, index: int) -> str:
        """Return a file's path on this machine."""
        return f"{self.folder}/{self.own_names[index]}"


class Report(Protocol):
    """Is told what can't be taken: its path on this machine, why, and its path in the dataset if that was declared."""

    def __call__(self, source: str, reason: str, path: str = "") -> None:
        """Take note."""


def look_at_files(folder: str, names: Sequence[str]) -> list[Look] | None:
    """Look up entries of a folder; None where one of them can't be, or is no regular file."""
    try:
        if os.stat not in os.supports_dir_fd:
            found = [os.stat(f"{folder}/{name}") for name in names]  # noqa: PTH116
        else:
            # The path of the folder is looked up once, not for each of them.
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                found = [os.stat(name, dir_fd=descriptor) for name in names]
            finally:
                os.close(descriptor)
    except OSError:
        return None
    # Without a step of Python for each of a million files.
    if set(map(stat.S_IFMT, set(map(_mode, found)))) != {stat.S_IFREG}:
        return None
    return list(map(_what_matters, found))


def reason_of(error: OSError) -> str:
    """Say what the system refused, without the path, which is named beside it."""
    return error.strerror or type(error).__name__
