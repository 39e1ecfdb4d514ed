"""Archived datasets: read-only, out of the list, and no longer offered to jobs. Jobs that run go on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from datasets_app.errors import Conflict
from datasets_app.models import AuditEvent, Dataset, Import, Job, Label, RetentionRule, User, Version
from datasets_app.permissions import require
from datasets_app.services.datasets import get_dataset, lock_dataset

if TYPE_CHECKING:
    from django.db.models import QuerySet

SHOWN = 20


@dataclass(frozen=True)
class Archiving:
    """What archiving a dataset touches; nothing of it is removed. Lists have at most 20 items.

    `jobs` are active and go on. `unsealed` versions take no files until it is unarchived. `obstacles` are sentences
    that say why it can't be done now.
    """

    version_count: int
    labels: list[Label]
    jobs: list[str]
    job_count: int
    unsealed: list[Version]
    unsealed_count: int
    has_rule: bool
    obstacles: list[str]


def archive_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Make a dataset read-only. Archiving twice changes nothing. Raises Conflict while an import fills it."""
    dataset = get_dataset(actor, team=team, name=name)
    require(actor, "dataset.archive", dataset)
    with transaction.atomic():
        dataset = lock_dataset(dataset)
        run = _imports_into(dataset).first()
        if run is not None:
            raise Conflict(_obstacle(run))
        if dataset.archived_at is None:
            dataset.archived_at = timezone.now()
            dataset.save(update_fields=["archived_at"])
            AuditEvent.objects.record(actor, team=dataset.team, verb="archived dataset", subject=name)
    return dataset


def describe_archiving(actor: User, *, dataset: Dataset) -> Archiving:
    """Tell what archiving touches; needs the right to do it."""
    require(actor, "dataset.archive", dataset)
    versions = dataset.versions.filter(deleted_at=None)
    active = Job.objects.filter(status__in=Job.ACTIVE, datasets__version__dataset=dataset).distinct().order_by("name")
    unsealed = versions.exclude(status=Version.Status.AVAILABLE).select_related("dataset").order_by("-number")
    return Archiving(
        version_count=versions.filter(status=Version.Status.AVAILABLE).count(),
        labels=list(Label.objects.filter(dataset=dataset).select_related("version").order_by("name")[:SHOWN]),
        jobs=list(active.values_list("name", flat=True)[:SHOWN]),
        job_count=active.count(),
        unsealed=list(unsealed[:SHOWN]),
        unsealed_count=unsealed.count(),
        has_rule=RetentionRule.objects.filter(dataset=dataset, is_on=True).exists(),
        obstacles=[_obstacle(run) for run in _imports_into(dataset)[:SHOWN]],
    )


def unarchive_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Bring a dataset back from the archive; harmless when it isn't there."""
    dataset = get_dataset(actor, team=team, name=name)
    require(actor, "dataset.archive", dataset)
    with transaction.atomic():
        if Dataset.objects.filter(pk=dataset.pk).exclude(archived_at=None).update(archived_at=None):
            AuditEvent.objects.record(actor, team=dataset.team, verb="unarchived dataset", subject=name)
    dataset.refresh_from_db(fields=("archived_at",))
    return dataset


def _imports_into(dataset: Dataset) -> QuerySet[Import]:
    return Import.objects.active().filter(version__dataset=dataset).select_related("version__dataset")


def _obstacle(run: Import) -> str:
    return f"An import is bringing files into {run.version.label}. Cancel it, or wait until it has ended."
