"""Running SHA-256 states of staged files, so that a file sent in many requests to one process is hashed once."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    # The type exists in the stubs only.
    from hashlib import _Hash


class HashState(NamedTuple):
    """A SHA-256 over the first `offset` bytes of a file. Whoever took it may update it."""

    offset: int
    sha256: "_Hash"

    def copy(self) -> "HashState":
        """Give a state that can be updated without changing this one."""
        return HashState(self.offset, self.sha256.copy())


class SliceHasher:
    """SHA-256 of each of the files that lie back to back in a bundle, over bytes that come in blocks of any size."""

    def __init__(self, sizes: Iterable[int]) -> None:
        """`sizes` of the files in bytes, in their order."""
        self._sizes = iter(sizes)
        self._digests: list[bytes] = []
        self._begin()

    def _begin(self) -> None:
        self._hasher: _Hash | None = None
        self._missing = 0
        for size in self._sizes:
            if size:
                self._missing = size
                return
            self._digests.append(hashlib.sha256().digest())

    def update(self, data: memoryview) -> None:
        """Take the next bytes."""
        while data and self._missing:
            part = data[: self._missing]
            data = data[len(part) :]
            if self._hasher is None:
                self._hasher = hashlib.sha256(part)
            else:
                self._hasher.update(part)
            self._missing -= len(part)
            if not self._missing:
                self._digests.append(self._hasher.digest())
                self._begin()

    @property
    def digests(self) -> list[bytes]:
        """The digests of the files that have come whole."""
        return self._digests


class Hashers:
    """The states of the uploads seen last by this process, at most `limit`; safe to share between threads.

    A staged file only grows, except that a refused request is cut off again down to where it began. So a state that
    was put here after a request stays true for its part of the file, whatever other processes append.
    """

    def __init__(self, limit: int = 256) -> None:
        self._limit = limit
        self._states: OrderedDict[UUID, HashState] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, upload: UUID, offset: int) -> HashState | None:
        """Take the state out if it stands at `offset`; a new one for offset 0."""
        if offset == 0:
            self.forget(upload)
            return HashState(0, hashlib.sha256())
        with self._lock:
            state = self._states.get(upload)
            if state is None or state.offset != offset:
                return None
            return self._states.pop(upload)

    def nearest(self, upload: UUID, offset: int) -> HashState:
        """Give a copy of the state that covers most of the first `offset` bytes, perhaps none of them."""
        with self._lock:
            state = self._states.get(upload)
            if state is None or state.offset > offset:
                return HashState(0, hashlib.sha256())
            return state.copy()

    def put(self, upload: UUID, state: HashState) -> None:
        """Keep a state, at the cost of the one that was not used for longest."""
        with self._lock:
            self._states[upload] = state
            self._states.move_to_end(upload)
            if len(self._states) > self._limit:
                self._states.popitem(last=False)

    def forget(self, upload: UUID) -> None:
        """Drop what is known of an upload."""
        with self._lock:
            self._states.pop(upload, None)
