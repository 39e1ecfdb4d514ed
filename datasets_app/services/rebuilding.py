"""Bring datasets back from what lies in the store alone: manifests, lists of slices, packs.

For the day the database is lost, or a backup of it is older than the store. Versions that the database has are left as
they are, but for those that were still open in the backup and were sealed after it. Trees are built anew from the
manifests' paths and digests, and must give the very digest that was sealed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import connection, transaction

from datasets_app.errors import AppError
from datasets_app.models import AuditEvent, Blob, Damage, Dataset, Directory, Team, User, Version
from datasets_app.services import content, manifests, slice_lists, trees, uploads, versions
from datasets_app.services.content import Slice
from datasets_app.services.damages import record_damage
from datasets_app.store.listing import StoredObject
from datasets_app.store.merkle import FileEntry, TreeBuilder, TreeError

logger = logging.getLogger(__name__)

BATCH: Final = 5_000
LOOKUP: Final = 500
TABLE: Final = "listed_packs"
Tell = Callable[[str], None]


@dataclass
class Rebuilt:
    """What came back: labels of versions. `damaged` counts files whose bytes are not in the store."""

    versions: list[str] = field(default_factory=list)
    kept: int = 0
    damaged: int = 0
    problems: list[str] = field(default_factory=list)


class Found(NamedTuple):
    """A manifest of the store, and what it says of its version."""

    stored: StoredObject
    header: dict[str, Any]

    @property
    def identity(self) -> tuple[str, str, int]:
        """Team, dataset and number."""
        return self.header["team"], self.header["dataset"], self.header["version"]

    @property
    def label(self) -> str:
        """How people name the version."""
        team, dataset, number = self.identity
        return f"{team}/{dataset}@{number}"


def rebuild(*, tell: Tell = lambda _line: None) -> Rebuilt:
    """Bring back every version that the store knows and the database doesn't."""
    done = Rebuilt()
    with _listed_packs() as count:
        tell(f"{count:,} packs in the store")
        _adopt_lists(done)
        # The newest first: it tells best where bytes are that were lost and brought again.
        for found in sorted(_find_manifests(done), key=lambda found: found.stored.modified, reverse=True):
            _rebuild_version(found, done, tell)
    _link_bases(done)
    return done


def _find_manifests(done: Rebuilt) -> Iterator[Found]:
    """Give the newest readable manifest of each version."""
    newest: dict[tuple[str, str, int], Found] = {}
    for stored in content.list_stored(manifests.FOLDER):
        try:
            found = Found(stored, manifests.read_header(stored.key))
            before = newest.get(found.identity)
        except (ValueError, KeyError) as error:
            done.problems.append(f"{stored.key} can't be read: {error}")
            continue
        if before is None or before.stored.modified < stored.modified:
            newest[found.identity] = found
    yield from newest.values()


def _rebuild_version(found: Found, done: Rebuilt, tell: Tell) -> None:
    team, name, number = found.identity
    there = Version.objects.filter(dataset__team__name=team, dataset__name=name, number=number).first()
    if there is not None and not manifests.was_sealed_later(found.header, modified=found.stored.modified):
        done.kept += 1
        return
    lost: list[tuple[str, int]] = []
    try:
        builder = TreeBuilder(settings.STAGING_DIR)
        entries = _entries(found, Team.objects.get_or_create(name=team)[0], lost)
        root_id = trees.write_tree(builder.build(entries), progress=lambda _rows: None)
        digest = str(Directory.objects.get(pk=root_id))
        if digest != found.header["digest"]:
            done.problems.append(f"{found.label} gives {digest}, not {found.header['digest']}: it was left out")
            return
        if there is None:
            _write_version(found, root_id)
        else:
            _seal_version(there, found, root_id)
    except (ValueError, KeyError, TreeError, AppError, trees.VanishedDirectoryError) as error:
        done.problems.append(f"{found.label} could not be brought back: {error}")
        return
    for pack, blob in lost:
        row = Blob.objects.get(pk=blob)
        record_damage(Damage.Cause.MISSING, blob=row, detail=f"pack {pack}, not found by a rebuild")
    done.damaged += len(lost)
    done.versions.append(found.label)
    tell(f"{found.label}: {found.header['file_count']:,} files{f', {len(lost)} without bytes' if lost else ''}")


def _entries(found: Found, team: Team, lost: list[tuple[str, int]]) -> Iterator[FileEntry]:
    """Give the files of a manifest with the ids of their blobs, which are made on the way."""
    files = manifests.read_files(found.stored.key)
    while batch := list(islice(files, BATCH)):
        with transaction.atomic():
            ids = _adopt_files(batch, team, lost)
        for file in batch:
            digest = bytes.fromhex(file["sha256"])
            yield FileEntry(file["path"], digest, file["size"], ids[digest])


