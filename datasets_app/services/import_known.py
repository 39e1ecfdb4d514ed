"""What need not be fetched: bytes that the team has, told by a listed SHA-256 or by an unchanged fingerprint."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from datasets_app.services import content

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets_app.models import Connection
    from datasets_app.sources.base import SourceFile

# People paste s3://bucket/folder as well.
_SCHEME: Final = re.compile(r"^[a-z0-9]+://")


def fingerprint(source_path: str, file: SourceFile) -> bytes | None:
    """SHA-256 over where the object is and what changes with its bytes; None where its store tells nothing such.

    The place is the whole path, however it is divided into source path and rest: a source path may be one object.
    """
    if not file.tag:
        return None
    root = _root(source_path)
    whole = root if root.endswith(f"/{file.key}") else f"{root}/{file.path}"
    place = f"{whole}\0{file.size}\0{file.tag}"
    return hashlib.sha256(place.encode("utf-8", "surrogatepass")).digest()


@lru_cache(maxsize=8)
def _root(source_path: str) -> str:
    return _SCHEME.sub("", source_path).strip("/")


def find_known(connection: Connection, source_path: str, files: Mapping[str, SourceFile]) -> dict[str, int]:
    """Blob ids by path, of the files whose bytes the connection's team can read already.

    Ask inside the transaction that links them.
    """
    team = connection.team
    claimed = {path: file.sha256 for path, file in files.items() if file.sha256 is not None}
    by_digest = content.find_readable(((digest, files[path].size) for path, digest in claimed.items()), team=team)
    known = {path: by_digest[digest] for path, digest in claimed.items() if digest in by_digest}
    marks = {
        mark: path
        for path, file in files.items()
        if path not in known and (mark := fingerprint(source_path, file)) is not None
    }
    for mark, (blob, size) in content.find_remembered(connection_id=connection.pk, marks=marks, team=team).items():
        path = marks[mark]
        # An object whose listing claims other bytes than were remembered has to be read.
        if size == files[path].size and path not in claimed:
            known[path] = blob
    return known
