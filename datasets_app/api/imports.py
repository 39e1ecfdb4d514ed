"""Routes about imports: fill an open version from a remote store, and follow it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Self

from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body, Page
from datasets_app.errors import NotFound
from datasets_app.models import Import, ImportProblem, Version
from datasets_app.services import imports
from datasets_app.services.connections import get_connection
from datasets_app.services.versions import find_version

router = Router()
# What hangs on a connection, not on a version.
connections_router = Router()


class Source(Body):
    """What to import: everything below a source path that matches a pattern of `include` and none of `exclude`.

    Without `include`, all files. `prefix` is put before every path. `revision` is pinned to one commit at the start.
    """

    source_path: str
    revision: str = ""
    include: list[str] = []
    exclude: list[str] = []
    prefix: str = ""


class NewImport(Source):
    """An import by one of the team's connections. `seal`: seal the version once every file is there."""

    connection: str
    seal: bool = True


class ProblemAnswer(Answer):
    """An object that could not be imported. `path` is empty where its key is no legal path."""

    key: str
    path: str
    cause: str
    detail: str

    @classmethod
    def of(cls, row: ImportProblem) -> Self:
        """Render a problem."""
        return cls(key=row.key, path=row.path, cause=row.cause, detail=row.reason)


class ImportAnswer(Answer):
    """An import. Status: waiting, listing, copying, finished, failed, cancelled; `error` says why it failed.

    Sizes in bytes, speed in bytes and files a second. Every listed file becomes one of linked (stored already),
    copied, failed; `failed_files` counts also keys that can't be files of a dataset. The bytes of linked files,
    `saved_size`, did not move. `problems` holds the last 100 while it runs, and the first 100 when it has ended;
    `list_import_problems` gives all of them.
    """

    team: str
    dataset: str
    version: int
    connection: str
    provider: str
    source_path: str
    revision: str
    pinned: str
    include: list[str]
    exclude: list[str]
    prefix: str
    seal: bool
    status: str
    error: str
    is_listed: bool
    listed_files: int
    listed_size: int
    skipped_files: int
    linked_files: int
    saved_size: int
    copied_files: int
    copied_size: int
    failed_files: int
    speed: float
    files_speed: float
    seconds_left: float | None
    problems: list[ProblemAnswer]
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, run: Import, version: Version) -> Self:
        """Render an import of `version`."""
        progress = imports.measure_import(run)
        return cls(
            team=version.dataset.team.name,
            dataset=version.dataset.name,
            version=version.number,
            connection=run.connection_name,
            provider=run.provider,
            source_path=run.source_path,
            revision=run.revision,
            pinned=run.pinned,
            include=run.include,
            exclude=run.exclude,
            prefix=run.prefix,
            seal=run.seal,
            status=run.status,
            error=run.error,
            is_listed=progress.is_listed,
            listed_files=progress.listed_files,
            listed_size=progress.listed_size,
            skipped_files=run.skipped_files,
            linked_files=progress.linked_files,
            saved_size=progress.saved_size,
            copied_files=progress.copied_files,
            copied_size=progress.copied_size,
            failed_files=progress.failed_files,
            speed=progress.speed,
            files_speed=progress.files_speed,
            seconds_left=progress.seconds_left,
            problems=[ProblemAnswer.of(row) for row in progress.problems],
            created_by=run.created_by.get_username() if run.created_by else None,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )


class PreviewFile(Answer):
    """A file as it would be in the version; `size` in bytes."""

    path: str
    size: int


class PreviewAnswer(Answer):
    """What an import would bring: at least so much, unless `is_whole`. Of stored files no bytes would move.

    `problems` are the first of `problem_count` objects that can't be imported; `revision` what it would be pinned to.
    """

    files: int
    size: int
    skipped_files: int
    is_whole: bool
    stored_files: int
    stored_size: int
    first_files: list[PreviewFile]
    problem_count: int
    problems: list[ProblemAnswer]
    revision: str

    @classmethod
    def of(cls, preview: imports.ImportPreview) -> Self:
        """Render a preview."""
        return cls(
            files=preview.files,
            size=preview.size,
            skipped_files=preview.skipped_files,
            is_whole=preview.is_whole,
            stored_files=preview.stored_files,
            stored_size=preview.stored_size,
            first_files=[PreviewFile(path=path, size=size) for path, size in preview.first_paths],
            problem_count=preview.problem_count,
            problems=[
                ProblemAnswer(key=found.key, path=found.path, cause=found.cause, detail=found.reason)
                for found in preview.problems
            ],
            revision=preview.revision,
        )


