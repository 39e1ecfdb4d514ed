"""From the trash for good: versions and datasets. Their trees and bytes follow when the grace period is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from datasets_app.errors import AppError, Conflict, NotFound
from datasets_app.models import (
    AuditEvent,
    Dataset,
    Job,
    JobDataset,
    RemovedObject,
    UnreferencedDirectory,
    Upload,
    User,
    Version,
)
from datasets_app.models.bulk import database_value, insert_new_rows
from datasets_app.models.holding import unmark
from datasets_app.permissions import require
from datasets_app.services.content import staging
from datasets_app.services.garbage import journal
from datasets_app.services.garbage.journal import Removal
from datasets_app.services.garbage.sweep import Sweep, open_door

if TYPE_CHECKING:
    from uuid import UUID

    from django.db.models import QuerySet

BATCH = 1_000
SHOWN = 5
BY_HAND = "purged by hand"
OVERDUE = "its time in the trash was over"


def purge_version(actor: User, *, version: Version) -> None:
    """Remove a version in the trash for good. Its bytes come back a grace period later, unless others hold them too.

    Raises Conflict when it is not in the trash, and while an active job or an unsealed version uses it.
    """
    require(actor, "dataset.purge", version.dataset)
    _purge_version(Sweep(), version.pk, actor=actor, reason=BY_HAND)


def purge_dataset(actor: User, *, dataset: Dataset) -> None:
    """Remove a dataset in the trash for good, with all its versions; its name is free again.

    Jobs that have ended keep name, number and digest. Raises Conflict when it is not in the trash, or in use.
    """
    require(actor, "dataset.purge", dataset)
    _purge_dataset(Sweep(), dataset.pk, actor=actor, reason=BY_HAND)


def purge_trash(sweep: Sweep) -> None:
    """Purge what has been in the trash for TRASH_DAYS; what is in use stays, with a note."""
    for pk in list(due_datasets(sweep).values_list("pk", flat=True)[:BATCH]):
        _try(sweep, partial(_purge_dataset, sweep, pk, actor=None, reason=OVERDUE))
    for pk in list(due_versions(sweep).order_by("-number").values_list("pk", flat=True)[:BATCH]):
        _try(sweep, partial(_purge_version, sweep, pk, actor=None, reason=OVERDUE))


def due_datasets(sweep: Sweep) -> QuerySet[Dataset]:
    """Datasets whose time in the trash is over."""
    return Dataset.objects.filter(deleted_at__lte=sweep.now - timedelta(days=settings.TRASH_DAYS))


def due_versions(sweep: Sweep) -> QuerySet[Version]:
    """Versions, deleted by themselves, whose time in the trash is over."""
    due = sweep.now - timedelta(days=settings.TRASH_DAYS)
    return Version.objects.filter(deleted_at__lte=due, dataset__deleted_at=None)


def _try(sweep: Sweep, purge: Callable[[], None]) -> None:
    with sweep.giving_way("the trash"):
        try:
            purge()
        except AppError as error:
            sweep.notes.append(error.detail)
    sweep.beat()


def _purge_version(sweep: Sweep, version_id: int, *, actor: User | None, reason: str) -> None:
    with transaction.atomic():
        dataset = Dataset.objects.filter(versions=version_id).select_for_update().first()
        rows = _lock_versions(Q(pk=version_id))
        if dataset is None or not rows:
            raise NotFound("This version has been purged already.")
        if rows[0].deleted_at is None and dataset.deleted_at is None:
            raise Conflict(f"{rows[0].label} is not in the trash. Delete it first.")
        uploads = _remove_versions(sweep, rows, rows[0].label, reason)
        AuditEvent.objects.record(actor, team=dataset.team, verb="purged version", subject=rows[0].label, reason=reason)
    _clear(sweep, uploads)


def _purge_dataset(sweep: Sweep, dataset_id: int, *, actor: User | None, reason: str) -> None:
    # In one transaction, however many versions there are: half of a dataset must not come back from the trash.
    with transaction.atomic():
        dataset = Dataset.objects.filter(pk=dataset_id).select_related("team").select_for_update(of=("self",)).first()
        if dataset is None:
            raise NotFound("This dataset has been purged already.")
        if dataset.deleted_at is None:
            raise Conflict(f"{dataset.name} is not in the trash. Delete it first.")
        uploads = _remove_versions(sweep, _lock_versions(Q(dataset=dataset)), dataset.name, reason)
        journal.write(sweep, RemovedObject.Kind.DATASET, [Removal(f"{dataset.team}/{dataset.name}")], reason)
        dataset.delete()
        AuditEvent.objects.record(actor, team=dataset.team, verb="purged dataset", subject=dataset.name, reason=reason)
    sweep.add(RemovedObject.Kind.DATASET, 1)
    _clear(sweep, uploads)


def _lock_versions(which: Q) -> list[Version]:
    rows = Version.objects.filter(which).order_by("pk").select_related("dataset__team", "root")
    return list(rows.select_for_update(of=("self",)))


def _remove_versions(sweep: Sweep, versions: Sequence[Version], subject: str, reason: str) -> list[UUID]:
    """Delete the rows of locked versions, inside the caller's transaction; return uploads whose files must go too."""
    _refuse_used(versions, subject)
    unfinished = Upload.objects.filter(version__in=versions).exclude(status=Upload.Status.FINISHED)
    uploads = journal.write_staging(sweep, unfinished.values_list("pk", flat=True), reason)
    # Known at once, so that the grace period begins now; what else holds these trees is asked when it ends.
    since = database_value(sweep.now)
    roots = sorted({version.root_id for version in versions if version.root_id is not None})
    # An older mark may be left of a purge whose tree other versions still held.
    unmark(UnreferencedDirectory, roots)
    insert_new_rows(UnreferencedDirectory, ("directory_id", "since"), [(root, since) for root in roots])
    labels = [Removal(f"{v.dataset.team}/{v.label}", v.size) for v in versions]
    journal.write(sweep, RemovedObject.Kind.VERSION, labels, reason)
    manifests = [Removal(v.manifest_key) for v in versions if v.manifest_key]
    journal.write(sweep, RemovedObject.Kind.MANIFEST, manifests, reason)
    _let_go(versions)
    with open_door("purge"):
        Version.objects.filter(pk__in=[version.pk for version in versions]).delete()
    sweep.add(RemovedObject.Kind.VERSION, len(versions), sum(version.size for version in versions))
    return uploads


