"""The trash: datasets and versions go there for TRASH_DAYS, come back with one call, or are purged.

Whoever deletes, and whoever attaches a version to a job or starts a version from it, holds the dataset's row: so a
version that is in use never gets here. What has lain here for long enough is removed by the garbage collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from datasets_app.errors import Conflict, NotFound
from datasets_app.models import AuditEvent, Dataset, User, Version
from datasets_app.permissions import get_visible, require
from datasets_app.services.datasets import get_dataset, lock_dataset
from datasets_app.services.garbage import purge
from datasets_app.services.labels import find_number
from datasets_app.services.paging import Page, take_page
from datasets_app.services.removal import dataset_obstacles, refuse_obstacles, version_obstacles
from datasets_app.services.teams import get_team
from datasets_app.services.validation import invalid_field

if TYPE_CHECKING:
    from django.db.models import QuerySet

NEWEST_FIRST = ("-deleted_at", "-id")


def delete_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Move a dataset with all its versions to the trash.

    Raises Conflict, naming them, while active jobs or imports use it.
    """
    dataset = get_dataset(actor, team=team, name=name)
    require(actor, "dataset.delete", dataset)
    with transaction.atomic():
        dataset = lock_dataset(dataset)
        refuse_obstacles(dataset.name, dataset_obstacles(dataset))
        dataset.deleted_at, dataset.deleted_by = timezone.now(), actor
        dataset.save(update_fields=["deleted_at", "deleted_by"])
        AuditEvent.objects.record(actor, team=dataset.team, verb="deleted dataset", subject=name)
    return dataset


def delete_version(actor: User, *, version: Version) -> Version:
    """Move a sealed version to the trash. Its number stays taken, and its labels come back with it.

    Raises Conflict for an open version (abandon it), while an active job uses it, and while an open one starts from it.
    """
    require(actor, "dataset.delete", version.dataset)
    return trash_version(actor, version=version)


def trash_version(actor: User | None, *, version: Version) -> Version:
    """Do the same for an actor whose right was checked, or for a retention rule (None)."""
    with transaction.atomic():
        dataset = lock_dataset(version.dataset)
        if dataset.archived_at is not None:
            raise Conflict(f"The dataset {dataset.name} is archived: unarchive it before you delete a version.")
        if version.status != Version.Status.AVAILABLE:
            raise Conflict(f"{version.label} is {version.status}, not sealed: abandon it instead.")
        refuse_obstacles(version.label, version_obstacles(version))
        now = timezone.now()
        if not Version.objects.filter(pk=version.pk, deleted_at=None).update(deleted_at=now, deleted_by=actor):
            raise NotFound(f"{version.label} is in the trash already, or gone.")
        AuditEvent.objects.record(actor, team=dataset.team, verb="deleted version", subject=version.label)
    version.refresh_from_db(fields=("deleted_at", "deleted_by"))
    return version


def restore_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Take a dataset out of the trash, as it was. Restoring what is not there changes nothing."""
    dataset = find_trashed_dataset(actor, team=team, name=name)
    require(actor, "dataset.delete", dataset)
    with transaction.atomic():
        if Dataset.objects.filter(pk=dataset.pk).exclude(deleted_at=None).update(deleted_at=None, deleted_by=None):
            AuditEvent.objects.record(actor, team=dataset.team, verb="restored dataset", subject=name)
    return get_dataset(actor, team=team, name=name)


def restore_version(actor: User, *, team: str, dataset: str, number: int | str) -> Version:
    """Take a version out of the trash. Raises Conflict while its whole dataset is there."""
    version = find_trashed_version(actor, team=team, dataset=dataset, number=number)
    require(actor, "dataset.delete", version.dataset)
    if version.dataset.deleted_at is not None:
        raise Conflict(f"The dataset {dataset} is in the trash. Restore it, and {version.label} comes back with it.")
    mine = Version.objects.filter(pk=version.pk)
    with transaction.atomic():
        if mine.exclude(deleted_at=None).update(deleted_at=None, deleted_by=None):
            AuditEvent.objects.record(actor, team=version.dataset.team, verb="restored version", subject=version.label)
        elif not mine.exists():
            raise NotFound(f"{version.label} was purged meanwhile.")
    version.refresh_from_db(fields=("deleted_at", "deleted_by"))
    return version


def purge_dataset(actor: User, *, team: str, name: str, typed: str) -> None:
    """Remove a dataset in the trash for good, without waiting; `typed` must be its name. Only admins may."""
    dataset = find_trashed_dataset(actor, team=team, name=name)
    require(actor, "dataset.purge", dataset)
    _check_typed(typed, name)
    purge.purge_dataset(actor, dataset=dataset)


def purge_version(actor: User, *, team: str, dataset: str, number: int | str, typed: str) -> None:
    """Remove a version in the trash for good, without waiting; `typed` must be its label, such as `images@3`."""
    version = find_trashed_version(actor, team=team, dataset=dataset, number=number)
    require(actor, "dataset.purge", version.dataset)
    _check_typed(typed, version.label)
    purge.purge_version(actor, version=version)


def _check_typed(typed: str, wanted: str) -> None:
    if typed.strip() != wanted:
        raise invalid_field("confirm", f"Type {wanted} to confirm that it goes for good.")


def find_trashed_dataset(actor: User, *, team: str, name: str) -> Dataset:
    """Return a dataset, in the trash or not; NotFound for strangers."""
    rows = Dataset.objects.visible_to(actor).filter(team__name=team, name=name).select_related("team", "deleted_by")
    return get_visible(rows.first(), f"dataset {name} in {team}")


def find_trashed_version(actor: User, *, team: str, dataset: str, number: int | str) -> Version:
    """Return a version, in the trash or not; NotFound for strangers."""
    if isinstance(number, str):
        number = find_number(actor, team=team, dataset=dataset, name=number)
    rows = Version.objects.visible_to(actor).filter(dataset__team__name=team, dataset__name=dataset, number=number)
    found = rows.select_related("dataset__team", "dataset__deleted_by", "root", "deleted_by").first()
    return get_visible(found, f"version {dataset}@{number} in {team}")


def list_trashed_datasets(actor: User, *, team: str, cursor: str | None = None, limit: int = 50) -> Page[Dataset]:
    """Return one page of the team's datasets in the trash, the last deleted first."""
    row = get_team(actor, team=team)
    require(actor, "dataset.view", row)
    found: QuerySet[Dataset] = Dataset.objects.filter(team=row).exclude(deleted_at=None)
    return take_page(found.select_related("team", "deleted_by"), order=NEWEST_FIRST, cursor=cursor, limit=limit)


def list_trashed_versions(actor: User, *, team: str, cursor: str | None = None, limit: int = 50) -> Page[Version]:
    """Return one page of the versions that were deleted by themselves, the last deleted first."""
    row = get_team(actor, team=team)
    require(actor, "dataset.view", row)
    found = Version.objects.filter(dataset__team=row, dataset__deleted_at=None).exclude(deleted_at=None)
    rows = found.select_related("dataset__team", "root", "deleted_by")
    return take_page(rows, order=NEWEST_FIRST, cursor=cursor, limit=limit)
