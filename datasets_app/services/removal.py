"""What deleting a dataset or a version would touch, told before it is done; and what stands in its way."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from datasets_app.errors import Conflict
from datasets_app.models import Dataset, Import, Job, JobDataset, Label, Lineage, StagedFile, User, Version
from datasets_app.permissions import require
from datasets_app.services.weighing import weigh, weigh_own

if TYPE_CHECKING:
    from django.db.models import QuerySet

SHOWN = 20


@dataclass(frozen=True)
class Removal:
    """What goes and what stays. Sizes are bytes.

    It is purged at `purge_at`, unless it is restored; `freed_size` comes back at `freed_at`, a grace period later.
    `kept_size` stays, because other versions of the team hold the same bytes. What other teams hold is not looked at.
    Lists have at most 20 items.
    """

    subject: str
    purge_at: datetime
    freed_at: datetime
    version_count: int
    open_count: int
    file_count: int
    logical_size: int
    freed_size: int
    kept_size: int
    labels: list[Label]
    # Jobs that have ended: they keep name, number and digest.
    jobs: list[str]
    job_count: int
    # Composed from it: they stay whole.
    composed: list[Version]
    # Sentences that say why it can't be done now; empty when it can.
    obstacles: list[str] = field(default_factory=list)
    # It is in the trash: this is about removing it for good.
    is_purge: bool = False


def purge_time(deleted_at: datetime | None = None) -> datetime:
    """Return when what went to the trash at this time (default: now) is removed for good."""
    return (deleted_at or timezone.now()) + timedelta(days=settings.TRASH_DAYS)


def freed_time(purged_at: datetime) -> datetime:
    """Return when the collector may take the bytes of what is purged at this time: after the grace period."""
    return purged_at + timedelta(hours=settings.GRACE_HOURS)


def describe_dataset_removal(actor: User, *, dataset: Dataset) -> Removal:
    """Tell what deleting the dataset touches; needs the right to delete it."""
    require(actor, "dataset.delete", dataset)
    kept = Version.objects.filter(dataset=dataset, deleted_at=None)
    return _describe(
        dataset.name,
        kept.filter(status=Version.Status.AVAILABLE),
        beside=live_versions(dataset).exclude(dataset=dataset),
        staged=_staged_in(dataset).exclude(version__dataset=dataset),
        open_count=kept.exclude(status=Version.Status.AVAILABLE).count(),
        obstacles=dataset_obstacles(dataset),
    )


def describe_version_removal(actor: User, *, version: Version) -> Removal:
    """Tell what deleting the version touches; needs the right to delete it."""
    require(actor, "dataset.delete", version.dataset)
    return _describe(
        version.label,
        Version.objects.filter(pk=version.pk),
        beside=live_versions(version.dataset).exclude(pk=version.pk),
        staged=_staged_in(version.dataset),
        open_count=0,
        obstacles=version_obstacles(version),
    )


def describe_dataset_purge(actor: User, *, dataset: Dataset) -> Removal:
    """Tell what purging a dataset in the trash touches. What else is in the trash still holds its bytes."""
    require(actor, "dataset.purge", dataset)
    mine = Version.objects.filter(dataset=dataset)
    removal = _describe(
        dataset.name,
        mine.filter(status=Version.Status.AVAILABLE),
        beside=_sealed_versions(dataset).exclude(dataset=dataset),
        staged=_staged_in(dataset).exclude(version__dataset=dataset),
        open_count=mine.exclude(status=Version.Status.AVAILABLE).count(),
        obstacles=dataset_obstacles(dataset),
    )
    return _as_purge(removal)


def describe_version_purge(actor: User, *, version: Version) -> Removal:
    """Tell the same for a version in the trash."""
    require(actor, "dataset.purge", version.dataset)
    removal = _describe(
        version.label,
        Version.objects.filter(pk=version.pk),
        beside=_sealed_versions(version.dataset).exclude(pk=version.pk),
        staged=_staged_in(version.dataset),
        open_count=0,
        obstacles=version_obstacles(version),
    )
    return _as_purge(removal)


def _as_purge(removal: Removal) -> Removal:
    now = timezone.now()
    return replace(removal, is_purge=True, purge_at=now, freed_at=freed_time(now))


def _sealed_versions(dataset: Dataset) -> QuerySet[Version]:
    return Version.objects.filter(dataset__team=dataset.team_id, status=Version.Status.AVAILABLE)


def live_versions(dataset: Dataset) -> QuerySet[Version]:
    """Return the team's sealed versions outside of the trash: what is in it goes before what goes there now."""
    return Version.objects.available().filter(dataset__team=dataset.team_id)


