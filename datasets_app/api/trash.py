"""Routes about the archive and the trash. What moves there is deleted by the routes of datasets and versions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.utils import timezone
from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body, Page
from datasets_app.models import Dataset, Version
from datasets_app.services import archiving, trash
from datasets_app.services.datasets import get_dataset
from datasets_app.services.removal import Removal, describe_dataset_removal, describe_version_removal, purge_time
from datasets_app.services.versions import find_version

router = Router()


class TrashAnswer(Answer):
    """Something in the trash: a version, or a dataset with all its versions (`number` is null). `size` in bytes.

    It can be restored until `purged_at`. `deleted_by` is null when a retention rule deleted it.
    """

    team: str
    dataset: str
    number: int | None
    file_count: int | None
    size: int | None
    deleted_at: datetime
    deleted_by: str | None
    purged_at: datetime

    @classmethod
    def of(cls, row: Dataset | Version) -> Self:
        """Render what was just found in the trash."""
        dataset = row.dataset if isinstance(row, Version) else row
        deleted_at = row.deleted_at or timezone.now()
        return cls(
            team=dataset.team.name,
            dataset=dataset.name,
            number=row.number if isinstance(row, Version) else None,
            file_count=row.file_count if isinstance(row, Version) else None,
            size=row.size if isinstance(row, Version) else None,
            deleted_at=deleted_at,
            deleted_by=row.deleted_by.get_username() if row.deleted_by else None,
            purged_at=purge_time(deleted_at),
        )


class LabelOfVersion(Answer):
    """A label and the number that it points to."""

    name: str
    version: int


class RemovalAnswer(Answer):
    """What deleting would touch. Sizes in bytes: `freed_size` comes back at `freed_at`, `kept_size` stays shared.

    `freed_at` is a grace period after `purged_at`, until which it can be restored.
    `jobs` have ended and keep name, number and digest (at most 20 are named). `obstacles` say why it can't be deleted.
    """

    versions: int
    unsealed_versions: int
    file_count: int
    logical_size: int
    freed_size: int
    kept_size: int
    purged_at: datetime
    freed_at: datetime
    labels: list[LabelOfVersion]
    job_count: int
    jobs: list[str]
    obstacles: list[str]

    @classmethod
    def of(cls, removal: Removal) -> Self:
        """Render a removal."""
        return cls(
            versions=removal.version_count,
            unsealed_versions=removal.open_count,
            file_count=removal.file_count,
            logical_size=removal.logical_size,
            freed_size=removal.freed_size,
            kept_size=removal.kept_size,
            purged_at=removal.purge_at,
            freed_at=removal.freed_at,
            labels=[LabelOfVersion(name=label.name, version=label.version.number) for label in removal.labels],
            job_count=removal.job_count,
            jobs=removal.jobs,
            obstacles=removal.obstacles,
        )


class Purge(Body):
    """What must be typed to purge: a dataset's name, or a version's label such as `images@3`."""

    confirm: str


class ArchiveAnswer(Answer):
    """Since when a dataset is archived; null when it is not."""

    team: str
    name: str
    archived_at: datetime | None


@router.post(
    "/datasets/{name}/archive", response=ArchiveAnswer, operation_id="archive_dataset", summary="Archive a dataset"
)
def archive(request: ApiRequest, team: Path[str], name: Path[str]) -> ArchiveAnswer:
    """Make a dataset read-only and take it out of the list. 409 while an import fills it. Needs the role writer."""
    dataset = archiving.archive_dataset(request.auth, team=team, name=name)
    return ArchiveAnswer(team=team, name=name, archived_at=dataset.archived_at)


@router.post(
    "/datasets/{name}/unarchive",
    response=ArchiveAnswer,
    operation_id="unarchive_dataset",
    summary="Unarchive a dataset",
)
def unarchive(request: ApiRequest, team: Path[str], name: Path[str]) -> ArchiveAnswer:
    """Bring a dataset back from the archive. Needs the role writer."""
    dataset = archiving.unarchive_dataset(request.auth, team=team, name=name)
    return ArchiveAnswer(team=team, name=name, archived_at=dataset.archived_at)


@router.get(
    "/datasets/{name}/removal",
    response=RemovalAnswer,
    operation_id="describe_dataset_removal",
    summary="What deleting a dataset would touch",
)
def dataset_removal(request: ApiRequest, team: Path[str], name: Path[str]) -> RemovalAnswer:
    """Tell what deleting the dataset would touch, free and leave; nothing is changed. Needs the role writer."""
    dataset = get_dataset(request.auth, team=team, name=name)
    return RemovalAnswer.of(describe_dataset_removal(request.auth, dataset=dataset))


@router.post(
    "/datasets/{name}/restore", response=ArchiveAnswer, operation_id="restore_dataset", summary="Restore a dataset"
)
def restore(request: ApiRequest, team: Path[str], name: Path[str]) -> ArchiveAnswer:
    """Take a dataset out of the trash, as it was. Needs the role writer."""
    dataset = trash.restore_dataset(request.auth, team=team, name=name)
    return ArchiveAnswer(team=team, name=name, archived_at=dataset.archived_at)


@router.post(
    "/datasets/{name}/purge",
    response={204: None},
    operation_id="purge_dataset",
    summary="Purge a dataset in the trash",
)
def purge_dataset(request: ApiRequest, team: Path[str], name: Path[str], payload: Purge) -> Any:  # noqa: ANN401
    """Remove a dataset in the trash for good, now. Its bytes come back a grace period later. Needs the role admin."""
    trash.purge_dataset(request.auth, team=team, name=name, typed=payload.confirm)
    return Status(204, None)


@router.post(
    "/datasets/{name}/versions/{number}/purge",
    response={204: None},
    operation_id="purge_version",
    summary="Purge a version in the trash",
)
def purge_version(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: Purge) -> Any:  # noqa: ANN401
    """Remove a version in the trash for good, now. Its bytes come back a grace period later. Needs the role admin."""
    trash.purge_version(request.auth, team=team, dataset=name, number=number, typed=payload.confirm)
    return Status(204, None)


@router.get(
    "/datasets/{name}/versions/{number}/removal",
    response=RemovalAnswer,
    operation_id="describe_version_removal",
    summary="What deleting a version would touch",
)
def version_removal(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> RemovalAnswer:
    """Tell what deleting the version would touch, free and leave; nothing is changed. Needs the role writer."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    return RemovalAnswer.of(describe_version_removal(request.auth, version=version))


@router.get(
    "/trash/datasets", response=Page[TrashAnswer], operation_id="list_trashed_datasets", summary="Datasets in the trash"
)
def trashed_datasets(
    request: ApiRequest, team: Path[str], cursor: str | None = None, limit: int = 50
) -> Page[TrashAnswer]:
    """Return the datasets in the trash, the last deleted first."""
    page = trash.list_trashed_datasets(request.auth, team=team, cursor=cursor, limit=limit)
    return Page[TrashAnswer](items=[TrashAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get(
    "/trash/versions", response=Page[TrashAnswer], operation_id="list_trashed_versions", summary="Versions in the trash"
)
def trashed_versions(
    request: ApiRequest, team: Path[str], cursor: str | None = None, limit: int = 50
) -> Page[TrashAnswer]:
    """Return the versions that were deleted by themselves, the last deleted first."""
    page = trash.list_trashed_versions(request.auth, team=team, cursor=cursor, limit=limit)
    return Page[TrashAnswer](items=[TrashAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)
