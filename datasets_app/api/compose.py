"""Routes that compose versions from others, and tell what was made of what."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from django.http import HttpResponse
from django.urls import reverse
from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body
from datasets_app.api.versions import VersionAnswer
from datasets_app.models import Lineage, Version
from datasets_app.services import composing, origins
from datasets_app.services.recipes import Part, Split
from datasets_app.services.versions import find_version

router = Router()


class SplitToTake(Body):
    """A share of the files, from `start` to `end` percent. The same seed always gives the same files.

    By path each path is by itself; by content equal files stay together.
    """

    seed: str
    start: float
    end: float
    by: Literal["path", "content"] = "path"


class PartToTake(Body):
    """Some files of a version: those below `folder` (all, if empty) that patterns and split take, put at `prefix`.

    `version` is a number or a label. Patterns are as for imports, over paths relative to the folder.
    """

    dataset: str
    version: int | str = "latest"
    folder: str = ""
    include: list[str] = []
    exclude: list[str] = []
    prefix: str = ""
    split: SplitToTake | None = None

    def part(self) -> Part:
        """Give the service's own."""
        given = self.model_dump(exclude={"split"})
        return Part(**given, split=Split(**self.split.model_dump()) if self.split is not None else None)


class Recipe(Body):
    """From 1 to 20 parts; `on_clash` says what happens where they have different bytes at one path."""

    parts: list[PartToTake]
    on_clash: Literal["refuse", "first", "last"] = "refuse"


class NewComposition(Recipe):
    """A recipe, and the dataset that gets the version; it is made when the team has none of that name."""

    name: str
    description: str = ""
    message: str = ""


class PartCountAnswer(Answer):
    """What a part brings: files of the result and their bytes. `problem` says why it can't be used."""

    label: str
    files: int
    size: int
    problem: str


class CompositionAnswer(Answer):
    """What a recipe would give. `is_whole` is false when only the beginning was looked at; sizes in bytes."""

    parts: list[PartCountAnswer]
    files: int
    size: int
    is_whole: bool
    clashes: list[str]
    clash_count: int
    problem: str


class SourceAnswer(Answer):
    """A version that another was made of. `exists` is false once it was purged; digest and number stay."""

    dataset: str
    version: int
    digest: str
    exists: bool

    @classmethod
    def of(cls, row: Lineage) -> Self:
        """Render one source."""
        return cls(
            dataset=row.dataset_name, version=row.version_number, digest=row.digest, exists=row.source_id is not None
        )


class UseAnswer(Answer):
    """A version that was made of this one."""

    dataset: str
    version: int
    status: str
    digest: str | None
    created_at: datetime

    @classmethod
    def of(cls, version: Version) -> Self:
        """Render one use."""
        return cls(
            dataset=version.dataset.name,
            version=version.number,
            status=version.status,
            digest=version.digest or None,
            created_at=version.created_at,
        )


class LineageAnswer(Answer):
    """Both ways: what a version was made from, part by part, and the newest 100 that were made of it."""

    made_from: list[SourceAnswer]
    used_in: list[UseAnswer]


@router.post("/compose", response={202: VersionAnswer}, operation_id="compose_version", summary="Compose a version")
def compose(request: ApiRequest, team: Path[str], payload: NewComposition, response: HttpResponse) -> Any:  # noqa: ANN401
    """Make a version from parts of others by reference: no bytes move. Needs the role writer.

    It is `pending` while a worker builds its tree. Its `source` keeps the recipe, with the numbers behind labels.
    """
    version = composing.compose_version(
        request.auth,
        team=team,
        name=payload.name,
        parts=[part.part() for part in payload.parts],
        on_clash=payload.on_clash,
        description=payload.description,
        message=payload.message,
    )
    response.headers["Location"] = reverse(
        "api:get_version", kwargs={"team": team, "name": payload.name, "number": version.number}
    )
    return Status(202, VersionAnswer.of(version))


@router.post(
    "/compose/preview", response=CompositionAnswer, operation_id="preview_composition", summary="Preview a composition"
)
def preview(request: ApiRequest, team: Path[str], payload: Recipe) -> CompositionAnswer:
    """Count what a recipe would give; nothing is made."""
    found = composing.preview_composition(
        request.auth, team=team, parts=[part.part() for part in payload.parts], on_clash=payload.on_clash
    )
    return CompositionAnswer(
        parts=[
            PartCountAnswer(label=one.label, files=one.files, size=one.size, problem=one.problem) for one in found.parts
        ],
        files=found.files,
        size=found.size,
        is_whole=found.is_whole,
        clashes=found.clashes,
        clash_count=found.clash_count,
        problem=found.problem,
    )


@router.get(
    "/datasets/{name}/versions/{number}/lineage",
    response=LineageAnswer,
    operation_id="read_lineage",
    summary="What a version was made from",
)
def lineage(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> LineageAnswer:
    """Return what a composed version was made from, and what was made of this one."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    return LineageAnswer(
        made_from=[SourceAnswer.of(row) for row in origins.made_from(request.auth, version=version)],
        used_in=[UseAnswer.of(row) for row in origins.used_in(request.auth, version=version)],
    )
