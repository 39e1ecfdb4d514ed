"""A worker runs a job in the sandbox, and its row tells how it went."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone
from pytest_django import Settings

from datasets_app.errors import Conflict, Forbidden, NotFound
from datasets_app.models import Blob, Job, Role, Team, User, Version
from datasets_app.services import content, running
from datasets_app.services.job_files import output_dir
from datasets_app.services.jobs import Attachment, stop_job
from datasets_app.services.mounts import mount_path
from tests.factories import make_available_version, make_dataset, make_member, make_user
from tests.jobs.conftest import Submit, read_log_file, run
from tests.runners.conftest import living

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.data_layer]
FILES = {"a.txt": b"alpha", "日本/übung.bin": os.urandom(5000), "empty": b""}


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Start a worker beside this test."""

    def body() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def status_of(job: Job) -> str:
    return Job.objects.values_list("status", flat=True).get(pk=job.pk)


def test_it_works(submit: Submit, team: Team) -> None:
    version = make_available_version(make_dataset(team, "images"), FILES)
    make_available_version(make_dataset(team, "labels"), {"l": b"label"})
    script = (
        'cd "$FLEXAI_INPUT_DIR" && find . -type f -exec sha256sum {} + > "$FLEXAI_OUTPUT_DIR/sums"; '
        'echo "$FLEXAI_JOB_NAME $EPOCHS"; echo x > /input/images/a.txt || echo refused'
    )
    job = run(submit(script, datasets=[Attachment("images"), Attachment("labels")], env={"EPOCHS": "3"}))
    assert (job.status, job.exit_code, job.error) == ("succeeded", 0, "")
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.lease_token is None
    assert "job-1 3" in read_log_file(job)
    assert "Read-only file system" in read_log_file(job)
    lines = [line.partition("  ") for line in (output_dir(job) / "sums").read_text().splitlines()]
    sums = {path: digest for digest, _, path in lines}
    expected = {f"./images/{path}": hashlib.sha256(data).hexdigest() for path, data in FILES.items()}
    assert sums == expected | {"./labels/l": hashlib.sha256(b"label").hexdigest()}
    assert job.datasets.get(mount_name="images").digest == version.digest
    assert running.run_jobs() is None


def test_a_failure_has_its_cause(submit: Submit) -> None:
    job = run(submit(command=["no-such-program"]))
    assert (job.status, job.exit_code) == ("failed", 127)
    assert job.error == "Command not found: no-such-program (exit code 127)."


def test_limits_reach_the_sandbox(submit: Submit, settings: Settings) -> None:
    from datasets_app.services.job_rules import JobLimits

    assert (
        run(submit("sleep 20", limits=JobLimits(time_limit_seconds=1))).error == "Reached its time limit of 1 seconds."
    )
    settings.JOB_OUTPUT_BYTES = 2**20
    job = run(submit("dd if=/dev/zero of=big bs=1M count=2", name="job-2"))
    assert job.error == "Wrote more than its output limit of 1 MiB."


def test_damaged_input_fails_the_job(submit: Submit, team: Team) -> None:
    make_available_version(make_dataset(team, "images"), {"a": b"aaaa", "b": b"bbbb"})
    job = submit(datasets=[Attachment("images")])
    pack = content.pack_store().open_local(Blob.objects.latest("pk").pack.key)
    assert pack is not None
    pack.unlink()
    assert run(job).status == "failed"
    assert "missing or damaged" in job.error
    assert job.exit_code is None


def test_a_finished_job_outlives_its_dataset(submit: Submit, team: Team) -> None:
    version = make_available_version(make_dataset(team, "images"))
    job = submit(datasets=[Attachment("images")])
    with pytest.raises(IntegrityError, match="active job"), transaction.atomic():
        job.datasets.update(version=None)
    run(job)
    job.datasets.update(version=None)
    row = job.datasets.get()
    assert (row.dataset_name, row.version_number, row.digest) == ("images", 1, version.digest)


def test_mounts_are_shared(submit: Submit, team: Team) -> None:
    version = make_available_version(make_dataset(team, "images"))
    run(submit(name="one", datasets=[Attachment("images")]))
    inode = mount_path(version.digest).stat().st_ino
    run(submit(name="two", datasets=[Attachment("images")]))
    assert mount_path(version.digest).stat().st_ino == inode


def test_the_oldest_goes_first_and_each_once(submit: Submit) -> None:
    jobs = [submit(f"echo {number}", name=f"job-{number}") for number in range(3)]
    assert [running.run_jobs() for _ in range(4)] == [*jobs, None]


def test_only_as_many_as_there_are_slots(submit: Submit, settings: Settings) -> None:
    settings.JOB_SLOTS = 1
    first = submit("while [ ! -e /output/go ]; do sleep 0.05; done")
    second = submit(name="job-2")
    worker = in_thread(running.run_jobs)
    assert until(lambda: output_dir(first).exists())
    assert running.run_jobs() is None
    assert status_of(second) == "pending"
    (output_dir(first) / "go").touch()
    worker.join()
    assert status_of(first) == "succeeded"
    assert running.run_jobs() == second


