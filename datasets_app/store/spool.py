"""A stack of row lists that rests on disk, so that the rows of open directories need no memory."""

import marshal
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self


class Chunk(NamedTuple):
    """Where one list of rows lies in the spool, in bytes."""

    offset: int
    length: int


class Spool:
    """Lists of plain tuples in one nameless temporary file in `folder`; the file is made when first needed."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._file: BinaryIO | None = None
        self._end = 0

    def push(self, rows: list[Any]) -> Chunk:
        """Write `rows` on top of the stack."""
        data = marshal.dumps(rows)
        if self._file is None:
            if self._folder is not None:
                # A worker that never took an upload has no staging folder yet.
                self._folder.mkdir(parents=True, exist_ok=True)
            # It lives as long as the spool, whose exit closes it.
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        self._file.seek(self._end)
        self._file.write(data)
        chunk = Chunk(self._end, len(data))
        self._end += len(data)
        return chunk

    def read(self, chunk: Chunk) -> list[Any]:
        """Give the rows of a chunk that is still on the stack."""
        if self._file is None:
            raise RuntimeError("nothing was spooled")
        self._file.seek(chunk.offset)
        # Our own bytes, from a file without a name: nobody else can have written them.
        rows: list[Any] = marshal.loads(self._file.read(chunk.length))  # noqa: S302
        return rows

    def pop(self, chunk: Chunk) -> None:
        """Drop `chunk` and everything above it; its room is used again."""
        self._end = min(self._end, chunk.offset)

    def close(self) -> None:
        """Give the disk space back."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
