"""Why a blob is still stored: what holds it, and when it goes if nothing does."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from datasets_app.models import (
    Blob,
    Directory,
    File,
    RemovedObject,
    StagedFile,
    Subdirectory,
    UnreferencedBlob,
    UnreferencedDirectory,
    Version,
)
from datasets_app.services.garbage.references import keepers, unreferenced
from datasets_app.services.garbage.sweep import marks, query, slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_NAMED = 100
# Directories above a blob that are looked at; a blob may be in a million of them.
MOST_DIRECTORIES = 200_000


@dataclass(frozen=True)
class Explanation:
    """Where a blob is, and why. Lists have at most 100 items.

    `blob` is None when no such bytes are stored. `goes_at` is the earliest time at which a collection may remove it;
    None while something holds it, or when no collection has noticed yet that nothing does.
    """

    sha256: str
    blob: Blob | None
    # Sealed versions that hold it, those in the trash too, the newest first.
    versions: list[Version] = field(default_factory=list)
    version_count: int = 0
    # Files of open versions.
    staged: list[StagedFile] = field(default_factory=list)
    staged_count: int = 0
    # Folders that open versions hold on to, beside their files: moved ones, say.
    folder_count: int = 0
    # Trees that hold it and that nothing holds: left by a purge or an unfinished seal.
    loose_count: int = 0
    unused_since: datetime | None = None
    goes_at: datetime | None = None
    # There are more directories above it than were looked at.
    is_cut: bool = False
    # Times that bytes of this digest were removed, the last first.
    removals: list[RemovedObject] = field(default_factory=list)

    @property
    def is_held(self) -> bool:
        """Whether a version or an upload holds it."""
        return bool(self.version_count or self.staged_count or self.folder_count)


def explain_blob(sha256: bytes) -> Explanation:
    """Tell why the bytes with this digest are stored, or that they are not."""
    removed = RemovedObject.objects.filter(kind=RemovedObject.Kind.BLOB, key=sha256.hex()).order_by("-id")
    removals = list(removed[:10])
    blob = Blob.objects.select_related("pack").filter(sha256=sha256).first()
    if blob is None:
        return Explanation(sha256.hex(), None, removals=removals)
    directories, is_cut = _above(blob)
    versions = _versions(directories)
    staged = StagedFile.objects.filter(blob=blob).select_related("version__dataset__team").order_by("-pk")
    staged_count = staged.count()
    folder_count, loose_count = _count_folders(directories), _count_loose(directories)
    since = None
    if not versions and not staged_count and not folder_count:
        since = _unused_since(blob, directories, loose_count)
    return Explanation(
        sha256=sha256.hex(),
        blob=blob,
        versions=_named(versions),
        version_count=len(versions),
        staged=list(staged[:MOST_NAMED]),
        staged_count=staged_count,
        folder_count=folder_count,
        loose_count=loose_count,
        unused_since=since,
        goes_at=since + timedelta(hours=settings.GRACE_HOURS) if since is not None else None,
        is_cut=is_cut,
        removals=removals,
    )


def _above(blob: Blob) -> tuple[list[int], bool]:
    """Return every directory that the blob is somewhere below."""
    rows = query(
        f"WITH RECURSIVE up(id) AS (SELECT directory_id FROM {File._meta.db_table} WHERE blob_id = %s "  # noqa: S608 - our own names
        f"UNION SELECT s.parent_id FROM up JOIN {Subdirectory._meta.db_table} s ON s.child_id = up.id) "
        f"SELECT id FROM up LIMIT {MOST_DIRECTORIES + 1}",
        [blob.pk],
    )
    found = [pk for (pk,) in rows]
    return found[:MOST_DIRECTORIES], len(found) > MOST_DIRECTORIES


def _versions(directories: list[int]) -> list[int]:
    found: list[int] = []
    for some in slices(directories):
        found += Version.objects.filter(root__in=list(some)).values_list("pk", flat=True)
    return sorted(found, reverse=True)


def _named(keys: list[int]) -> list[Version]:
    rows = Version.objects.filter(pk__in=keys[:MOST_NAMED]).select_related("dataset__team", "root")
    return list(rows.order_by("-pk"))


def _count_folders(directories: list[int]) -> int:
    """Count what else than versions and their trees keeps one of the directories."""
    known = (Version._meta.db_table, Subdirectory._meta.db_table)
    others = [pointer for pointer in keepers(Directory) if pointer.table not in known]
    counts = (
        query(f"SELECT count(*) FROM {p.table} WHERE {p.column} IN ({marks(some)})", list(some))  # noqa: S608
        for p in others
        for some in slices(directories)
    )
    return sum(int(number) for ((number,),) in counts)


def _count_loose(directories: list[int]) -> int:
    """Count the tops among the directories that nothing holds, noticed by a collection or not yet."""
    counts = (
        query(
            f"SELECT count(*) FROM {Directory._meta.db_table} d WHERE d.id IN ({marks(some)}) "  # noqa: S608
            f"AND {unreferenced(Directory, 'd')}",
            list(some),
        )
        for some in slices(directories)
    )
    return sum(int(number) for ((number,),) in counts)


def _unused_since(blob: Blob, directories: list[int], loose: int) -> datetime | None:
    """Return since when nothing holds it, as collections noticed; bytes of a tree go with the last tree above them."""
    if not directories:
        return UnreferencedBlob.objects.filter(pk=blob.pk).values_list("since", flat=True).first()
    noticed = list(_marked(directories))
    return max(noticed) if noticed and len(noticed) >= loose else None


def _marked(directories: Iterable[int]) -> Iterator[datetime]:
    for some in slices(list(directories)):
        yield from UnreferencedDirectory.objects.filter(pk__in=list(some)).values_list("since", flat=True)
