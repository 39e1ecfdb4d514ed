"""Routes about versions: start one, say what it will hold, seal it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Literal, NotRequired, Self

from django.http import HttpResponse
from django.urls import reverse
from ninja import Path, Router, Status
from pydantic import Field
from typing_extensions import TypedDict

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body, Page, PathList
from datasets_app.api.trash import TrashAnswer
from datasets_app.errors import Invalid
from datasets_app.models import Version
from datasets_app.services import moving, plans, trash, uploads, versions
from datasets_app.services.browsing import list_versions
from datasets_app.services.damages import damaged_versions
from datasets_app.services.datasets import get_dataset
from datasets_app.services.labels import label_names
from datasets_app.services.origins import repeated_numbers
from datasets_app.services.pending_changes import PendingChanges, list_changes
from datasets_app.services.progress import StagingProgress, measure_staging
from datasets_app.services.staged import DeclaredFile
from datasets_app.store.digest import parse_digest

router = Router()


class NewVersion(Body):
    """A version to start. With `base`, the number or a label of an available version, it begins with its files."""

    base: int | str | None = None
    message: str = ""


class FileToPlan(TypedDict):
    """A file that the version shall hold. `size` is in bytes, `sha256` in hex; without it, the bytes must travel.

    "dir/" with the size 0 is a folder that you can't read: no seal without its files, unless it is left out.
    """

    # A dictionary, as what follows below: they come by the thousand, and models take three times as long.
    __pydantic_config__ = Body.model_config  # type: ignore[misc]  # pydantic's own way

    path: str
    size: int
    sha256: NotRequired[str | None]


class Plan(Body):
    """At most 1000 files. With `bundle`, those that are needed get an upload at once, as from `bundles`."""

    files: list[FileToPlan]
    bundle: bool = False


class PlannedAnswer(TypedDict):
    """What is to be done for one path. stored: nothing. needed: send it. partial: go on with `upload` at `offset`.

    unread: a folder that you can't read; declare its files once you can.
    """

    path: str
    state: str
    upload: str | None
    offset: int | None


class BundleAnswer(Answer):
    """A tus upload of `size` bytes, which takes all files that are needed, back to back in the order of the answers."""

    upload: str
    size: int


class PlanAnswer(Answer):
    """The answers, in the order of the files asked about, and the bundle if one was asked for and is needed."""

    files: list[PlannedAnswer]
    bundle: BundleAnswer | None = None


class FailedFile(Answer):
    """A file that could not be taken, and why."""

    path: str
    detail: str


class StagingAnswer(Answer):
    """What was declared for an open version, and how much of it is stored. Sizes in bytes; the first 100 failures."""

    file_count: int
    size: int
    stored_count: int
    stored_size: int
    failed_count: int
    failed: list[FailedFile]

    @classmethod
    def of(cls, progress: StagingProgress) -> Self:
        """Render the counts."""
        return cls(
            file_count=progress.file_count,
            size=progress.size,
            stored_count=progress.stored_count,
            stored_size=progress.stored_size,
            failed_count=progress.failed_count,
            failed=[FailedFile(path=row.path, detail=row.error) for row in progress.failed],
        )


class VersionAnswer(Answer):
    """A version. Digest, file_count and size (bytes) are those of the sealed tree; `staged` only while it is open.

    `same_as` is the newest earlier version of the dataset with the same content: then nothing was changed.
    `labels` (with `latest`) and `damaged` are told where versions are read: by the list, and by the version itself.
    """

    team: str
    dataset: str
    number: int
    labels: list[str] = []
    damaged: bool = False
    status: str
    digest: str | None
    file_count: int
    size: int
    base: int | None
    message: str
    source: dict[str, Any]
    error: str
    warnings: list[str]
    created_by: str | None
    created_at: datetime
    sealed_at: datetime | None
    same_as: int | None = None
    staged: StagingAnswer | None = None

    @classmethod
    def of(
        cls,
        version: Version,
        *,
        staged: bool = False,
        repeated: Mapping[int, int] | None = None,
        labels: Mapping[int, list[str]] | None = None,
        damaged: Collection[int] = (),
    ) -> Self:
        """Render a version; with `staged`, count what an open one holds so far. `repeated` as `repeated_numbers`."""
        same_as = (repeated_numbers([version]) if repeated is None else repeated).get(version.pk)
        progress = measure_staging(version) if staged and version.is_open else None
        return cls(
            team=version.dataset.team.name,
            dataset=version.dataset.name,
            number=version.number,
            labels=(labels or {}).get(version.pk, []),
            damaged=version.pk in damaged,
            status=version.status,
            digest=version.digest or None,
            file_count=version.file_count,
            size=version.size,
            base=version.base.number if version.base else None,
            message=version.message,
            source=version.source,
            error=version.error,
            warnings=version.warnings,
            created_by=version.created_by.get_username() if version.created_by else None,
            created_at=version.created_at,
            sealed_at=version.sealed_at,
            same_as=same_as,
            staged=StagingAnswer.of(progress) if progress is not None else None,
        )


class PathToMove(Body):
    """Both paths in full, as they are before and after. A "/" at the end means that it has to be a folder."""

    source: str = Field(alias="from")
    target: str = Field(alias="to")


class MoveList(Body):
    """At most 1000 moves."""

    moves: list[PathToMove]


class MovedAnswer(Answer):
    """How many files and folders moved."""

    moved: int


class UndoneAnswer(Answer):
    """How many changes were taken back."""

    undone: int


class PendingChangeAnswer(Answer):
    """A path that the version will have otherwise than its base; a folder that moved or goes as a whole is one.

    `size` in bytes; `old_size` is of what is replaced, `old_path` is where a moved one is in the base. `state` tells of
    a new file whether its bytes are here: stored, partial, needed or failed.
    """

    change: Literal["added", "replaced", "renamed", "moved", "removed"]
    type: Literal["directory", "file"]
    path: str
    old_path: str | None
    file_count: int
    size: int
    old_size: int | None
    state: str


class PendingTallyAnswer(Answer):
    """How many files, and their bytes."""

    files: int
    size: int


class PendingAnswer(Page[PendingChangeAnswer]):
    """One page of changes in tree order. `counts` has all of them by kind.

    `file_count` and `size` (bytes) are what the version will hold. All three are null when there are too many changes.
    """

    counts: dict[str, PendingTallyAnswer] | None
    file_count: int | None
    size: int | None

    @classmethod
    def of(cls, found: PendingChanges) -> Self:
        """Render a page."""
        items = [
            PendingChangeAnswer(
                change=one.kind,
                type=one.type,
                path=one.path,
                old_path=one.old_path,
                file_count=one.file_count,
                size=one.size,
                old_size=one.old_size,
                state=one.state,
            )
            for one in found.changes
        ]
        tallies = found.tallies
        return cls(
            items=items,
            next_cursor=found.next_cursor,
            counts=None
            if tallies is None
            else {kind: PendingTallyAnswer(files=one.files, size=one.size) for kind, one in tallies.items()},
            file_count=found.file_count,
            size=found.size,
        )


class FilesToLeaveOut(Body):
    """Up to 1000 paths; without them all declared files that have not arrived, if they are `count` as you believe."""

    paths: list[str] | None = None
    count: int | None = None


class LeftOutAnswer(Answer):
    """How many declared files were given up."""

    left_out: int


class RemovedAnswer(Answer):
    """How many staged files were removed."""

    removed: int


@router.get("", response=Page[VersionAnswer], operation_id="list_versions", summary="List versions")
def list_page(
    request: ApiRequest, team: Path[str], name: Path[str], cursor: str | None = None, limit: int = 50
) -> Page[VersionAnswer]:
    """Return the dataset's versions, the newest first."""
    dataset = get_dataset(request.auth, team=team, name=name)
    page = list_versions(request.auth, dataset=dataset, cursor=cursor, limit=limit)
    repeated, labels = repeated_numbers(page.items), label_names(dataset, page.items)
    damaged = damaged_versions(page.items)
    items = [VersionAnswer.of(row, repeated=repeated, labels=labels, damaged=damaged) for row in page.items]
    return Page[VersionAnswer](items=items, next_cursor=page.next_cursor)