@router.post("/{number}/import", response={202: ImportAnswer}, operation_id="start_import", summary="Import")
def start(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: NewImport) -> Any:  # noqa: ANN401
    """Copy everything below a path of a remote store into an open version. Needs the role writer.

    The server fetches by itself; the version is `syncing` meanwhile. 409 while another import into it is under way.
    """
    version = find_version(request.auth, team=team, dataset=name, number=number)
    given = payload.model_dump()
    connection = get_connection(request.auth, team=team, name=given.pop("connection"))
    run = imports.start_import(request.auth, version=version, connection=connection, **given)
    return Status(202, ImportAnswer.of(run, version))


@router.get("/{number}/import", response=ImportAnswer, operation_id="get_import", summary="Follow an import")
def get(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> ImportAnswer:
    """Return the newest import into the version, with how far it has come; 404 when there is none."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    return ImportAnswer.of(_newest(request, version), version)


@router.get(
    "/{number}/import/problems",
    response=Page[ProblemAnswer],
    operation_id="list_import_problems",
    summary="What could not be imported",
)
def problems(  # noqa: PLR0913 - parts of the address, and of the page
    request: ApiRequest,
    team: Path[str],
    name: Path[str],
    number: Path[str],
    cursor: str | None = None,
    limit: int = imports.PROBLEM_ROWS,
) -> Page[ProblemAnswer]:
    """Return what the newest import into the version could not bring, the first first; 404 when there is none.

    Of very many, the first 10,000 are kept. A retry forgets those that it tries again.
    """
    version = find_version(request.auth, team=team, dataset=name, number=number)
    page = imports.list_problems(request.auth, run=_newest(request, version), cursor=cursor, limit=limit)
    return Page[ProblemAnswer](items=[ProblemAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.post(
    "/{number}/import/cancel", response={202: ImportAnswer}, operation_id="cancel_import", summary="Cancel an import"
)
def cancel(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> Any:  # noqa: ANN401
    """Stop an import. What it has brought stays in the open version; a retry goes on from there."""
    return _act(request, team, name, number, imports.cancel_import)


@router.post(
    "/{number}/import/retry", response={202: ImportAnswer}, operation_id="retry_import", summary="Retry an import"
)
def retry(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> Any:  # noqa: ANN401
    """Go on with an import that failed or was cancelled; what is here is not fetched again."""
    return _act(request, team, name, number, imports.retry_import)


@router.post(
    "/{number}/import/leave-out",
    response={202: ImportAnswer},
    operation_id="leave_out_failed",
    summary="Go on without failed files",
)
def leave_out(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> Any:  # noqa: ANN401
    """Drop the files that failed, and seal the version if it was to be. The version tells how many were left out."""
    return _act(request, team, name, number, imports.leave_out_failed)


@connections_router.post(
    "/{name}/preview", response=PreviewAnswer, operation_id="preview_import", summary="Preview an import"
)
def preview(request: ApiRequest, team: Path[str], name: Path[str], payload: Source) -> PreviewAnswer:
    """List what an import by this connection would bring, for some seconds at most; nothing is copied.

    Needs the role writer. 502 with the cause when the store refuses or does not answer.
    """
    connection = get_connection(request.auth, team=team, name=name)
    return PreviewAnswer.of(imports.preview_import(request.auth, connection=connection, **payload.model_dump()))


def _newest(request: ApiRequest, version: Version) -> Import:
    run = imports.get_import(request.auth, version=version)
    if run is None:
        raise NotFound(f"Nothing was imported into {version.label}.")
    return run


def _act(request: ApiRequest, team: str, name: str, number: str, service: Callable[..., Import]) -> Any:  # noqa: ANN401
    version = find_version(request.auth, team=team, dataset=name, number=number)
    run = service(request.auth, run=_newest(request, version))
    return Status(202, ImportAnswer.of(run, version))
