"""Jobs: submitted, listed, stopped. What executes them is in `running`, what they print and leave in `job_files`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from django.db import IntegrityError, transaction
from django.utils import timezone

from datasets_app.errors import Conflict, Unavailable
from datasets_app.models import AuditEvent, Dataset, Job, JobDataset, Version
from datasets_app.permissions import get_visible, require
from datasets_app.queue import enqueue
from datasets_app.services.datasets import get_dataset
from datasets_app.services.job_rules import JobLimits, check_job
from datasets_app.services.labels import find_number
from datasets_app.services.paging import Page, take_page
from datasets_app.services.running import find_runner
from datasets_app.services.teams import get_team
from datasets_app.services.validation import invalid_field

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from datasets_app.models import Team, User


class Attachment(NamedTuple):
    """A dataset for a job: by default its newest available version, mounted under the dataset's name.

    `version` is a number or a label; what is pinned is the number behind it.
    """

    dataset: str
    version: int | str | None = None
    mount_name: str = ""


def create_job(  # noqa: PLR0913 - one argument for each field of the form
    actor: User,
    *,
    team: str,
    name: str,
    kind: str,
    command: Sequence[str],
    datasets: Sequence[Attachment] = (),
    env: Mapping[str, str] | None = None,
    limits: JobLimits = JobLimits(),  # noqa: B008 - it is frozen
    allow_network: bool = False,
    image: str = "",
    runner: str = "local",
) -> Job:
    """Submit a job; it is pending until a worker has room. Every dataset is pinned to one available version now.

    Raises Invalid with all fields that are wrong, NotFound for a dataset or version that the actor can't see, Conflict
    for a name in use or a version that can't be mounted, Unavailable when jobs can't run here (with what to install).
    """
    owner = get_team(actor, team=team)
    require(actor, "job.create", owner)
    env = dict(env or {})
    check_job(
        name=name, kind=kind, command=command, env=env, limits=limits, mounts=[mount_name_of(a) for a in datasets]
    )
    _check_runner(runner, image)
    versions = [_find_version(actor, owner, attachment, index) for index, attachment in enumerate(datasets)]
    try:
        with transaction.atomic():
            _lock_versions(versions)
            job = Job.objects.create(
                team=owner,
                name=name,
                kind=kind,
                command=list(command),
                env=env,
                allow_network=allow_network,
                image=image,
                runner=runner,
                created_by=actor,
                **limits._asdict(),
            )
            _pin(job, datasets, versions)
            AuditEvent.objects.record(actor, team=owner, verb="submitted job", subject=name)
            enqueue("datasets_app.run_jobs")
    except IntegrityError as error:
        detail = f"{owner.name} already has a job called {name}."
        raise Conflict(detail, errors=[{"field": "name", "detail": detail}]) from error
    return job


def get_job(actor: User, *, team: str, name: str) -> Job:
    """Return the job with its datasets; NotFound for strangers."""
    rows = _with_datasets(Job.objects.visible_to(actor)).filter(team__name=team, name=name)
    return get_visible(rows.first(), f"job {name} in {team}")


def list_jobs(  # noqa: PLR0913 - one argument for each control of the list
    actor: User,
    *,
    team: str,
    search: str = "",
    status: str = "",
    kind: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Job]:
    """Return one page of the team's jobs with their datasets, the newest first; `search` looks into their names."""
    owner = get_team(actor, team=team)
    require(actor, "job.view", owner)
    rows = _with_datasets(Job.objects.filter(team=owner))
    for field, value, known in (("status", status, Job.Status.values), ("kind", kind, Job.Kind.values)):
        if value and value not in known:
            raise invalid_field(field, f"A {field} is one of {', '.join(known)}.")
        rows = rows.filter(**{field: value}) if value else rows
    for word in search.split():
        rows = rows.filter(name__icontains=word)
    return take_page(rows, order=("-created_at", "-id"), cursor=cursor, limit=limit)


