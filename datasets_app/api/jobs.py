"""Routes about jobs: submit, watch, stop, read what they printed and left."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, Self

from django.http import HttpResponse, StreamingHttpResponse
from django.urls import reverse
from django.utils.http import content_disposition_header
from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.files import SANDBOX
from datasets_app.api.schemas import Answer, Body, Page
from datasets_app.models import Job
from datasets_app.services.job_files import LOG_BYTES, Output, OutputFile, OutputList, find_output, read_log
from datasets_app.services.job_rules import JobLimits, shown_env
from datasets_app.services.jobs import Attachment, create_job, get_job, list_jobs, stop_job

router = Router()

BLOCK_BYTES = 2**20


class NewAttachment(Body):
    """A dataset to mount: by default its newest available version, at `/input/<dataset>/`.

    `version` is a number or a label. The job keeps the number behind the label: moving that changes no job.
    """

    dataset: str
    version: int | str | None = None
    mount_name: str = ""


class NewJob(Body):
    """A job to submit. `command` is a program and its arguments; there is no shell unless the command is one.

    Limits are bytes, seconds and a count, for all processes of the job together; null is no limit.
    """

    name: str
    kind: str
    command: list[str]
    datasets: list[NewAttachment] = []
    env: dict[str, str] = {}
    allow_network: bool = False
    memory_bytes: int | None = None
    cpu_seconds: int | None = None
    max_processes: int | None = None
    time_limit_seconds: int | None = None
    image: str = ""
    runner: str = "local"


class AttachmentAnswer(Answer):
    """A pinned version. Name, number and digest stay when the dataset is gone."""

    dataset: str
    version: int
    digest: str
    mount_name: str
    path: str


class JobAnswer(Answer):
    """A job. Status: pending, running, succeeded, failed, stopping, stopped; `error` says why it failed.

    `env` hides the values of variables whose name says that they are secret.
    """

    team: str
    name: str
    kind: str
    status: str
    command: list[str]
    datasets: list[AttachmentAnswer]
    env: dict[str, str]
    image: str
    runner: str
    allow_network: bool
    memory_bytes: int | None
    cpu_seconds: int | None
    max_processes: int | None
    time_limit_seconds: int | None
    exit_code: int | None
    error: str
    created_by: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """Render a job."""
        return cls(
            team=job.team.name,
            name=job.name,
            kind=job.kind,
            status=job.status,
            command=job.command,
            datasets=[
                AttachmentAnswer(
                    dataset=row.dataset_name,
                    version=row.version_number,
                    digest=row.digest,
                    mount_name=row.mount_name,
                    path=f"/input/{row.mount_name}",
                )
                for row in job.datasets.all()
            ],
            env=shown_env(job.env),
            image=job.image,
            runner=job.runner,
            allow_network=job.allow_network,
            memory_bytes=job.memory_bytes,
            cpu_seconds=job.cpu_seconds,
            max_processes=job.max_processes,
            time_limit_seconds=job.time_limit_seconds,
            exit_code=job.exit_code,
            error=job.error,
            created_by=job.created_by.get_username() if job.created_by else None,
            created_at=job.created_at,
            started_at=job.started_at,
            finished_at=job.finished_at,
        )


class OutputAnswer(Answer):
    """Something in /output. `size` in bytes; type "other" is a link, pipe or device, which is not served."""

    type: Literal["directory", "file", "other"]
    name: str
    path: str
    size: int
    modified_at: datetime

    @classmethod
    def of(cls, output: Output) -> Self:
        """Render one line of a listing."""
        return cls(
            type=output.kind, name=output.name, path=output.path, size=output.size, modified_at=output.modified_at
        )


class OutputsAnswer(Answer):
    """A directory of /output; `truncated` when it has more than 10,000 entries."""

    items: list[OutputAnswer]
    truncated: bool


@router.post("", response={201: JobAnswer}, operation_id="create_job", summary="Submit a job")
def create(request: ApiRequest, team: Path[str], payload: NewJob, response: HttpResponse) -> JobAnswer:
    """Submit a job; each dataset is pinned to one available version now. Needs the role writer.

    404 for a dataset or version that you can't see, 409 for a name in use or a version that is not available, 503 with
    what to install when jobs can't run on this server.
    """
    given = payload.model_dump(exclude={"datasets", *JobLimits._fields})
    limits = JobLimits(**payload.model_dump(include=set(JobLimits._fields)))
    attachments = [Attachment(**row.model_dump()) for row in payload.datasets]
    create_job(request.auth, team=team, datasets=attachments, limits=limits, **given)
    response.headers["Location"] = reverse("api:get_job", kwargs={"team": team, "name": payload.name})
    return get(request, team, payload.name)


@router.get("", response=Page[JobAnswer], operation_id="list_jobs", summary="List jobs")
def list_page(  # noqa: PLR0913 - one argument for each control of the list
    request: ApiRequest,
    *,
    team: Path[str],
    search: str = "",
    status: str = "",
    kind: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[JobAnswer]:
    """Return the team's jobs, the newest first."""
    page = list_jobs(request.auth, team=team, search=search, status=status, kind=kind, cursor=cursor, limit=limit)
    return Page[JobAnswer](items=[JobAnswer.of(job) for job in page.items], next_cursor=page.next_cursor)


