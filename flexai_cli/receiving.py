"""Fetch files and write them: to a scratch folder first, verified, then moved to their places."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx

from flexai_cli.body import BLOCK_BYTES, read_body
from flexai_cli.chunks import PULL_FOLDER, reason_of
from flexai_cli.manifest import Listed
from flexai_cli.pipeline import LARGE_BYTES
from flexai_cli.progress import Progress
from flexai_cli.session import ANSWER_TIMEOUT, Attempt, Session

# Fetches of one file whose bytes turn out to be wrong.
MOST_ROUNDS: Final = 2


class Damaged(Exception):
    """Bytes arrived that have not the digest that they should have."""


class Receiver:
    """Fetches batches of one version into a folder; may be used by many threads."""

    def __init__(  # noqa: PLR0913
        self, session: Session, team: str, dataset: str, number: int, directory: Path, progress: Progress
    ) -> None:
        self._session = session
        self._parts = ("teams", team, "datasets", dataset, "versions", number, "files")
        self._directory = os.path.abspath(directory)  # noqa: PTH100
        self._scratch = f"{self._directory}/{PULL_FOLDER}"
        self._progress = progress
        self._lock = threading.Lock()
        self._made: set[str] = set()
        self.failures: dict[str, str] = {}
        self.count = 0

    def fetch(self, files: Sequence[Listed]) -> None:
        """Fetch one batch: one large file, or many small ones in one request."""
        if len(files) == 1 and files[0].size >= LARGE_BYTES:
            self._fetch_large(files[0])
        else:
            self._fetch_small(files)

    def _fetch_small(self, files: Sequence[Listed]) -> None:
        """Fetch files back to back; whatever was complete when the connection broke is not asked for again."""
        left = list(files)
        for attempt in self._session.attempts():
            with attempt:
                self._read_bundle(left, attempt)
                return

    def _read_bundle(self, left: list[Listed], attempt: Attempt) -> None:
        """Take files off `left` as they arrive."""
        address = self._session.path(*self._parts)
        with self._session.stream("POST", address, body={"paths": [file.path for file in left]}) as answer:
            parts = _Parts(answer.iter_raw())
            while left:
                data = parts.take(left[0].size)
                if data is None:
                    raise httpx.RemoteProtocolError("the answer ended early")
                self._keep(left.pop(0), data)
                attempt.has_moved = True

    def _keep(self, file: Listed, data: bytes) -> None:
        if hashlib.sha256(data).digest() != file.sha256:
            self._fail(file, "The bytes that arrived have not the digest that they should have.")
            return
        draft = f"{self._scratch}/{file.sha256.hex()}-{threading.get_ident()}"
        try:
            with open(draft, "wb", buffering=0) as out:  # noqa: PTH123 - once for each of a million files
                _write(out, data)
            self._place(draft, file)
        except OSError as error:
            self._fail(file, f"It can't be written: {reason_of(error)}.")

    def _fetch_large(self, file: Listed) -> None:
        """Fetch one file; what an interrupted pull has left of these very bytes is kept."""
        # Equal files are fetched at the same time, so the digest alone would not be one file's own name.
        place = hashlib.sha256(file.path.encode()).hexdigest()[:16]
        draft = f"{self._scratch}/{file.sha256.hex()}-{place}"
        for number in range(1, MOST_ROUNDS + 1):
            try:
                with self._progress.begun() as reach:
                    self._receive(file, draft, reach)
                    self._place(draft, file)
            except Damaged:
                with suppress(OSError):
                    os.unlink(draft)  # noqa: PTH108
                if number == MOST_ROUNDS:
                    self._fail(file, "The bytes that arrived have not the digest that they should have.")
            except OSError as error:
                self._fail(file, f"It can't be written: {reason_of(error)}.")
                return
            else:
                return

    def _receive(self, file: Listed, draft: str, reach: Callable[[int], None]) -> None:
        """Bring the draft to the file's size, and check its bytes."""
        hasher = hashlib.sha256()
        with open(draft, "ab+", buffering=0) as out:  # noqa: PTH123
            out.seek(0)
            reached = 0
            while block := out.read(BLOCK_BYTES):
                hasher.update(block)
                reached += len(block)
                reach(reached)
            for attempt in self._session.attempts():
                if reached >= file.size:
                    break
                with attempt:
                    for block in self._range(file, reached):
                        hasher.update(block)
                        _write(out, block)
                        reached += len(block)
                        attempt.has_moved = True
                        self._progress.moved(len(block))
                        reach(reached)
            on_disk = os.fstat(out.fileno()).st_size
        if not reached == on_disk == file.size or hasher.digest() != file.sha256:
            raise Damaged

    def _range(self, file: Listed, offset: int) -> Iterator[bytes]:
        address = self._session.path(*self._parts, file.path)
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._session.stream("GET", address, headers=headers) as answer:
            if offset and answer.status_code != httpx.codes.PARTIAL_CONTENT:
                raise Damaged
            yield from read_body(answer, ANSWER_TIMEOUT)

    def _place(self, draft: str, file: Listed) -> None:
        """Move a verified file to its place, in one step."""
        target = f"{self._directory}/{file.path}"
        folder = target.rpartition("/")[0]
        if folder not in self._made:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
            self._made.add(folder)
        os.replace(draft, target)  # noqa: PTH105
        with self._lock:
            self.count += 1
        self._progress.handled(1, file.size)
        if file.size < LARGE_BYTES:
            self._progress.moved(file.size)

    def _fail(self, file: Listed, reason: str) -> None:
        with self._lock:
            self.failures[file.path] = reason


def _write(out: io.FileIO, data: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part, and says nothing."""
    if out.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class _Parts:
    """Cuts a stream of blocks into parts of known sizes."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._block = b""
        self._start = 0

    def take(self, size: int) -> bytes | None:
        """Return the next `size` bytes; None when the stream ends before."""
        end = self._start + size
        if end <= len(self._block):
            part = self._block[self._start : end]
            self._start = end
            return part
        parts = [self._block[self._start :]]
        missing = size - len(parts[0])
        while missing > 0:
            block = next(self._blocks, None)
            if block is None:
                return None
            parts.append(block[:missing])
            self._block, self._start = block, min(missing, len(block))
            missing -= len(block)
        return b"".join(parts)