def _refuse_used(versions: Sequence[Version], subject: str) -> None:
    pins = JobDataset.objects.filter(version__in=versions, job__status__in=Job.ACTIVE)
    jobs = list(pins.order_by("job__name").values_list("job__name", flat=True).distinct()[:SHOWN])
    if jobs:
        raise Conflict(f"{subject} can't be purged: active jobs use it ({', '.join(jobs)}).")
    later = Version.objects.filter(base__in=versions).exclude(status=Version.Status.AVAILABLE)
    for version in later.exclude(pk__in=[version.pk for version in versions]).select_related("dataset")[:1]:
        raise Conflict(f"{subject} can't be purged: {version.label} is not sealed yet and starts from it.")
    making = Version.objects.filter(lineage__source__in=versions, status=Version.Status.PENDING)
    for version in making.exclude(pk__in=[version.pk for version in versions]).select_related("dataset")[:1]:
        raise Conflict(f"{subject} can't be purged: {version.label} is being made from it.")


def _let_go(versions: Sequence[Version]) -> None:
    """Let sealed versions that began as one of these remember its number only."""
    numbers = {version.pk: version.number for version in versions}
    for child in Version.objects.filter(base__in=versions).only("pk", "base_id", "source"):
        if child.base_id is not None:
            source = {**child.source, "base": numbers[child.base_id]}
            Version.objects.filter(pk=child.pk).update(base=None, source=source)


def _clear(sweep: Sweep, uploads: Sequence[UUID]) -> None:
    """Remove what the rows stood for, after the commit. What fails here, the next run finds."""
    for upload in uploads:
        staging().remove(upload)
    journal.finish(sweep)
