"""What uploads and imports left behind: their rows once they are over, and staging files that belong to none."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from datasets_app.errors import Gone, Locked
from datasets_app.models import AuditEvent, Import, ImportPart, Pack, RemovedObject, StagedFile, Upload, Version
from datasets_app.services.content import pack_key, staging
from datasets_app.services.finishing import UNFINISHED
from datasets_app.services.garbage import journal
from datasets_app.services.garbage.journal import Removal
from datasets_app.services.garbage.sweep import Sweep
from datasets_app.services.uploads import end_uploads
from datasets_app.store.staging import Staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

BATCH = 1_000
# Each lock is an open file.
LOCKED_AT_ONCE = 100


def find_over(sweep: Sweep) -> QuerySet[Upload]:
    """Return the uploads that are over, and that no declared file needs."""
    needed = StagedFile.objects.filter(upload=OuterRef("pk"))
    over = Upload.objects.filter(expires_at__lt=sweep.now, created_at__lt=sweep.cutoff).exclude(status__in=UNFINISHED)
    return over.filter(~Exists(needed))


def end_expired(sweep: Sweep | None = None, *, limit: int = BATCH) -> int:
    """Give up uploads that expired without being finished; return how many."""
    sweep = sweep or Sweep()
    overdue = Upload.objects.filter(status=Upload.Status.RECEIVING, expires_at__lt=timezone.now())
    expired = list(overdue.values_list("pk", flat=True)[:limit])
    return end_uploads(expired, note=partial(_note_expired, sweep))


def _note_expired(sweep: Sweep, upload: UUID) -> None:
    journal.write_staging(sweep, [upload], "its upload expired")


def collect_uploads(sweep: Sweep) -> None:
    """End uploads that expired, and remove the rows of those that are over and that no declared file needs."""
    with sweep.giving_way("uploads"):
        end_expired(sweep)
        unused = find_over(sweep).order_by("pk").values_list("pk", "size", "status")
        while some := list(unused[:BATCH]):
            with transaction.atomic():
                items = [Removal(str(pk), size if status == Upload.Status.FINISHED else 0) for pk, size, status in some]
                journal.write(sweep, RemovedObject.Kind.UPLOAD, items, "it is over; what it brought is stored")
                Upload.objects.filter(pk__in=[pk for pk, *_ in some]).delete()
            sweep.add(RemovedObject.Kind.UPLOAD, len(some))
            sweep.beat()


def collect_staging(sweep: Sweep) -> None:
    """Remove staging files that no unfinished upload and no import needs."""
    for batch in find_stray(sweep):
        _remove_staged(sweep, batch)


def find_stray(sweep: Sweep) -> Iterator[list[Staged]]:
    """Give, in batches, staging files older than the grace period that no unfinished upload and no import needs."""
    batch: list[Staged] = []
    with suppress(FileNotFoundError):
        for staged in staging().staged():
            if staged.modified <= sweep.cutoff.timestamp():
                batch.append(staged)
            if len(batch) == LOCKED_AT_ONCE:
                yield _unwanted(batch)
                batch = []
    yield _unwanted(batch)


def abandon_idle(sweep: Sweep) -> None:
    """Abandon unsealed versions that nobody has touched for UNSEALED_DAYS: they would keep their bytes for ever."""
    for version in find_idle(sweep).select_related("dataset__team")[:BATCH]:
        with sweep.giving_way("idle versions"):
            _abandon(sweep, version)
        sweep.beat()


def find_idle(sweep: Sweep) -> QuerySet[Version]:
    """Return open versions without an upload or an import under way, that nobody has worked on for UNSEALED_DAYS."""
    if not settings.UNSEALED_DAYS:
        return Version.objects.none()
    idle = sweep.now - timedelta(days=settings.UNSEALED_DAYS)
    busy = Q(created_at__gt=idle) | Q(expires_at__gt=sweep.now, status__in=UNFINISHED)
    uploads = Upload.objects.filter(busy, version=OuterRef("pk"))
    imports = Import.objects.filter(version=OuterRef("pk")).exclude(finished_at__lte=idle)
    untouched = Version.objects.open().filter(Q(touched_at=None) | Q(touched_at__lte=idle), created_at__lte=idle)
    return untouched.filter(~Exists(uploads), ~Exists(imports))


def find_wanted(uploads: list[UUID]) -> set[UUID]:
    """Tell which of these are still on their way: unfinished uploads, staging files of imports, packs being made."""
    keys = {pack_key(pk): pk for pk in uploads}
    wanted = set(Upload.objects.filter(pk__in=uploads, status__in=UNFINISHED).values_list("pk", flat=True))
    growing = ImportPart.objects.filter(staged_as__in=uploads).values_list("staged_as", flat=True)
    made = Pack.objects.filter(key__in=list(keys), stored=False).values_list("key", flat=True)
    return wanted.union((pk for pk in growing if pk is not None), (keys[key] for key in made))


def _unwanted(batch: list[Staged]) -> list[Staged]:
    wanted = find_wanted([staged.upload for staged in batch])
    return [staged for staged in batch if staged.upload not in wanted]


def _remove_staged(sweep: Sweep, batch: list[Staged]) -> None:
    with ExitStack() as stack:
        held: list[Staged] = []
        for staged in batch:
            # Whoever writes it, or makes it a pack, holds its lock.
            with suppress(Locked, Gone):
                stack.enter_context(staging().lock(staged.upload))
                held.append(staged)
        going = _unwanted(held)
        if not going:
            return
        with transaction.atomic():
            items = [Removal(staged.upload.hex, staged.size) for staged in going]
            journal.write(sweep, RemovedObject.Kind.STAGING, items, "no unfinished upload has it")
        for staged in going:
            staging().remove(staged.upload)
            sweep.add(RemovedObject.Kind.STAGING, 1, staged.size)
    sweep.beat()


def _abandon(sweep: Sweep, version: Version) -> None:
    with transaction.atomic():
        held = Version.objects.select_for_update(of=("self",)).filter(pk=version.pk, status__in=Version.OPEN).first()
        # Whoever works on it locks it too, and may just have done so.
        if held is None or not find_idle(sweep).filter(pk=held.pk).exists():
            return
        uploads = version.uploads.exclude(status=Upload.Status.FINISHED).values_list("pk", flat=True)
        team = version.dataset.team
        journal.write(sweep, RemovedObject.Kind.VERSION, [Removal(f"{team}/{version.label}")], "unsealed and untouched")
        staged = journal.write_staging(sweep, uploads, "its version was abandoned")
        AuditEvent.objects.record(None, team=team, verb="abandoned version", subject=version.label, untouched=True)
        version.staged.all().delete()
        Version.objects.filter(pk=version.pk).delete()
    sweep.add(RemovedObject.Kind.VERSION, 1)
    for upload in staged:
        staging().remove(upload)
