"""Write many files into a new folder, by descriptors of directories, so that no path is too long for the system."""

from __future__ import annotations

import os
import subprocess
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

FILE_MODE: Final = 0o444
DIRECTORY_MODE: Final = 0o555
_BUILDING_MODE: Final = 0o700
_OPEN_DIRECTORIES: Final = 64
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderWriter:
    """Makes files, and the directories above them, in `root`, which it makes. When it is closed, all is read-only."""

    def __init__(self, root: Path) -> None:
        root.mkdir(mode=_BUILDING_MODE)
        self._root = os.open(root, _OPEN)
        # The files come in about the order of the tree, so that few directories are in use at a time.
        self._open: OrderedDict[str, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            _close_read_only(self._open.popitem()[1])
        _close_read_only(self._root)

    def create(self, path: str) -> int:
        """Make an empty file at `path` and return its descriptor; the caller writes and closes it."""
        parent, name = self._place(path)
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        # Whatever the umask of the server: the job has another uid.
        os.fchmod(descriptor, FILE_MODE)
        return descriptor

    def link(self, source: Path, path: str, *, size: int) -> bool:
        """Make `path` a hard link to a file of `size` bytes. False, and nothing made, where that can't be done."""
        try:
            if source.stat().st_size != size:
                return False
            parent, name = self._place(path)
            os.link(source, name, dst_dir_fd=parent)
        except OSError:
            # Another disk (EXDEV), too many links (EMLINK), a file system without links (EPERM): the caller copies.
            return False
        return True

    def link_within(self, first: str, path: str) -> bool:
        """Make `path` a hard link to the file `first`, which was made before. False where that can't be done."""
        source_parent, source = self._place(first)
        held = os.dup(source_parent)
        try:
            parent, name = self._place(path)
            os.link(source, name, src_dir_fd=held, dst_dir_fd=parent, follow_symlinks=False)
        except OSError:
            return False
        finally:
            os.close(held)
        return True

    def _place(self, path: str) -> tuple[int, str]:
        parent, _, name = path.rpartition("/")
        return self._directory(parent), name

    def _directory(self, path: str) -> int:
        """Return a descriptor of the directory, made now if need be; it stays open until many others were asked for."""
        missing: list[str] = []
        # No recursion: a path may have two thousand parts.
        while path and path not in self._open:
            path, _, name = path.rpartition("/")
            missing.append(name)
        if path:
            self._open.move_to_end(path)
        descriptor = self._open[path] if path else self._root
        while missing:
            name = missing.pop()
            with suppress(FileExistsError):
                os.mkdir(name, _BUILDING_MODE, dir_fd=descriptor)
            descriptor = os.open(name, _OPEN, dir_fd=descriptor)
            os.fchmod(descriptor, _BUILDING_MODE)
            path = f"{path}/{name}" if path else name
            self._open[path] = descriptor
            if len(self._open) > _OPEN_DIRECTORIES:
                _close_read_only(self._open.popitem(last=False)[1])
        return descriptor


def remove_folder(folder: Path) -> None:
    """Remove a folder, its read-only directories too; nothing happens when there is none."""
    if not folder.exists():
        return
    # Programs of the system, since Python's own walks recurse, and fail on trees that are very deep.
    if os.geteuid() != 0:
        subprocess.run(["chmod", "-R", "u+rwx", "--", folder], check=True)
    subprocess.run(["rm", "-rf", "--", folder], check=True)


def _close_read_only(descriptor: int) -> None:
    os.fchmod(descriptor, DIRECTORY_MODE)
    os.close(descriptor)
