"""The real server: a worker that is killed in the midst of a job leaves no process, and the job says what happened."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runners.conftest import living
from tests.servers import LiveApplication, serve_with_account

pytestmark = pytest.mark.server
# In no other process of the machine, such as those of this file's tests in another process of the test run.
SECONDS = f"91.{os.getpid()}"
MARK = f"sleep\0{SECONDS}"


@pytest.fixture
def application(tmp_path: Path) -> Iterator[LiveApplication]:
    """Run the application with a reaper that comes often, and jobs one after another."""
    with serve_with_account(
        tmp_path / "application", REAP_SECONDS="3", LEASE_SECONDS="60", JOB_SLOTS="1"
    ) as application:
        yield application


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def job_of(application: LiveApplication, name: str) -> dict[str, Any]:
    status, body = application.request("GET", f"/api/v1/teams/{application.team}/jobs/{name}")
    assert status == 200, body
    return dict(json.loads(body))


def submit(application: LiveApplication, name: str, script: str) -> None:
    command = {"name": name, "kind": "training", "command": ["bash", "-c", script]}
    status, body = application.request("POST", f"/api/v1/teams/{application.team}/jobs", body=command)
    assert status == 201, body


def test_killed_in_a_job(application: LiveApplication) -> None:
    submit(application, "first", f"(setsid sleep {SECONDS}1 &); sleep {SECONDS}2")
    assert until(lambda: len(living(MARK)) == 2)
    assert job_of(application, "first")["status"] == "running"

    for pid in application.pids("worker"):
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: not living(MARK), 15)
    application.stop()
    application.start()

    assert until(lambda: job_of(application, "first")["status"] == "failed")
    job = job_of(application, "first")
    assert (job["error"], job["exit_code"]) == ("The worker that ran it died.", None)
    submit(application, "second", "echo fine")
    assert until(lambda: job_of(application, "second")["status"] == "succeeded")


def test_everything_killed_in_a_job(application: LiveApplication) -> None:
    submit(application, "first", f"sleep {SECONDS}")
    assert until(lambda: bool(living(MARK)))
    submit(application, "waiting", "echo fine")
    application.kill()
    assert until(lambda: not living(MARK), 15)
    application.start()
    assert until(lambda: job_of(application, "first")["status"] == "failed")
    assert until(lambda: job_of(application, "waiting")["status"] == "succeeded"), application.log[-5000:]


def test_each_process_of_the_worker_is_killed_while_it_waits(application: LiveApplication) -> None:
    """Also the clock: what it sends is all that finds work of the dead."""
    # Celery takes a process that is lost before its loop runs for a worker that can't start, and so does `serve`.
    submit(application, "before", "echo fine")
    assert until(lambda: job_of(application, "before")["status"] == "succeeded"), application.log[-5000:]
    parent, *children = application.pids("worker")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    assert until(lambda: not {*children} & {*application.pids("worker")}, 15)
    submit(application, "first", "echo fine")
    assert until(lambda: job_of(application, "first")["status"] == "succeeded"), application.log[-5000:]
    # A job whose worker died is found by what the clock sends.
    submit(application, "second", f"sleep {SECONDS}")
    assert until(lambda: bool(living(MARK)))
    for pid in application.pids("worker"):
        if pid != parent:
            os.kill(pid, signal.SIGKILL)
    assert until(lambda: job_of(application, "second")["status"] == "failed"), application.log[-5000:]