@router.post("", response={201: VersionAnswer}, operation_id="create_version", summary="Start a version")
def create(request: ApiRequest, team: Path[str], name: Path[str], payload: NewVersion, response: HttpResponse) -> Any:  # noqa: ANN401
    """Start an open version, which then takes files until it is sealed. Needs the role writer."""
    dataset = get_dataset(request.auth, team=team, name=name)
    version = versions.create_version(request.auth, dataset=dataset, base=payload.base, message=payload.message)
    response.headers["Location"] = reverse(
        "api:get_version", kwargs={"team": team, "name": name, "number": version.number}
    )
    return Status(201, VersionAnswer.of(version))


@router.get(
    "/{number}", response=VersionAnswer, operation_id="get_version", summary="Show a version", url_name="get_version"
)
def get(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> VersionAnswer:
    """Return one version; while it is open, with the progress of what was declared for it."""
    version = _find(request, team, name, number)
    labels, damaged = label_names(version.dataset, [version]), damaged_versions([version])
    return VersionAnswer.of(version, staged=True, labels=labels, damaged=damaged)


@router.delete("/{number}", response=TrashAnswer, operation_id="delete_version", summary="Delete a version")
def delete(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> TrashAnswer:
    """Move a sealed version to the trash; 409 for an open one, and while a job or an open version uses it.

    Needs the role writer.
    """
    return TrashAnswer.of(trash.delete_version(request.auth, version=_find(request, team, name, number)))


@router.post("/{number}/restore", response=VersionAnswer, operation_id="restore_version", summary="Restore a version")
def restore(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> VersionAnswer:
    """Take a version out of the trash; 409 while its whole dataset is there. Needs the role writer."""
    trash.restore_version(request.auth, team=team, dataset=name, number=number)
    return VersionAnswer.of(_find(request, team, name, number))


@router.post("/{number}/plan", response=PlanAnswer, operation_id="plan_files", summary="Declare files")
def plan(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: Plan) -> PlanAnswer:
    """Declare up to 1000 files and learn which bytes are needed. Asking again is safe, and tells what has changed.

    `bundle` saves small files a second request: what is needed can be sent at once, as the body of one upload.
    """
    version = _find(request, team, name, number)
    files = [DeclaredFile(file["path"], file["size"], _digest(index, file)) for index, file in enumerate(payload.files)]
    planned, bundle = plans.plan_files(request.auth, version=version, files=files, bundle=payload.bundle)
    return PlanAnswer(
        bundle=BundleAnswer(upload=reverse("tus_upload", args=[bundle.pk]), size=bundle.size) if bundle else None,
        files=[
            {
                "path": file.path,
                "state": file.state,
                "upload": reverse("tus_upload", args=[file.upload]) if file.upload else None,
                "offset": file.offset,
            }
            for file in planned
        ],
    )


@router.post("/{number}/remove", response=RemovedAnswer, operation_id="remove_paths", summary="Leave paths out")
def remove(
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: PathList
) -> RemovedAnswer:
    """Leave out staged paths and paths of the base version; "dir/" is a whole directory."""
    version = _find(request, team, name, number)
    return RemovedAnswer(removed=plans.remove_paths(request.auth, version=version, paths=payload.paths))


@router.post(
    "/{number}/leave-out", response=LeftOutAnswer, operation_id="leave_out_files", summary="Give up declared files"
)
def leave_out(
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: FilesToLeaveOut
) -> LeftOutAnswer:
    """Give up declared files, so that the version can be sealed without them; what the base has there stays.

    409 when `count` files are no longer those that have not arrived.
    """
    version = _find(request, team, name, number)
    left = plans.leave_out(request.auth, version=version, paths=payload.paths, count=payload.count)
    return LeftOutAnswer(left_out=left)


@router.post("/{number}/move", response=MovedAnswer, operation_id="move_paths", summary="Move and rename")
def move(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: MoveList) -> MovedAnswer:
    """Move or rename up to 1000 files and folders of an open version, in this order; all of them, or none.

    No bytes move: a folder of the base stays one shared directory. What is at its target already is not counted, so a
    request may be sent again. 404 names a path that is not there, 409 one whose target is taken.
    """
    moves = [moving.Move(move.source, move.target) for move in payload.moves]
    return MovedAnswer(moved=moving.move_paths(request.auth, version=_find(request, team, name, number), moves=moves))


@router.post("/{number}/undo", response=UndoneAnswer, operation_id="undo_changes", summary="Undo pending changes")
def undo(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: PathList) -> UndoneAnswer:
    """Take back single changes of an open version, by the paths that `changes` lists; "dir/" is a folder.

    409 names a path where something else stands in the way.
    """
    version = _find(request, team, name, number)
    return UndoneAnswer(undone=moving.undo_changes(request.auth, version=version, paths=payload.paths))


@router.get(
    "/{number}/changes", response=PendingAnswer, operation_id="list_changes", summary="Pending changes of a version"
)
def changes(  # noqa: PLR0913 - one argument for each part of the URL and its query
    request: ApiRequest,
    *,
    team: Path[str],
    name: Path[str],
    number: Path[str],
    kind: str = "",
    cursor: str | None = None,
    limit: int = 200,
) -> PendingAnswer:
    """Return what an open version changes in its base, before it is sealed; 409 for a sealed one.

    `kind` keeps one of added, replaced, renamed, moved, removed.
    """
    version = _find(request, team, name, number)
    return PendingAnswer.of(list_changes(request.auth, version=version, kind=kind, cursor=cursor, limit=limit))


@router.post("/{number}/bundles", response={201: None}, operation_id="create_bundle", summary="Send many small files")
def create_bundle(  # noqa: PLR0913
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: PathList, response: HttpResponse
) -> Any:  # noqa: ANN401
    """Start a tus upload (see Location) whose body is the planned files back to back, in the order of `paths`."""
    version = _find(request, team, name, number)
    upload = uploads.create_bundle(request.auth, version=version, paths=payload.paths)
    response.headers["Location"] = reverse("tus_upload", args=[upload.pk])
    response.headers["Upload-Length"] = str(upload.size)
    return Status(201, None)


@router.post("/{number}/seal", response={202: VersionAnswer}, operation_id="seal_version", summary="Seal a version")
def seal(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> Any:  # noqa: ANN401
    """Make the version immutable once all declared files are stored; 409 names those that are missing or failed.

    A small version is available in the answer; a larger one is pending: ask for it until it is available.
    """
    version = versions.seal_version(request.auth, version=_find(request, team, name, number))
    return Status(202, VersionAnswer.of(version))


@router.post("/{number}/abandon", response={204: None}, operation_id="abandon_version", summary="Drop an open version")
def abandon(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> Any:  # noqa: ANN401
    """Drop an unsealed version and what was sent for it."""
    versions.abandon_version(request.auth, version=_find(request, team, name, number))
    return Status(204, None)


def _find(request: ApiRequest, team: str, name: str, number: str) -> Version:
    return versions.find_version(request.auth, team=team, dataset=name, number=number)


def _digest(index: int, file: FileToPlan) -> bytes | None:
    text = file.get("sha256")
    try:
        return parse_digest(text) if text is not None else None
    except ValueError as error:
        raise Invalid(str(error), errors=[{"field": f"files.{index}.sha256", "detail": str(error)}]) from error
