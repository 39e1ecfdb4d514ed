"""A stack of row lists that rests on disk, so that the rows of open directories need no memory."""

import marshal
import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self


class Chunk(NamedTuple):
    """Where one list of rows lies in the spool, in bytes."""

    offset: int
    length: int


class Spool:
    """Lists of plain tuples in one nameless temporary file in `folder`; the file is made when first needed."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._end = 0

    def push(self, rows: list[Any]) -> Chunk:
        """Write `rows` on top of the stack."""
        data = marshal.dumps(rows)
        if self._descriptor is None:
            descriptor, name = tempfile.mkstemp(prefix="spool-", dir=self._folder)
            self._descriptor = descriptor
            Path(name).unlink()
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self._end + len(data) - len(view))
            view = view[written:]
        chunk = Chunk(self._end, len(data))
        self._end += len(data)
        return chunk

    def read(self, chunk: Chunk) -> list[Any]:
        """Give the rows of a chunk that is still on the stack."""
        if self._descriptor is None:
            raise RuntimeError("nothing was spooled")
        # Our own bytes, from a file without a name: nobody else can have written them.
        rows: list[Any] = marshal.loads(os.pread(self._descriptor, chunk.length, chunk.offset))  # noqa: S302
        return rows

    def pop(self, chunk: Chunk) -> None:
        """Drop `chunk` and everything above it; its room is used again."""
        self._end = min(self._end, chunk.offset)

    def close(self) -> None:
        """Give the disk space back."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