def _adopt_files(batch: list[dict[str, Any]], team: Team, lost: list[tuple[str, int]]) -> dict[bytes, int]:
    by_pack: dict[str, list[Slice]] = {}
    for file in batch:
        piece = Slice(bytes.fromhex(file["sha256"]), file["size"], file["offset"])
        by_pack.setdefault(file["pack"], []).append(piece)
    sizes = _sizes_of(by_pack)
    known = content.find_blobs(piece.sha256 for pieces in by_pack.values() for piece in pieces)
    ids: dict[bytes, int] = {}
    for pack, pieces in by_pack.items():
        end, here = max(piece.offset + piece.size for piece in pieces), sizes.get(pack, 0)
        ids |= content.adopt_pack(key=pack, size=max(here, end), slices=pieces, team=team)
        # The row tells where they should be: whoever brings the same bytes heals it.
        gone = {p.sha256 for p in pieces if p.offset + p.size > here and p.sha256 not in known}
        lost += [(pack, ids[digest]) for digest in sorted(gone)]
    return ids


def _write_version(found: Found, root_id: int) -> None:
    header = found.header
    team = Team.objects.get(name=header["team"])
    creator = User.objects.filter(username=header.get("created_by") or "").first()
    created = datetime.fromisoformat(header["created_at"])
    sealed = datetime.fromtimestamp(found.stored.modified, tz=UTC)
    with transaction.atomic():
        trees.hold_tree(root_id)
        dataset, is_new = Dataset.objects.get_or_create(
            team=team,
            name=header["dataset"],
            defaults={"description": header.get("description", ""), "created_at": created, "created_by": creator},
        )
        Version.objects.create(
            dataset=dataset,
            number=header["version"],
            status=Version.Status.AVAILABLE,
            root_id=root_id,
            message=header.get("message", ""),
            source=header.get("source", {}),
            manifest_key=found.stored.key,
            created_by=creator,
            created_at=created,
            sealed_at=sealed,
        )
        changes: dict[str, Any] = {"last_number": max(dataset.last_number, header["version"])}
        if is_new:
            changes["updated_at"] = sealed
        Dataset.objects.filter(pk=dataset.pk).update(**changes)
        AuditEvent.objects.record(
            None, team=team, verb="rebuilt version", subject=f"{dataset.name}@{header['version']}"
        )


def _seal_version(version: Version, found: Found, root_id: int) -> None:
    """Seal an open version as it was sealed after the backup; what is staged for it in the backup is of no use now."""
    with transaction.atomic():
        trees.hold_tree(root_id)
        sealed = Version.objects.open().filter(pk=version.pk, attempts=0)
        won = Version.objects.filter(pk__in=sealed.values("pk")).update(
            status=Version.Status.AVAILABLE,
            root_id=root_id,
            message=found.header.get("message", ""),
            source=found.header.get("source", {}),
            manifest_key=found.stored.key,
            sealed_at=datetime.fromtimestamp(found.stored.modified, tz=UTC),
            error="",
        )
        if not won:
            return
        team = Team.objects.get(name=found.header["team"])
        AuditEvent.objects.record(None, team=team, verb="rebuilt version", subject=version.label)
    versions.clear_staged(version.pk)
    uploads.end_uploads(version.uploads.values_list("pk", flat=True))


def _link_bases(done: Rebuilt) -> None:
    """Say again which version each was based on, now that all are here."""
    back = set(done.versions)
    for version in Version.objects.filter(base=None, status=Version.Status.AVAILABLE).select_related("dataset__team"):
        if f"{version.dataset.team}/{version.label}" in back:
            number = manifests.read_header(version.manifest_key).get("base") or 0
            base = version.dataset.versions.filter(number=number, status=Version.Status.AVAILABLE).first()
            Version.objects.filter(pk=version.pk).update(base=base)


def _adopt_lists(done: Rebuilt) -> None:
    """Make blobs of what compaction has moved: no manifest tells where that is now."""
    lists = sorted(content.list_stored(slice_lists.FOLDER), key=lambda stored: stored.modified, reverse=True)
    for stored in lists:
        try:
            pieces = list(slice_lists.read_slices(stored.key))
        except ValueError as error:
            done.problems.append(f"{stored.key} can't be read: {error}")
            continue
        sizes = _sizes_of(piece.pack for piece in pieces[:1])
        for pack, size in sizes.items():
            slices = [Slice(piece.sha256, piece.size, piece.offset) for piece in pieces]
            with transaction.atomic():
                # Of no team: which may read them is told by the manifests.
                content.adopt_pack(key=pack, size=size, slices=slices, team=None)


@contextmanager
def _listed_packs() -> Iterator[int]:
    """Keep keys and sizes of all packs of the store in a temporary table, since memory may be too small for them."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMPORARY TABLE {TABLE} (key varchar(200) PRIMARY KEY, size bigint)")
        try:
            count = 0
            packs = (
                (stored.key, stored.size) for stored in content.list_stored() if content.PACK_KEY.fullmatch(stored.key)
            )
            while some := list(islice(packs, BATCH)):
                cursor.executemany(f"INSERT INTO {TABLE} (key, size) VALUES (%s, %s)", some)  # noqa: S608 - our own name
                count += len(some)
            yield count
        finally:
            cursor.execute(f"DROP TABLE {TABLE}")


def _sizes_of(keys: Iterable[str]) -> dict[str, int]:
    """Sizes in bytes of those packs that are in the store."""
    wanted = list(keys)
    sizes: dict[str, int] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(wanted), LOOKUP):
            some = wanted[start : start + LOOKUP]
            marks = ", ".join(["%s"] * len(some))
            cursor.execute(f"SELECT key, size FROM {TABLE} WHERE key IN ({marks})", some)  # noqa: S608
            sizes |= dict(cursor.fetchall())
    return sizes
