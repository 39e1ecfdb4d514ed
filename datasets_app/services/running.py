"""Execute jobs: a worker takes the oldest pending one when it has a free slot, and holds its lease until it ends.

A job is never started twice: what lost its worker has failed.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed
from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from datasets_app.errors import AppError, Conflict
from datasets_app.models import Job
from datasets_app.models.lease import LeaseLostError
from datasets_app.queue import enqueue
from datasets_app.runners import processes
from datasets_app.runners.base import Limits, Mount, Outcome, RunError, Runner, RunSpec
from datasets_app.runners.registry import RUNNERS
from datasets_app.services import slots
from datasets_app.services.job_files import log_path, output_dir
from datasets_app.services.mounts import materialise
from datasets_app.services.validation import invalid_field

logger = logging.getLogger(__name__)

RENEWALS: Final = 4
DIED: Final = "The worker that ran it died."


class StoppedError(Exception):
    """Somebody stopped the job before its command began."""


def find_runner(name: str) -> Runner:
    """Return the runner of this name; Invalid when there is none."""
    if name not in RUNNERS:
        raise invalid_field("runner", f"A runner is one of {', '.join(RUNNERS)}.")
    return make_runner(name)


@lru_cache(maxsize=8)
def make_runner(name: str) -> Runner:
    """Make the runner with its settings."""
    options: dict[str, dict[str, Any]] = {
        "local": {
            "python": settings.JOB_PYTHON,
            "host_paths": settings.JOB_HOST_PATHS,
            "devices": settings.JOB_DEVICES,
            "hidden_paths": [settings.DATA_DIR],
            "log_limit_bytes": settings.JOB_LOG_BYTES,
            "disk_reserve_bytes": settings.DISK_RESERVE_BYTES,
        }
    }
    return RUNNERS[name](**options.get(name, {}))


def _forget(*, setting: str, **_kwargs: object) -> None:
    if setting.startswith("JOB_") or setting in {"DATA_DIR", "DISK_RESERVE_BYTES"}:
        make_runner.cache_clear()


setting_changed.connect(_forget)


def run_jobs() -> Job | None:
    """Run the oldest pending job to its end and return it; None when there is none, or no free slot on this machine.

    Asks for the next one to be taken up afterwards.
    """
    with hold_slot() as free:
        claimed = _claim() if free else None
        if claimed is not None:
            _run(*claimed)
    if claimed is None:
        return None
    if Job.objects.filter(status=Job.Status.PENDING).exists():
        enqueue("datasets_app.run_jobs")
    return claimed[0]


def reap_jobs() -> None:
    """Fail the jobs whose worker died, ending what may be left of them, and wake a worker for those that wait."""
    for job in Job.objects.filter(status__in=[Job.Status.RUNNING, Job.Status.STOPPING]):
        late = job.lease_until is None or job.lease_until < timezone.now()
        if late or processes.is_gone(job.runner_state.get("worker", {})):
            _bury(job)
    waiting = Job.objects.filter(status=Job.Status.PENDING).count()
    with ExitStack() as held:
        free = sum(held.enter_context(hold_slot()) for _ in range(min(waiting, settings.JOB_SLOTS)))
    for _ in range(free):
        enqueue("datasets_app.run_jobs")


def _bury(job: Job) -> None:
    """Take the lease from the dead, so that it can't come back, then end the processes, then write the outcome."""
    token = uuid.uuid4()
    until = timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
    held = Job.objects.filter(pk=job.pk, lease_token=job.lease_token, lease_until=job.lease_until)
    if not held.update(lease_token=token, lease_until=until):
        return
    find_runner(job.runner).end(job.runner_state)
    logger.warning("job %s lost its worker", job.pk)
    _finish(job, token, Outcome(None, DIED))


def hold_slot() -> AbstractContextManager[bool]:
    """Hold one of this machine's JOB_SLOTS; False when all are taken."""
    return slots.hold_slot("jobs", settings.JOB_SLOTS)


def _claim() -> tuple[Job, uuid.UUID] | None:
    worker = {"worker": processes.identify(os.getpid())}
    while True:
        pending = Job.objects.filter(status=Job.Status.PENDING).order_by("created_at", "pk").first()
        if pending is None:
            return None
        token = Job.objects.filter(pk=pending.pk, status=Job.Status.PENDING).claim(
            seconds=settings.LEASE_SECONDS,
            status=Job.Status.RUNNING,
            started_at=timezone.now(),
            runner_state=worker,
        )
        if token is not None:
            pending.refresh_from_db()
            return pending, token


