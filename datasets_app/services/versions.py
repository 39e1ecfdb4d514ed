"""Versions: start, seal, abandon."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from datasets_app.errors import AppError, Conflict, ErrorItem, NotFound
from datasets_app.models import (
    AuditEvent,
    Blob,
    Dataset,
    Directory,
    Import,
    ImportPart,
    StagedFile,
    StagedMove,
    StagedRemoval,
    Upload,
    User,
    Version,
)
from datasets_app.models.fields import below
from datasets_app.models.prepared import Prepared, Slot
from datasets_app.permissions import require
from datasets_app.queue import enqueue
from datasets_app.services import content, manifests, trees
from datasets_app.services.damage_places import find_in_tree
from datasets_app.services.damages import mark_version
from datasets_app.services.finishing import UNFINISHED, finish_arrived
from datasets_app.services.labels import find_number
from datasets_app.services.recipes import composed_entries, is_composed
from datasets_app.services.staged import lock_open
from datasets_app.services.summaries import want_summary
from datasets_app.services.uploads import end_uploads
from datasets_app.store.merkle import FileEntry, TreeBuilder, TreeError
from datasets_app.store.overlay import Child, Graft, Overlay
from datasets_app.store.paths import from_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterator

    from datasets_app.store.case_clash import ClashReport
    from datasets_app.store.merkle import TreeEntry

logger = logging.getLogger(__name__)

PAGE = 5_000
SHOWN_ERRORS = 100
SHOWN_WARNINGS = 20
DELETED_AT_ONCE = 20_000
# After so many errors, and after so many workers that died without one, a person has to look.
MOST_ATTEMPTS = 3
MOST_DEATHS = 20
SEAL_TASK = "datasets_app.seal_version"
MEASURE_TASK = "datasets_app.measure_versions"
# The largest that the column takes.
MOST_NUMBER = 2**31 - 1
_BY_NAME = Prepared(
    lambda: (
        Version.objects.visible_to(Slot("user"))
        .filter(
            dataset__team__name=Slot("team"),
            dataset__name=Slot("dataset"),
            dataset__deleted_at=None,
            number=Slot("number"),
            deleted_at=None,
        )
        .select_related("dataset__team", "root", "created_by", "base")
    )
)
_STAGED_PAGE = f"""
SELECT s.path, b.sha256, s.size, s.blob_id
FROM {StagedFile._meta.db_table} s JOIN {Blob._meta.db_table} b ON b.id = s.blob_id
WHERE s.version_id = %s AND s.path > %s ORDER BY s.path LIMIT %s
"""  # noqa: S608 - only names of our own tables


def find_version(actor: User, *, team: str, dataset: str, number: int | str) -> Version:
    """Return a version by the names in its URL; NotFound for strangers and for what is in the trash.

    `number` may also be a text: digits, a label, or `latest`.
    """
    found = None
    if isinstance(number, str):
        number = find_number(actor, team=team, dataset=dataset, name=number)
    if 0 < number <= MOST_NUMBER:
        found = _BY_NAME.first(user=actor.pk, team=team, dataset=dataset, number=number)
    if found is None or not actor.reaches(found.dataset.team):
        raise NotFound(f"There is no version {dataset}@{number} in a team {team} of yours.")
    return found


def create_version(actor: User, *, dataset: Dataset, base: int | str | None = None, message: str = "") -> Version:
    """Start an open version; with `base`, it begins with that available version's files, for which no bytes move.

    `base` is a number or a label.
    """
    require(actor, "version.create", dataset)
    if dataset.archived_at is not None:
        raise Conflict(f"The dataset {dataset.name} is archived: unarchive it before you add a version.")
    if isinstance(base, str):
        base = find_number(actor, team=dataset.team.name, dataset=dataset.name, name=base)
    with transaction.atomic():
        # Holds the dataset's row: from now on, the base can't go to the trash.
        number = dataset.allocate_number()
        start = _hold_base(dataset, base) if base is not None else None
        version = Version.objects.create(
            dataset=dataset,
            number=number,
            base=start,
            message=message.strip()[:500],
            source={"kind": "upload"},
            created_by=actor,
        )
        AuditEvent.objects.record(actor, team=dataset.team, verb="created version", subject=version.label)
    return version


def _hold_base(dataset: Dataset, number: int) -> Version:
    """Return the version to start from, and lock its row, as the purge does with what it takes."""
    found = dataset.versions.available().filter(number=number).select_for_update(of=("self",)).first()
    if found is None:
        raise NotFound(f"There is no available version {dataset.name}@{number} to start from.")
    return found


def abandon_version(actor: User, *, version: Version) -> None:
    """Drop an open version with everything that was staged for it, and cancel an import into it.

    Stored bytes stay until they are collected.
    """
    require(actor, "version.abandon", version)
    with transaction.atomic():
        lock_open(version, is_filled=False)
        bodies = list(version.uploads.exclude(status=Upload.Status.FINISHED).values_list("pk", flat=True))
        # What a large file of an import has brought so far.
        parts = ImportPart.objects.filter(run__version=version, staged_as__isnull=False)
        bodies += [body for body in parts.values_list("staged_as", flat=True) if body is not None]
        version.staged.all().delete()
        AuditEvent.objects.record(actor, team=version.dataset.team, verb="abandoned version", subject=version.label)
        Version.objects.filter(pk=version.pk).delete()
    for body in bodies:
        content.staging().remove(body)


def seal_version(actor: User, *, version: Version) -> Version:
    """Seal the version if it is small, otherwise ask for that. Conflict, with paths, while a file lacks verified bytes.

    Also while an import into it is under way, or has ended with files that are not here.
    """
    require(actor, "version.seal", version)
    finish_arrived(version)
    with transaction.atomic():
        locked = lock_open(version, is_filled=False)
        _refuse_unfinished_import(version)
        _make_pending(locked)
        AuditEvent.objects.record(actor, team=version.dataset.team, verb="sealed version", subject=version.label)
    if _is_small(version):
        # Written down by then; what it did not come to, the worker does.
        with suppress(Exception):
            run_seal(version.pk, clear=False)
    # Of a version that is sealed, it clears what was staged.
    enqueue(SEAL_TASK, version_id=version.pk)
    version.refresh_from_db()
    return version


def start_sealing(version: Version) -> None:
    """Hand a version, locked by `lock_open` in the caller's transaction, to a worker. Conflict as in `seal_version`.

    No actor is asked: an import's creator was, when it began.
    """
    _make_pending(version)
    enqueue(SEAL_TASK, version_id=version.pk)


def _is_small(version: Version) -> bool:
    """Tell whether sealing takes little more than the request itself: its manifest names the files of its base, too."""
    most = settings.SEALED_IN_REQUEST_FILES - (version.base.file_count if version.base else 0)
    return most > 0 and not is_composed(version) and version.staged.all()[: most + 1].count() <= most


def _make_pending(version: Version) -> None:
    missing = version.staged.lacking()
    shown = list(missing.order_by("path")[:SHOWN_ERRORS])
    if shown:
        errors: list[ErrorItem] = [{"path": f.path, "detail": f.error or "no bytes have arrived yet"} for f in shown]
        raise Conflict(
            f"{missing.count()} files of {version.label} are not there yet or failed. "
            "Send them, or leave them out, then seal again.",
            errors=errors,
        )
    if version.base_id is None and not is_composed(version) and not version.staged.exists():
        raise Conflict(f"{version.label} has no files yet: a version has at least one.")
    Version.objects.filter(pk=version.pk).update(status=Version.Status.PENDING, error="", attempts=0)


def _refuse_unfinished_import(version: Version) -> None:
    """Refuse to seal what an import has not brought to its end: files that were never listed would be missing."""
    latest = version.imports.order_by("pk").last()
    if latest is not None and latest.is_active:
        raise Conflict(f"An import into {version.label} is under way: it seals the version when all files are there.")
    if latest is not None and latest.status in Import.INCOMPLETE and (latest.listed_files or latest.refused_files):
        raise Conflict(
            f"The import into {version.label} has not brought all files. Retry it, or leave out the files that failed."
        )


def run_seal(version_id: int, *, clear: bool = True) -> None:
    """Build the tree of a pending version and make it available. May run twice and may die anywhere.

    With `clear`, what was staged for the version goes once it is sealed, whoever has done that.
    """
    pending = Version.objects.filter(pk=version_id, status=Version.Status.PENDING)
    lease = pending.claim(seconds=settings.LEASE_SECONDS)
    if lease is None:
        if clear and Version.objects.filter(pk=version_id, status=Version.Status.AVAILABLE).exists():
            clear_staged(version_id)
        return
    version = pending.select_related("dataset__team", "base__root").get()
    if version.attempts > MOST_DEATHS:
        _give_up(version, lease, f"{version.attempts - 1} workers died while they sealed this, perhaps of its size.")
        return
    try:
        if _seal(version, lease) and clear:
            clear_staged(version.pk)
    except TreeError as error:
        _refuse(version, lease, error)
    except AppError as error:
        pending.release(lease, status=Version.Status.ERROR, error=error.detail)
    except trees.VanishedDirectoryError:
        # Shared with a tree that was collected just then: what it needs is written now.
        pending.release(lease)
        enqueue(SEAL_TASK, version_id=version_id)
    except Exception as error:
        logger.exception("sealing %s failed", version.label)
        if version.attempts < MOST_ATTEMPTS:
            pending.release(lease)
            raise
        _give_up(version, lease, f"Sealing failed {version.attempts} times ({type(error).__name__}).")


def wake_pending() -> int:
    """Queue again what is pending and held by no living worker; return how many."""
    lost = list(Version.objects.unleased().filter(status=Version.Status.PENDING).values_list("pk", flat=True)[:1000])
    for version_id in lost:
        enqueue(SEAL_TASK, version_id=version_id)
    return len(lost)


def _seal(version: Version, lease: uuid.UUID) -> bool:
    """Return False when the lease was lost: somebody else does it then, and needs what is staged."""
    beat = _heartbeat(version.pk, lease)
    finish_arrived(version, everything=True, progress=beat)
    failed = version.staged.missing().order_by("path").first()
    if failed is not None:
        raise Conflict(f"{failed.path}: {failed.error or 'its bytes never arrived'}")
    entries: Iterator[FileEntry | TreeEntry] = _staged_entries(version)
    if is_composed(version):
        entries = composed_entries(version, progress=beat)
    elif version.base is not None:
        overlay = Overlay(
            trees.read_children, _staged_entries(version), _removed_paths(version), _moved_folders(version)
        )
        entries = overlay.entries(version.base.root_id)
    builder = TreeBuilder(settings.STAGING_DIR)
    root_id = trees.write_tree(builder.build(entries), progress=beat)
    version.root = Directory.objects.filter(pk=root_id).first()
    key = manifests.store_manifest(version, progress=beat)
    warnings = _case_warnings(builder.clashes)
    damaged = find_in_tree(root_id)
    with transaction.atomic():
        trees.hold_tree(root_id)
        now = timezone.now()
        done = Version.objects.filter(pk=version.pk, status=Version.Status.PENDING).release(
            lease,
            status=Version.Status.AVAILABLE,
            root_id=version.root_id,
            manifest_key=key,
            warnings=warnings,
            sealed_at=now,
            error="",
        )
        if not done:
            return False
        mark_version(version, damaged)
        Dataset.objects.filter(pk=version.dataset_id).update(updated_at=now)
        enqueue(MEASURE_TASK)
        if version.root is not None:
            want_summary(version.root)
    return True


def clear_staged(version_id: int) -> None:
    """Delete what was staged for a sealed version, in slices, so that other writers need not wait for long.

    Uploads that none of its files came from, such as a bundle whose files were all replaced, end here: nothing can be
    sent to a sealed version, and what they brought so far takes room.
    """
    end_uploads(Upload.objects.filter(version=version_id, status__in=UNFINISHED).values_list("pk", flat=True))
    for model in (StagedFile, StagedRemoval, StagedMove):
        while some := list(model.objects.filter(version=version_id).values_list("pk", flat=True)[:DELETED_AT_ONCE]):
            model.objects.filter(version=version_id, pk__lte=max(some), pk__gte=min(some)).delete()


def clear_leftovers() -> None:
    """Delete what a worker that died after a seal left staged, or under way."""
    staged, unfinished = StagedFile.objects.all(), Upload.objects.filter(status__in=UNFINISHED)
    for rows in (staged, unfinished):
        sealed = rows.filter(version__status=Version.Status.AVAILABLE).order_by()
        for version_id in set(sealed.values_list("version", flat=True)[:DELETED_AT_ONCE]):
            clear_staged(version_id)


def _give_up(version: Version, lease: uuid.UUID, why: str) -> None:
    text = f"{why} Nothing is lost: seal again, or ask your operator."
    Version.objects.filter(pk=version.pk).release(lease, status=Version.Status.ERROR, error=text)


def _case_warnings(clashes: ClashReport) -> list[str]:
    """Say which names differ only in case: legal here, but macOS and Windows can't unpack them side by side."""
    if not clashes.count:
        return []
    groups = [" and ".join(group) for group in clashes.shown[:SHOWN_WARNINGS]]
    more = f", and {clashes.count - len(groups)} more" if clashes.count > len(groups) else ""
    return [
        (
            "Names that differ only in upper and lower case cannot be unpacked side by side on macOS and Windows: "
            f"{'; '.join(groups)}{more}."
        )
    ]


