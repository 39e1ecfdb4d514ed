"""Files that two versions share, byte for byte: what of the training data is in the evaluation data too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from django.db import connection

from datasets_app.errors import Conflict
from datasets_app.models import Blob, Directory, File
from datasets_app.permissions import require
from datasets_app.previews.base import Ask, Preview
from datasets_app.services import preview_cache
from datasets_app.services.awaited import ask_worker, work_at
from datasets_app.services.walking import subtree_sql
from datasets_app.store.paths import KEY_SEPARATOR, from_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.models import User, Version

EXAMPLES: Final = 200
# Up to so many files together two versions are compared at once (some 100 ms); larger ones by a worker.
COMPARED_AT_ONCE: Final = 50_000
OVERLAP_TASK: Final = "datasets_app.compare_blobs"
# Empty files are equal by nature, and say nothing.
_SHARED: Final = f"""
WITH RECURSIVE ours(prefix, id) AS ({{ours}}), theirs(prefix, id) AS ({{theirs}}),
here AS (
    SELECT ours.prefix || f.name AS path, f.blob_id FROM ours
    JOIN {File._meta.db_table} f ON f.directory_id = ours.id
),
there AS (
    SELECT f.blob_id, min(theirs.prefix || f.name) AS path FROM theirs
    JOIN {File._meta.db_table} f ON f.directory_id = theirs.id GROUP BY f.blob_id
)
"""  # noqa: S608
_TOTALS: Final = f"""{_SHARED}
SELECT count(*), coalesce(sum(b.size), 0) FROM here JOIN there ON there.blob_id = here.blob_id
JOIN {Blob._meta.db_table} b ON b.id = here.blob_id WHERE b.size > 0
"""  # noqa: S608
_EXAMPLES: Final = f"""{_SHARED}
SELECT here.path, there.path, b.size FROM here JOIN there ON there.blob_id = here.blob_id
JOIN {Blob._meta.db_table} b ON b.id = here.blob_id WHERE b.size > 0 ORDER BY here.path LIMIT {EXAMPLES}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many files of the first version (and bytes) the second one has too, with examples (path, path, size)."""

    files: int
    size: int
    examples: list[tuple[str, str, int]]


def find_overlap(actor: User, *, version: Version, other: Version) -> Overlap | None:
    """Compare two sealed versions that the actor may read; None while a worker, which is asked once, does so."""
    for one in (version, other):
        require(actor, "version.view", one)
        if one.root is None:
            raise Conflict(f"{one.label} is {one.status}: its files can be compared once it is sealed.")
    return _overlap(version, other)


def warn_of_overlaps(versions: Sequence[Version]) -> list[tuple[Version, Version, int | None]]:
    """Name the pairs of versions that share files, and how many; None for pairs that a worker still compares."""
    found: list[tuple[Version, Version, int | None]] = []
    for number, first in enumerate(versions):
        for second in versions[number + 1 :]:
            if first.root is None or second.root is None:
                continue
            if first.root_id == second.root_id:
                found.append((first, second, first.file_count))
                continue
            overlap = _overlap(first, second)
            if overlap is None or overlap.files:
                found.append((first, second, overlap.files if overlap else None))
    return found


def compare_blobs(first_root: int, second_root: int) -> Overlap | None:
    """Compare the files below two directories, and keep the answer by their digests."""
    roots = {root.pk: root for root in Directory.objects.filter(pk__in=[first_root, second_root])}
    if len(roots) < len({first_root, second_root}):
        return None
    ask = Ask(roots[second_root].hex)
    kept = preview_cache.find(roots[first_root].hex, "overlap", ask)
    if isinstance(kept, Preview):
        return _read(kept)
    with work_at(digest=roots[first_root].hex, kind="overlap", ask=ask):
        answer = _compare(first_root, second_root)
        preview_cache.keep(roots[first_root].hex, "overlap", ask, answer)
    return _read(answer)


def _compare(first_root: int, second_root: int) -> Preview:
    parts = {name: subtree_sql(name) for name in ("ours", "theirs")}
    values: list[int | str] = [first_root, KEY_SEPARATOR, second_root, KEY_SEPARATOR]
    with connection.cursor() as cursor:
        cursor.execute(_TOTALS.format(**parts), values)
        files, size = cursor.fetchone() or (0, 0)
        examples: list[tuple[str, str, int]] = []
        if files:
            cursor.execute(_EXAMPLES.format(**parts), values)
            examples = [(from_key(ours), from_key(theirs), bytes_) for ours, theirs, bytes_ in cursor.fetchall()]
    return Preview("", data={"files": files, "size": int(size), "examples": examples})


def _overlap(version: Version, other: Version) -> Overlap | None:
    if version.root is None or other.root is None:
        return None
    ask = Ask(other.root.hex)
    kept = preview_cache.find(version.root.hex, "overlap", ask)
    if isinstance(kept, Preview):
        return _read(kept)
    if version.root.file_count + other.root.file_count > COMPARED_AT_ONCE:
        roots = {"first_root": version.root.pk, "second_root": other.root.pk}
        ask_worker(OVERLAP_TASK, digest=version.root.hex, kind="overlap", ask=ask, **roots)
        return None
    return compare_blobs(version.root.pk, other.root.pk)


def _read(answer: Preview) -> Overlap:
    data = answer.data
    return Overlap(data["files"], data["size"], [(ours, theirs, size) for ours, theirs, size in data["examples"]])
