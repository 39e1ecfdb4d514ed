"""Routes about space: what versions, datasets and teams store, now and day by day."""

from __future__ import annotations

from datetime import date
from typing import Any, Self

from ninja import Path, Router

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Page
from datasets_app.models import SpaceSample
from datasets_app.services import space
from datasets_app.services.datasets import get_dataset
from datasets_app.services.teams import get_team
from datasets_app.services.versions import find_version

router = Router()


class VersionSpaceAnswer(Answer):
    """Bytes of a sealed version. `logical_size` counts every file, `stored_size` equal bytes once.

    `own_size` is held by no other version of the team, in the trash or not; `shared_size` is the rest of what is
    stored. `added_size` is what no earlier version of the dataset held.
    """

    logical_size: int
    stored_size: int
    shared_size: int
    own_size: int
    added_size: int


class SpaceAnswer(Answer):
    """Bytes that a team or a dataset stores, each blob once; `day` is when they were counted.

    `live_size` is stored for live versions, `trash_size` only for those in the trash, `open_size` only for those that
    are not sealed; `stored_size` is the sum. `logical_size` counts every file of every live version.
    """

    day: date
    version_count: int
    logical_size: int
    stored_size: int
    live_size: int
    trash_size: int
    open_size: int

    @classmethod
    def of(cls, sample: SpaceSample) -> Self:
        """Render figures."""
        return cls(**_figures(sample))


class DatasetSpaceAnswer(SpaceAnswer):
    """As of a team, and how much of `live_size` other datasets of the team hold as well, and how much they don't."""

    shared_size: int
    own_size: int


class ListedSpaceAnswer(Answer):
    """A dataset of the list. `space` is null when nothing was counted yet; figures may be those of an earlier day."""

    dataset: str
    space: SpaceAnswer | None


class SpaceHistory(Answer):
    """One entry a day of the last year, the oldest first; days on which nobody counted are missing."""

    items: list[SpaceAnswer]


def _figures(sample: SpaceSample) -> dict[str, Any]:
    return {name: getattr(sample, name) for name in SpaceAnswer.model_fields}


@router.get("/space", response=SpaceAnswer, operation_id="get_team_space", summary="What a team stores")
def team_space(request: ApiRequest, team: Path[str]) -> SpaceAnswer:
    """Return what the team stores now. What other teams hold is neither counted nor told."""
    return SpaceAnswer.of(space.measure_team(request.auth, team=get_team(request.auth, team=team)))


@router.get(
    "/space/history", response=SpaceHistory, operation_id="get_team_space_history", summary="A team's space by day"
)
def team_history(request: ApiRequest, team: Path[str]) -> SpaceHistory:
    """Return what the team stored, day by day."""
    rows = space.list_samples(request.auth, team=get_team(request.auth, team=team))
    return SpaceHistory(items=[SpaceAnswer.of(row) for row in rows])


@router.get(
    "/space/datasets",
    response=Page[ListedSpaceAnswer],
    operation_id="list_dataset_spaces",
    summary="What each dataset stores",
)
def dataset_list(
    request: ApiRequest, team: Path[str], cursor: str | None = None, limit: int = 50
) -> Page[ListedSpaceAnswer]:
    """Return what each dataset stores, the largest first. Bytes that two datasets hold count for both."""
    row = get_team(request.auth, team=team)
    page = space.list_dataset_spaces(request.auth, team=row, cursor=cursor, limit=limit)
    items = [
        ListedSpaceAnswer(
            dataset=item.dataset.name, space=SpaceAnswer.of(item.sample) if item.sample is not None else None
        )
        for item in page.items
    ]
    return Page[ListedSpaceAnswer](items=items, next_cursor=page.next_cursor)


@router.get(
    "/datasets/{name}/space",
    response=DatasetSpaceAnswer,
    operation_id="get_dataset_space",
    summary="What a dataset stores",
)
def dataset_space(request: ApiRequest, team: Path[str], name: Path[str]) -> DatasetSpaceAnswer:
    """Return what the dataset stores now."""
    dataset = get_dataset(request.auth, team=team, name=name)
    sample = space.measure_dataset(request.auth, dataset=dataset)
    own = space.measure_dataset_own(request.auth, dataset=dataset)
    return DatasetSpaceAnswer(**_figures(sample), own_size=own, shared_size=sample.live_size - own)


@router.get(
    "/datasets/{name}/space/history",
    response=SpaceHistory,
    operation_id="get_dataset_space_history",
    summary="A dataset's space by day",
)
def dataset_history(request: ApiRequest, team: Path[str], name: Path[str]) -> SpaceHistory:
    """Return what the dataset stored, day by day."""
    dataset = get_dataset(request.auth, team=team, name=name)
    rows = space.list_samples(request.auth, team=dataset.team, dataset=dataset)
    return SpaceHistory(items=[SpaceAnswer.of(row) for row in rows])


@router.get(
    "/datasets/{name}/versions/{number}/space",
    response=VersionSpaceAnswer,
    operation_id="get_version_space",
    summary="What a version stores",
)
def version_space(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> VersionSpaceAnswer:
    """Return the version's figures: at once if nothing has changed, else counted now. 409 while it is not sealed."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    found = space.measure_version(request.auth, version=version)
    return VersionSpaceAnswer(**{field: getattr(found, field) for field in VersionSpaceAnswer.model_fields})