def _run(job: Job, token: uuid.UUID) -> None:
    try:
        outcome = _execute(job, _Lease(job.pk, token))
    except LeaseLostError:
        logger.warning("job %s was taken from this worker", job.pk)
        return
    except StoppedError:
        outcome = Outcome(None, stopped=True)
    except RunError as error:
        outcome = Outcome(None, str(error))
    except AppError as error:
        outcome = Outcome(None, error.detail)
    except Exception:
        logger.exception("job %s could not be run", job.pk)
        outcome = Outcome(None, "The server could not run it; the server's log says why.")
    except BaseException:
        _finish(job, token, Outcome(None, "The server was shut down while it ran."))
        raise
    _finish(job, token, outcome)


def _execute(job: Job, lease: _Lease) -> Outcome:
    mounts = []
    for row in job.datasets.select_related("version__root", "version__dataset"):
        if row.version is None or row.version.digest != row.digest:
            raise Conflict(f"{row.dataset_name}@{row.version_number} is no longer what this job was submitted with.")
        mounts.append(Mount(row.mount_name, materialise(row.version, tick=lease.check)))
    output_dir(job).mkdir(parents=True, exist_ok=True)
    spec = RunSpec(
        name=job.name,
        command=tuple(job.command),
        env=job.env,
        mounts=tuple(mounts),
        output_dir=output_dir(job),
        log_path=log_path(job),
        limits=_limits(job),
        allow_network=job.allow_network,
    )
    lease.check()
    run = find_runner(job.runner).start(spec)
    # Written before the wait, so that the reaper can find the run; if this fails, the sandbox ends with the worker.
    Job.objects.filter(pk=job.pk).update(runner_state={**job.runner_state, **run.state})
    return run.wait(should_stop=lease.should_stop, heartbeat=lease.renew)


def _limits(job: Job) -> Limits:
    return Limits(
        memory_bytes=job.memory_bytes,
        cpu_seconds=job.cpu_seconds,
        max_processes=job.max_processes,
        time_limit_seconds=job.time_limit_seconds,
        output_bytes=settings.JOB_OUTPUT_BYTES or None,
    )


def _finish(job: Job, token: uuid.UUID, outcome: Outcome) -> None:
    """Write the outcome, if the lease is still ours. A job that somebody stopped is stopped, however it ended."""
    mine = Job.objects.filter(pk=job.pk)
    facts = {"exit_code": outcome.exit_code, "finished_at": timezone.now()}
    ended = Job.Status.SUCCEEDED if outcome.succeeded else Job.Status.FAILED
    if outcome.stopped:
        ended = Job.Status.STOPPED
    if not mine.filter(status=Job.Status.RUNNING).release(token, status=ended, error=outcome.cause, **facts):
        mine.filter(status=Job.Status.STOPPING).release(token, status=Job.Status.STOPPED, error="", **facts)


class _Lease:
    """What keeps a running job ours. A database that is away for a while does not end the job; a lost lease does."""

    def __init__(self, job_id: int, token: uuid.UUID) -> None:
        self._mine = Job.objects.filter(pk=job_id)
        self._token = token
        self._extend()

    def _extend(self) -> None:
        self._renew_at = time.monotonic() + settings.LEASE_SECONDS / RENEWALS
        self._lost_at = time.monotonic() + settings.LEASE_SECONDS

    def renew(self) -> None:
        """Call often: it renews when it is time to. Raises LeaseLostError."""
        if time.monotonic() < self._renew_at:
            return
        try:
            if not self._mine.renew(self._token, seconds=settings.LEASE_SECONDS):
                raise LeaseLostError
            self._extend()
        except (OperationalError, InterfaceError):
            logger.warning("the database did not answer while a job ran", exc_info=True)
            connection.close()
            if time.monotonic() > self._lost_at:
                raise LeaseLostError from None

    def should_stop(self) -> bool:
        """Tell whether somebody stopped the job."""
        try:
            return self._mine.filter(status=Job.Status.STOPPING).exists()
        except (OperationalError, InterfaceError):
            connection.close()
            return False

    def check(self) -> None:
        """Do both, while the input is laid out: raises StoppedError too."""
        self.renew()
        if self.should_stop():
            raise StoppedError