def test_stop_a_pending_job(submit: Submit, writer: User) -> None:
    job = submit()
    stop_job(writer, team="vision", name="job-1")
    assert status_of(job) == "stopped"
    assert running.run_jobs() is None
    assert stop_job(writer, team="vision", name="job-1").status == "stopped"


def test_stop_a_running_job(submit: Submit, writer: User) -> None:
    job = submit("(setsid sleep 81.1 &) ; sleep 81.2")
    worker = in_thread(running.run_jobs)
    assert until(lambda: len(living("sleep\x0081.")) == 2)
    assert stop_job(writer, team="vision", name="job-1").status == "stopping"
    assert stop_job(writer, team="vision", name="job-1").status == "stopping"
    worker.join(15)
    job.refresh_from_db()
    assert (job.status, job.error) == ("stopped", "")
    assert job.finished_at is not None
    assert not living("sleep\x0081.")


def test_who_may_stop(submit: Submit, team: Team, writer: User) -> None:
    job = submit()
    with pytest.raises(NotFound):
        stop_job(make_user(), team="vision", name="job-1")
    with pytest.raises(Forbidden):
        stop_job(make_member(team, Role.READER), team="vision", name="job-1")
    run(job)
    with pytest.raises(Conflict):
        stop_job(writer, team="vision", name="job-1")


def test_the_lease_is_kept_while_it_runs(submit: Submit, settings: Settings) -> None:
    # Renewed each quarter of it; a busy machine may stop a thread for a second.
    settings.LEASE_SECONDS = 3
    job = submit("sleep 5")
    worker = in_thread(running.run_jobs)
    assert until(lambda: output_dir(job).exists())
    for _ in range(15):
        time.sleep(0.3)
        running.reap_jobs()
    worker.join()
    assert status_of(job) == "succeeded"


def start_worker_process() -> int:
    """Fork a worker that can be killed."""
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            running.run_jobs()
        finally:
            os._exit(0)
    return pid


def test_a_worker_killed_mid_job(submit: Submit) -> None:
    job = submit("(setsid sleep 82.1 &) ; sleep 82.2")
    pid = start_worker_process()
    assert until(lambda: len(living("sleep\x0082.")) == 2)
    running.reap_jobs()
    assert status_of(job) == "running"
    os.kill(pid, signal.SIGKILL)
    assert until(lambda: not living("sleep\x0082."))
    os.waitpid(pid, 0)
    running.reap_jobs()
    running.reap_jobs()
    job.refresh_from_db()
    assert (job.status, job.error, job.exit_code) == ("failed", "The worker that ran it died.", None)
    assert running.run_jobs() is None


def test_a_worker_on_another_machine_is_dead_when_its_lease_is_over(submit: Submit) -> None:
    job = submit()
    past = timezone.now() - timedelta(seconds=1)
    state = {"worker": {"host": "elsewhere", "pid": 1, "start": 1, "boot": "x"}, "host": "elsewhere", "pid": 1}
    token = Job.objects.filter(pk=job.pk).claim(seconds=60, status="running", runner_state=state)
    running.reap_jobs()
    assert status_of(job) == "running"
    Job.objects.filter(pk=job.pk, lease_token=token).update(lease_until=past)
    running.reap_jobs()
    assert status_of(job) == "failed"


def test_a_worker_that_lost_its_lease_ends_its_sandbox(submit: Submit, settings: Settings) -> None:
    settings.LEASE_SECONDS = 1
    job = submit("sleep 83.1")
    worker = in_thread(running.run_jobs)
    assert until(lambda: bool(living("sleep\x0083.")))
    Job.objects.filter(pk=job.pk).update(lease_token=None, status="failed", error="taken")
    worker.join(15)
    assert not worker.is_alive()
    assert not living("sleep\x0083.")
    job.refresh_from_db()
    assert (job.status, job.error) == ("failed", "taken")


def test_waiting_jobs_are_woken_as_slots_are_free(
    submit: Submit, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        submit(name=f"job-{number}")
    woken: list[str] = []
    monkeypatch.setattr(running, "enqueue", woken.append)
    settings.JOB_SLOTS = 3
    with running.hold_slot():
        running.reap_jobs()
    assert woken == ["datasets_app.run_jobs"] * 2


def test_a_version_that_changed_its_digest_is_refused(submit: Submit, team: Team) -> None:
    make_available_version(make_dataset(team, "images"))
    job = submit(datasets=[Attachment("images")])
    job.datasets.update(digest="sha256:" + "0" * 64)
    assert "no longer what this job was submitted with" in run(job).error
    assert Version.objects.count() == 1