def _refuse(version: Version, lease: uuid.UUID, error: TreeError) -> None:
    """Name the file that makes it no tree, so that it can be removed or renamed, and open the version again."""
    with transaction.atomic():
        if not Version.objects.filter(pk=version.pk).release(lease, status=Version.Status.ERROR, error=error.detail):
            return
        at_fault = version.staged.filter(path=error.path) or version.staged.filter(below(error.path))
        at_fault.update(blob=None, error=error.reason)


def _heartbeat(version_id: int, lease: uuid.UUID) -> Callable[[int], None]:
    """Return a function that keeps the lease while work goes on, and stops this worker when it was lost."""
    renewed = time.monotonic()

    def beat(_rows: int = 0) -> None:
        nonlocal renewed
        if time.monotonic() - renewed < settings.LEASE_SECONDS / 4:
            return
        if not Version.objects.filter(pk=version_id).renew(lease, seconds=settings.LEASE_SECONDS):
            message = "another worker has taken over"
            raise Conflict(message)
        renewed = time.monotonic()

    return beat


def _staged_entries(version: Version) -> Iterator[FileEntry]:
    """Read the staged files in pages: plain SQL, because the ORM took half the time of a seal."""
    last = ""
    with connection.cursor() as cursor:
        while True:
            cursor.execute(_STAGED_PAGE, [version.pk, last, PAGE])
            page = cursor.fetchall()
            if not page:
                return
            for key, digest, size, blob_id in page:
                yield FileEntry(from_key(key), bytes(digest), size, blob_id)
            last = page[-1][0]


def _removed_paths(version: Version) -> Iterator[str]:
    last = ""
    while page := list(version.removals.filter(path__gt=last).order_by("path").values_list("path", flat=True)[:PAGE]):
        yield from page
        last = page[-1]


def _moved_folders(version: Version) -> Iterator[Graft]:
    """Folders of the base that hang elsewhere, in tree order; a version has few of them."""
    rows = version.moves.exclude(directory=None).order_by("path").select_related("directory")
    for move in rows:
        found = move.directory
        if found is not None:
            child = Child("", bytes(found.digest), found.size, found.pk, found.file_count)
            yield Graft(move.path, child)