@router.get("/{name}", response=JobAnswer, operation_id="get_job", summary="Show a job", url_name="get_job")
def get(request: ApiRequest, team: Path[str], name: Path[str]) -> JobAnswer:
    """Return one job."""
    return JobAnswer.of(get_job(request.auth, team=team, name=name))


@router.post("/{name}/stop", response={202: JobAnswer}, operation_id="stop_job", summary="Stop a job")
def stop(request: ApiRequest, team: Path[str], name: Path[str]) -> Any:  # noqa: ANN401
    """Ask a job to end: its processes get SIGTERM and, ten seconds later, SIGKILL. 409 when it has already ended."""
    return Status(202, JobAnswer.of(stop_job(request.auth, team=team, name=name)))


@router.get("/{name}/logs", response={200: None}, operation_id="read_log", summary="Read the log", url_name="read_log")
def logs(
    request: ApiRequest, team: Path[str], name: Path[str], offset: int = 0, limit: int = LOG_BYTES
) -> HttpResponse:
    """Return up to `limit` bytes (at most 256 KiB) of what the job printed, from byte `offset`, as plain text.

    The header `X-Next-Offset` says where to go on; `X-Log-Final: true` that nothing will come after this part.
    """
    job = get_job(request.auth, team=team, name=name)
    part = read_log(request.auth, job=job, offset=offset, limit=min(limit, LOG_BYTES))
    headers = {
        "X-Next-Offset": str(part.next_offset),
        "X-Log-Final": "true" if part.is_final else "false",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": SANDBOX,
        "Cache-Control": "no-store",
    }
    return HttpResponse(part.data, content_type="text/plain; charset=utf-8", headers=headers)


@router.get("/{name}/outputs", response=OutputsAnswer, operation_id="list_outputs", summary="List what a job left")
def outputs(request: ApiRequest, team: Path[str], name: Path[str]) -> Any:  # noqa: ANN401
    """List the top of /output, directories first."""
    return output(request, team, name, "")


@router.get(
    "/{name}/outputs/{path:path}",
    response={200: OutputsAnswer},
    operation_id="read_output",
    summary="Read what a job left",
    url_name="read_output",
)
def output(request: ApiRequest, team: Path[str], name: Path[str], path: Path[str]) -> Any:  # noqa: ANN401
    """Send a file of /output, or list a directory of it. Links, pipes and devices are 404."""
    job = get_job(request.auth, team=team, name=name)
    found = find_output(request.auth, job=job, path=path)
    return _send(found) if isinstance(found, OutputFile) else _render(found)


def _render(found: OutputList) -> OutputsAnswer:
    return OutputsAnswer(items=[OutputAnswer.of(item) for item in found.items], truncated=found.is_cut)


def _send(found: OutputFile) -> StreamingHttpResponse:
    response = StreamingHttpResponse(_blocks(found), content_type="application/octet-stream")
    response.headers["Content-Length"] = str(found.size)
    response.headers["Content-Disposition"] = content_disposition_header(as_attachment=True, filename=found.name) or ""
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = SANDBOX
    return response


def _blocks(found: OutputFile) -> Iterator[bytes]:
    """Send as many bytes as were promised, though a running job may write more meanwhile."""
    with found.file as file:
        left = found.size
        while left > 0 and (block := file.read(min(left, BLOCK_BYTES))):
            left -= len(block)
            yield block