def stop_job(actor: User, *, team: str, name: str) -> Job:
    """Ask the job to end: at once when it is pending, within seconds when it runs. Stopping twice is harmless.

    Raises Conflict when the job has ended by itself.
    """
    job = get_job(actor, team=team, name=name)
    require(actor, "job.stop", job)
    mine = Job.objects.filter(pk=job.pk)
    with transaction.atomic():
        done = mine.filter(status=Job.Status.PENDING).update(status=Job.Status.STOPPED, finished_at=timezone.now())
        done = done or mine.filter(status=Job.Status.RUNNING).update(status=Job.Status.STOPPING)
        if done:
            AuditEvent.objects.record(actor, team=job.team, verb="stopped job", subject=name)
    job.refresh_from_db(fields=("status", "finished_at"))
    if job.status in {Job.Status.SUCCEEDED, Job.Status.FAILED}:
        raise Conflict(f"{name} has already ended: it {job.status}.")
    return job


def _with_datasets(rows: QuerySet[Job]) -> QuerySet[Job]:
    return rows.select_related("team", "created_by").prefetch_related("datasets__version__dataset")


def mount_name_of(attachment: Attachment) -> str:
    """Return the name under /input."""
    return attachment.mount_name or attachment.dataset


def _check_runner(name: str, image: str) -> None:
    runner = find_runner(name)
    if image and not runner.takes_image:
        raise invalid_field(
            "image", f"The runner {name} knows no images: its jobs have this machine's programs. Leave the image out."
        )
    problem = runner.check()
    if problem is not None:
        raise Unavailable(problem)


def _find_version(actor: User, team: Team, attachment: Attachment, index: int) -> Version:
    """Return the version to pin."""
    dataset = get_dataset(actor, team=team.name, name=attachment.dataset)
    if dataset.archived_at is not None:
        raise _conflict(index, "dataset", f"{dataset.name} is archived. Unarchive it to use it in a job.")
    rows = Version.objects.filter(dataset=dataset, deleted_at=None).select_related("root", "dataset")
    if attachment.version is None:
        newest = rows.filter(status=Version.Status.AVAILABLE).order_by("-number").first()
        if newest is None:
            raise _conflict(index, "dataset", f"{dataset.name} has no available version yet.")
        return newest
    number = attachment.version
    if isinstance(number, str):
        number = find_number(actor, team=team.name, dataset=dataset.name, name=number)
    label = f"{dataset.name}@{number}"
    version = get_visible(rows.filter(number=number).first(), f"version {label}")
    if version.status != Version.Status.AVAILABLE:
        raise _conflict(index, "version", f"{label} is {version.status}. Only available versions can be attached.")
    return version


def _conflict(index: int, field: str, detail: str) -> Conflict:
    return Conflict(detail, errors=[{"field": f"datasets.{index}.{field}", "detail": detail}])


def _lock_versions(versions: Sequence[Version]) -> None:
    """Hold the rows of the datasets, then of the versions, so that none is deleted between the check and the pin."""
    wanted = {version.pk for version in versions}
    owners = Dataset.objects.filter(pk__in={version.dataset_id for version in versions})
    list(owners.order_by("pk").select_for_update())
    rows = Version.objects.available().filter(pk__in=wanted, dataset__archived_at=None).order_by("pk")
    if set(rows.select_for_update(of=("self",)).values_list("pk", flat=True)) != wanted:
        raise Conflict("A dataset of this job was deleted or archived just now.")


def _pin(job: Job, attachments: Sequence[Attachment], versions: Sequence[Version]) -> None:
    JobDataset.objects.bulk_create(
        JobDataset(
            job=job,
            version=version,
            dataset_name=version.dataset.name,
            version_number=version.number,
            digest=version.digest,
            mount_name=mount_name_of(attachment),
        )
        for attachment, version in zip(attachments, versions, strict=True)
    )
