"""Submitting a job pins its datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from datasets_app.errors import AppError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from datasets_app.models import Dataset, Job, Role, Team, User, Version
from datasets_app.services import running
from datasets_app.services.job_rules import JobLimits
from datasets_app.services.jobs import Attachment, create_job, get_job, list_jobs
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_user, make_version
from tests.jobs.conftest import Submit

pytestmark = pytest.mark.django_db


def test_it_works(submit: Submit, team: Team, writer: User) -> None:
    images, labels = make_dataset(team, "images"), make_dataset(team, "labels")
    first = make_available_version(images, {"a": b"1"})
    second = make_available_version(images, {"a": b"2"})
    label = make_available_version(labels, {"a": b"3"})
    make_version(images)
    job = submit(
        datasets=[Attachment("images"), Attachment("images", 1, "old_images"), Attachment("labels")],
        env={"EPOCHS": "3"},
        limits=JobLimits(memory_bytes=2**30, cpu_seconds=60, max_processes=50, time_limit_seconds=600),
        allow_network=True,
        kind="fine-tuning",
    )
    job = get_job(writer, team="vision", name="job-1")
    assert (job.status, job.kind, job.created_by, job.env) == ("pending", "fine-tuning", writer, {"EPOCHS": "3"})
    assert (job.memory_bytes, job.cpu_seconds, job.max_processes, job.time_limit_seconds) == (2**30, 60, 50, 600)
    rows = [(r.mount_name, r.version, r.dataset_name, r.version_number, r.digest) for r in job.datasets.all()]
    assert rows == [
        ("images", second, "images", 2, second.digest),
        ("old_images", first, "images", 1, first.digest),
        ("labels", label, "labels", 1, label.digest),
    ]


def test_no_datasets_is_fine(submit: Submit) -> None:
    assert submit().datasets.count() == 0


def test_a_stranger_finds_no_team(team: Team) -> None:
    with pytest.raises(NotFound):
        create_job(make_user(), team=team.name, name="job-1", kind="training", command=["true"])


def test_a_reader_may_not(team: Team, writer: User) -> None:
    reader = make_member(team, Role.READER)
    with pytest.raises(Forbidden):
        create_job(reader, team=team.name, name="job-1", kind="training", command=["true"])
    assert list_jobs(reader, team=team.name).items == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "x"}, "name"),
        ({"name": "-job"}, "name"),
        ({"name": "job 1"}, "name"),
        ({"kind": "testing"}, "kind"),
        ({"command": []}, "command"),
        ({"command": [""]}, "command"),
        ({"command": ["a\0b"]}, "command"),
        ({"command": ["a\ud800b"]}, "command"),
        ({"command": ["x" * 200_000]}, "command"),
        ({"env": {"1A": "x"}}, "env"),
        ({"env": {"A=B": "x"}}, "env"),
        ({"env": {"": "x"}}, "env"),
        ({"env": {"A": "a\0"}}, "env"),
        ({"env": {"FLEXAI_INPUT_DIR": "/"}}, "env"),
        ({"limits": JobLimits(memory_bytes=0)}, "memory_bytes"),
        ({"limits": JobLimits(cpu_seconds=-1)}, "cpu_seconds"),
        ({"limits": JobLimits(max_processes=2**40)}, "max_processes"),
        ({"runner": "mainframe"}, "runner"),
        ({"image": "python:3.12"}, "image"),
        ({"datasets": [Attachment("images", None, "../etc")]}, "datasets.0.mount_name"),
        ({"datasets": [Attachment("images"), Attachment("labels", None, "images")]}, "datasets.1.mount_name"),
    ],
)
def test_bad_input_names_the_field(submit: Submit, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as raised:
        submit(**changes)
    assert [item["field"] for item in raised.value.errors] == [field]


def test_all_mistakes_are_told_at_once(submit: Submit) -> None:
    with pytest.raises(Invalid) as raised:
        submit(name="", kind="", command=[])
    assert {item["field"] for item in raised.value.errors} == {"name", "kind", "command"}


def test_a_name_is_used_once_in_a_team(submit: Submit, writer: User) -> None:
    submit()
    with pytest.raises(Conflict, match="already has a job called job-1") as raised:
        submit()
    assert raised.value.errors[0]["field"] == "name"
    other = make_team("other", admin=writer)
    assert create_job(writer, team=other.name, name="job-1", kind="training", command=["true"]).pk


def prepare(team: Team, case: str) -> Attachment:
    dataset = make_dataset(team, "images")
    if case == "empty":
        return Attachment("images")
    version = make_version(dataset) if case == "open" else make_available_version(dataset)
    if case == "trash":
        Dataset.objects.filter(pk=dataset.pk).update(deleted_at=timezone.now())
    if case == "version in trash":
        Version.objects.filter(pk=version.pk).update(deleted_at=timezone.now())
    if case == "archived":
        Dataset.objects.filter(pk=dataset.pk).update(archived_at=timezone.now())
    return Attachment("images", 7 if case == "no such version" else version.number)


@pytest.mark.parametrize(
    ("case", "error"),
    [
        ("empty", Conflict),
        ("open", Conflict),
        ("archived", Conflict),
        ("trash", NotFound),
        ("version in trash", NotFound),
        ("no such version", NotFound),
    ],
)
def test_only_available_versions(submit: Submit, team: Team, case: str, error: type[AppError]) -> None:
    with pytest.raises(error):
        submit(datasets=[prepare(team, case)])
    assert not Job.objects.exists()


def test_another_team_s_dataset_is_not_there(submit: Submit, writer: User) -> None:
    """Not even for a member of both teams: a job's datasets are those of its team."""
    other = make_team("other", admin=writer)
    make_available_version(make_dataset(other, "theirs"))
    with pytest.raises(NotFound):
        submit(datasets=[Attachment("theirs")])


def test_without_bubblewrap_it_says_what_to_install(
    submit: Submit, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    running.make_runner.cache_clear()
    with pytest.raises(Unavailable, match="sudo apt install bubblewrap"):
        submit()
    running.make_runner.cache_clear()
    assert not Job.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_it_wakes_a_worker(submit: Submit, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    from celery import current_app

    current_app.loader.import_default_modules()
    woken: list[str] = []
    monkeypatch.setattr(current_app.tasks["datasets_app.run_jobs"], "apply_async", lambda **_: woken.append("woken"))
    submit()
    assert woken == ["woken"]


def test_the_list(submit: Submit, writer: User) -> None:
    for number in range(5):
        submit(name=f"train-{number}", kind="training" if number % 2 else "fine-tuning")
    page = list_jobs(writer, team="vision", limit=3)
    assert [job.name for job in page.items] == ["train-4", "train-3", "train-2"]
    rest = list_jobs(writer, team="vision", limit=3, cursor=page.next_cursor)
    assert [job.name for job in rest.items] == ["train-1", "train-0"]
    assert [job.name for job in list_jobs(writer, team="vision", kind="training").items] == ["train-3", "train-1"]
    assert [job.name for job in list_jobs(writer, team="vision", search="IN-4").items] == ["train-4"]
    assert list_jobs(writer, team="vision", status="running").items == []
    with pytest.raises(Invalid):
        list_jobs(writer, team="vision", status="odd")
