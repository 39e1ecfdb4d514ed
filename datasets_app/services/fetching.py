"""What the threads of a copier do: read objects, again where that may help, and hash them. No database here."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from django.conf import settings

from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.patience import OutageError, Patience, StoppedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.services.import_parts import PartFile, PartFiles
    from datasets_app.services.landing import LargeFile
    from datasets_app.sources.base import Data, SourceFile, Tree

# These are not about one object: with the others, it would be the same.
FATAL: Final = frozenset({Cause.CREDENTIALS, Cause.FORBIDDEN_NETWORK, Cause.GATED})
# Where new objects were put among the old ones, what was one page has become several.
PAGES_AGAIN: Final = 3


class Fetched(NamedTuple):
    """What came of one small file: what was read (`source`), its bytes and SHA-256; or the reason that nothing came."""

    file: PartFile
    source: SourceFile
    data: Data = b""
    sha256: bytes = b""
    error: Exception | None = None


class Again:
    """A second look at the objects of a part, for those that changed after they were listed: at most one listing."""

    def __init__(self, tree: Tree, patience: Patience, part: PartFiles) -> None:
        self._tree = tree
        self._patience = patience
        self._part = part
        self._lock = threading.Lock()
        self._found: dict[str, SourceFile] | None = None

    def look(self, source: SourceFile) -> SourceFile:
        """Return the object as it is now. Raises SourceError when it is gone."""
        with self._lock:
            if self._found is None:
                self._found = self._patience.call(self._list)
        fresh = self._found.get(source.path)
        if fresh is None:
            raise SourceError(Cause.MISSING, "It was listed, but is no longer there.")
        return fresh

    def _list(self) -> dict[str, SourceFile]:
        wanted = {file.source.path for file in self._part.files}
        found: dict[str, SourceFile] = {}
        for number, page in enumerate(self._tree.list_files(after=self._part.after), start=1):
            found |= {file.path: file for file in page.files if file.path in wanted}
            if len(found) == len(wanted) or number == PAGES_AGAIN:
                break
        return found


def fetch_files(tree: Tree, patience: Patience, files: Sequence[PartFile], again: Again) -> list[Fetched]:
    """Read small files one after another; every one has an outcome."""
    outcomes: list[Fetched] = []
    for file in files:
        try:
            fetched = _fetch(tree, patience, file, again)
        except SourceError as error:
            if error.cause in FATAL:
                patience.end(error)
            outcomes.append(Fetched(file, file.source, error=error))
        except (OutageError, StoppedError) as error:
            outcomes += [Fetched(left, left.source, error=error) for left in files[len(outcomes) :]]
            break
        else:
            outcomes.append(fetched)
    return outcomes


def fetch_range(tree: Tree, patience: Patience, large: LargeFile, offset: int, length: int) -> Data:
    """Read a range of a large file and write it where it belongs. Raises SourceError, OutageError, StoppedError."""
    data = patience.call(_exactly, tree, large.source, offset, length)
    large.write(offset, data)
    return data


def _exactly(tree: Tree, source: SourceFile, offset: int, length: int) -> Data:
    data = tree.fetch_range(source, offset, length)
    if len(data) != length:
        raise SourceError(Cause.DAMAGED, f"Of {length} bytes that were asked for, {len(data)} came.")
    return data


def _fetch(tree: Tree, patience: Patience, file: PartFile, again: Again) -> Fetched:
    try:
        return patience.call(_whole, tree, file, file.source)
    except SourceError as error:
        if error.cause != Cause.CHANGED:
            raise
    fresh = again.look(file.source)
    if fresh.size >= settings.LARGE_FILE_BYTES:
        raise SourceError(Cause.CHANGED, f"It grew to {fresh.size} bytes after it was listed. Import it again.")
    return patience.call(_whole, tree, file, fresh)


def _whole(tree: Tree, file: PartFile, source: SourceFile) -> Fetched:
    # Of an empty object, all is known.
    data = tree.fetch(source) if source.size else b""
    digest = hashlib.sha256(data).digest()
    if len(data) != source.size:
        raise SourceError(Cause.DAMAGED, f"It was listed with {source.size} bytes, but {len(data)} came.")
    if source.sha256 not in {None, digest}:
        raise SourceError(Cause.DAMAGED, "The bytes that came are not those of the SHA-256 that was listed.")
    return Fetched(file, source, data, digest)
