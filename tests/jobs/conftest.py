"""A team with a writer, and folders of each test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from datasets_app.models import Job, Role, Team, User
from datasets_app.services import running
from datasets_app.services.job_files import log_path
from datasets_app.services.jobs import create_job
from tests.factories import make_member, make_team

Submit = Callable[..., Job]


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    """Keep the folders of jobs and mounts apart from those of other tests."""
    settings.MOUNTS_DIR = tmp_path / "mounts"
    settings.JOBS_DIR = tmp_path / "jobs"


@pytest.fixture
def team(db: None) -> Team:
    """Make a team."""
    return make_team("vision")


@pytest.fixture
def writer(team: Team) -> User:
    """Make a writer of the team."""
    return make_member(team, Role.WRITER, "wren")


@pytest.fixture
def submit(team: Team, writer: User) -> Submit:
    """Submit a job that runs a shell script."""

    def submit_job(script: str = "true", **changes: Any) -> Job:
        values = {"name": "job-1", "kind": "training", "command": ["bash", "-c", script]} | changes
        return create_job(writer, team=team.name, **values)

    return submit_job


def run(job: Job) -> Job:
    """Let this process be the worker that takes the job."""
    assert running.run_jobs() == job
    job.refresh_from_db()
    return job


def read_log_file(job: Job) -> str:
    """Return what the job printed."""
    return log_path(job).read_text()
