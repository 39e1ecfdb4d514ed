"""Routes about datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self

from django.http import HttpResponse
from django.urls import reverse
from ninja import Path, Query, Router, Schema
from pydantic import BeforeValidator

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body, Page
from datasets_app.api.trash import TrashAnswer
from datasets_app.services.dataset_filters import DatasetFilter
from datasets_app.services.datasets import (
    DatasetSummary,
    create_dataset,
    list_datasets,
    summarize_dataset,
    update_dataset,
)
from datasets_app.services.trash import delete_dataset

router = Router()


class NewDataset(Body):
    """A dataset to make. The name has 3 to 63 letters, digits, - or _, alphanumeric at both ends."""

    name: str
    description: str = ""
    tags: list[str] = []


class DatasetChanges(Body):
    """What to change; a field that is absent or null stays as it is."""

    description: str | None = None
    tags: list[str] | None = None


class DatasetAnswer(Answer):
    """A dataset. `size` (bytes), `file_count` and `digest` are those of the latest available version.

    `status` is that of the newest version (uploading, syncing, pending, available, error), or "empty".
    `damaged`: stored bytes of a version were found to be lost or changed.
    """

    team: str
    name: str
    description: str
    tags: list[str]
    status: str
    latest_version: int | None
    digest: str | None
    size: int
    file_count: int
    version_count: int
    damaged: bool
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None

    @classmethod
    def of(cls, summary: DatasetSummary) -> Self:
        """Render a dataset with its facts."""
        dataset, latest = summary.dataset, summary.latest
        return cls(
            team=dataset.team.name,
            name=dataset.name,
            description=dataset.description,
            tags=summary.tags,
            status=summary.status,
            latest_version=latest.number if latest is not None else None,
            digest=latest.digest if latest is not None else None,
            size=summary.size,
            file_count=summary.file_count,
            version_count=summary.version_count,
            damaged=summary.damaged,
            created_at=dataset.created_at,
            updated_at=dataset.updated_at,
            archived_at=dataset.archived_at,
        )


class DatasetQuery(Schema):
    """Which datasets are listed: those that fit all of these. The page of the list takes the same parameters.

    Every word of `search` is in the name, the description or a tag; `tag` may be given several times; `owner` made the
    dataset; `status` and `source` (upload, s3, minio, r2, gcs, huggingface) are those of the newest version; `since`
    and `until` are the days (YYYY-MM-DD, UTC) of the last change; `archived` is false (unless given), true or all.
    """

    search: str = ""
    status: str = ""
    tag: list[str] = []
    owner: str = ""
    source: str = ""
    since: str = ""
    until: str = ""
    archived: Annotated[Literal["false", "true", "all"], BeforeValidator(lambda word: str(word).lower())] = "false"

    def as_filter(self) -> DatasetFilter:
        """Hand it to the service."""
        tags = tuple(word for word in self.tag if word)
        archived = {"false": False, "true": True, "all": None}[self.archived]
        return DatasetFilter(self.search, tags, self.owner, self.status, self.source, self.since, self.until, archived)


@router.post("", response={201: DatasetAnswer}, operation_id="create_dataset", summary="Make a dataset")
def create(request: ApiRequest, team: Path[str], payload: NewDataset, response: HttpResponse) -> DatasetAnswer:
    """Make an empty dataset; 409 when the team has one of that name. Needs the role writer."""
    create_dataset(request.auth, team=team, name=payload.name, description=payload.description, tags=payload.tags)
    response.headers["Location"] = reverse("api:get_dataset", kwargs={"team": team, "name": payload.name})
    return get(request, team, payload.name)


@router.get("", response=Page[DatasetAnswer], operation_id="list_datasets", summary="List datasets")
def list_page(  # noqa: PLR0913 - one argument for each control of the list
    request: ApiRequest,
    *,
    team: Path[str],
    wanted: Query[DatasetQuery],
    sort: str = "-updated",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[DatasetAnswer]:
    """Return the team's datasets. Sort by name, updated, created, size, files or versions; `-` in front descends."""
    page = list_datasets(
        request.auth,
        team=team,
        wanted=wanted.as_filter(),
        sort=sort,
        cursor=cursor,
        limit=limit,
    )
    return Page[DatasetAnswer](items=[DatasetAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get(
    "/{name}", response=DatasetAnswer, operation_id="get_dataset", summary="Show a dataset", url_name="get_dataset"
)
def get(request: ApiRequest, team: Path[str], name: Path[str]) -> DatasetAnswer:
    """Return one dataset."""
    return DatasetAnswer.of(summarize_dataset(request.auth, team=team, name=name))


@router.patch("/{name}", response=DatasetAnswer, operation_id="update_dataset", summary="Change a dataset")
def update(request: ApiRequest, team: Path[str], name: Path[str], payload: DatasetChanges) -> DatasetAnswer:
    """Change the description or the tags. Needs the role writer."""
    update_dataset(request.auth, team=team, name=name, description=payload.description, tags=payload.tags)
    return get(request, team, name)


@router.delete("/{name}", response=TrashAnswer, operation_id="delete_dataset", summary="Delete a dataset")
def delete(request: ApiRequest, team: Path[str], name: Path[str]) -> TrashAnswer:
    """Move a dataset with all its versions to the trash; 409 while active jobs or imports use it. Needs writer."""
    return TrashAnswer.of(delete_dataset(request.auth, team=team, name=name))