def dataset_obstacles(dataset: Dataset) -> list[str]:
    """Say what must end before the dataset can go to the trash."""
    found = _active_jobs(JobDataset.objects.filter(version__dataset=dataset), f"{dataset.name} can be deleted")
    for run in Import.objects.active().filter(version__dataset=dataset).select_related("version__dataset")[:SHOWN]:
        found.append(f"An import is bringing files into {run.version.label}. Cancel it, or wait until it has ended.")
    return found


def version_obstacles(version: Version) -> list[str]:
    """Say what must end before the version can go to the trash."""
    found = _active_jobs(JobDataset.objects.filter(version=version), f"{version.label} can be deleted")
    based = Version.objects.filter(base=version, deleted_at=None).exclude(status=Version.Status.AVAILABLE)
    for later in based.select_related("dataset")[:SHOWN]:
        found.append(f"{later.label} is not sealed yet and starts from {version.label}. Seal or abandon it first.")
    made = Lineage.objects.filter(source=version, version__status=Version.Status.PENDING, version__deleted_at=None)
    for row in made.select_related("version__dataset")[:SHOWN]:
        found.append(f"{row.version.label} is being made from {version.label}. Wait until that has ended.")
    return found


def refuse_obstacles(subject: str, obstacles: list[str]) -> None:
    """Raise Conflict with everything that stands in the way."""
    if obstacles:
        raise Conflict(f"{subject} can't be deleted now. {' '.join(obstacles)}")


def _active_jobs(pins: QuerySet[JobDataset], what: str) -> list[str]:
    names = pins.filter(job__status__in=Job.ACTIVE).order_by("job__name").values_list("job__name", flat=True).distinct()
    shown = list(names[: SHOWN + 1])
    if not shown:
        return []
    more = " and others" if len(shown) > SHOWN else ""
    word = "job uses" if len(shown) == 1 else "jobs use"
    return [f"Running {word} it: {', '.join(shown[:SHOWN])}{more}. Once they have ended, {what}."]


def _staged_in(dataset: Dataset) -> QuerySet[StagedFile]:
    return StagedFile.objects.filter(version__dataset__team=dataset.team_id, version__dataset__deleted_at=None)


def _describe(  # noqa: PLR0913 - the two callers' differences
    subject: str,
    versions: QuerySet[Version],
    *,
    beside: QuerySet[Version],
    staged: QuerySet[StagedFile],
    open_count: int,
    obstacles: list[str],
) -> Removal:
    purge_at = purge_time()
    freed = weigh_own(versions, beside=beside, staged=staged)
    ended = JobDataset.objects.filter(version__in=versions).exclude(job__status__in=Job.ACTIVE)
    jobs = ended.order_by("-job_id").values_list("job__name", flat=True).distinct()
    used_by = Lineage.objects.filter(source__in=versions, version__deleted_at=None).exclude(version__in=versions)
    roots = list(versions.values_list("root__file_count", "root__size"))
    return Removal(
        subject=subject,
        purge_at=purge_at,
        freed_at=freed_time(purge_at),
        version_count=len(roots),
        open_count=open_count,
        file_count=sum(files or 0 for files, _ in roots),
        logical_size=sum(size or 0 for _, size in roots),
        freed_size=freed,
        kept_size=weigh(versions) - freed,
        labels=list(Label.objects.filter(version__in=versions).select_related("version__dataset")[:SHOWN]),
        jobs=list(jobs[:SHOWN]),
        job_count=ended.values("job").distinct().count(),
        composed=[row.version for row in used_by.select_related("version__dataset").order_by("-version_id")[:SHOWN]],
        obstacles=obstacles,
    )
