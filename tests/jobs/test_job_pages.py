"""The pages of jobs, without a browser: what tests/e2e adds is JavaScript."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from datasets_app.models import Job, Role, Team, User
from datasets_app.services import running
from datasets_app.services.labels import set_label
from tests.factories import make_available_version, make_dataset, make_member, make_user, make_version, page_client
from tests.jobs.conftest import Submit, run

pytestmark = pytest.mark.django_db
LIST = "/teams/vision/jobs/"
NEW = f"{LIST}new/"
FORM: dict[str, Any] = {
    "step": "submit",
    "name": "train-1",
    "kind": "training",
    "command": "bash -c 'echo \"two words\"'",
    "search": "",
    "env_name": ["EPOCHS", ""],
    "env_value": ["3", ""],
}
HTMX = {"HX-Request": "true"}


@pytest.fixture
def pages(writer: User) -> Client:
    return page_client(writer)


@pytest.fixture
def images(team: Team) -> None:
    dataset = make_dataset(team, "images")
    make_available_version(dataset, {"a": b"1"})
    make_available_version(dataset, {"a": b"2", "b": b"3"})


def text_of(response: Any) -> str:  # noqa: ANN401 - a test client's response
    return str(response.content.decode())


def test_an_empty_list_says_what_to_do(pages: Client) -> None:
    response = pages.get(LIST)
    assert "has run no jobs yet" in text_of(response)
    assert NEW in text_of(response)


def test_the_list(pages: Client, submit: Submit, images: None) -> None:
    from datasets_app.services.jobs import Attachment

    run(submit("exit 3", datasets=[Attachment("images")]))
    submit(name="job-2")
    text = text_of(pages.get(LIST))
    assert "images@2" in text
    assert "The command ended with exit code 3." in text
    assert 'hx-trigger="every 3s"' in text
    part = text_of(pages.get(f"{LIST}?search=job-1", headers=HTMX))
    assert part.lstrip().startswith('<div id="results"')
    assert "job-2" not in part
    assert "every 3s" not in part
    assert "No job matches" in text_of(pages.get(f"{LIST}?status=stopping"))


def test_submit(pages: Client, images: None) -> None:
    form = FORM | {
        "dataset": ["images", "images"],
        "version": ["", "1"],
        "mount": ["", "old"],
        "memory_bytes": "1.5 GiB",
        "time_limit_seconds": "1h 30m",
        "cpu_seconds": "90",
        "max_processes": "64",
        "allow_network": "on",
    }
    response = pages.post(NEW, form)
    assert (response.status_code, response.headers["Location"]) == (302, f"{LIST}train-1/")
    job = Job.objects.get()
    assert job.command == ["bash", "-c", 'echo "two words"']
    assert job.env == {"EPOCHS": "3"}
    assert (job.memory_bytes, job.time_limit_seconds, job.cpu_seconds) == (3 * 2**29, 5400, 90)
    assert (job.max_processes, job.allow_network) == (64, True)
    rows = [(row.mount_name, row.version_number) for row in job.datasets.all()]
    assert rows == [("images", 2), ("old", 1)]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": ""}, "This field is required."),
        ({"name": "a b"}, "A name has 3 to 63"),
        ({"command": ""}, "This field is required."),
        ({"command": "bash -c 'x"}, "no closing quotation"),
        ({"memory_bytes": "much"}, "Write a size such as"),
        ({"memory_bytes": "1"}, "This is at least"),
        ({"time_limit_seconds": "soon"}, "Write a time such as"),
        ({"max_processes": "few"}, "Enter a whole number."),
        ({"env_name": ["1A"], "env_value": ["x"]}, "be a variable&#x27;s name"),
        ({"dataset": ["nothing"], "version": [""], "mount": [""]}, "There is no dataset nothing"),
        ({"dataset": ["images"] * 2, "version": ["", ""], "mount": ["", ""]}, "/input/images is there twice"),
        ({"dataset": ["images"], "version": ["9"], "mount": [""]}, "There is no available version images@9"),
    ],
)
def test_mistakes_are_told_and_nothing_is_lost(
    pages: Client, images: None, changes: dict[str, Any], expected: str
) -> None:
    response = pages.post(NEW, FORM | changes)
    assert response.status_code == 422
    assert expected in text_of(response)
    assert "EPOCHS" in text_of(response) or "env_name" in changes
    assert not Job.objects.exists()


def test_a_name_in_use(pages: Client, submit: Submit) -> None:
    submit(name="train-1")
    response = pages.post(NEW, FORM)
    assert response.status_code == 422
    assert "vision already has a job called train-1." in text_of(response)


def test_datasets_are_added_and_removed_without_javascript(pages: Client, images: None) -> None:
    response = pages.post(NEW, FORM | {"add": "images"})
    assert response.status_code == 200
    text = text_of(response)
    assert '<input type="hidden" name="dataset" value="images">' in text
    assert "images@2, 2 files" in text
    assert 'value="train-1"' in text
    row = {"dataset": ["images"], "version": [""], "mount": [""]}
    text = text_of(pages.post(NEW, FORM | row | {"add": "images"}))
    assert 'value="images-2"' in text
    text = text_of(pages.post(NEW, FORM | row | {"remove": "0"}))
    assert 'name="dataset"' not in text
    assert not Job.objects.exists()


def test_the_button_that_enter_presses_submits_nothing(pages: Client) -> None:
    assert pages.post(NEW, FORM | {"step": "show"}).status_code == 200
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("step", "start", "expected"),
    [
        ({"add": "images"}, '<section class="panel" id="datasets"', "images@2"),
        ({"step": "search", "search": "ima"}, '<ul id="choices"', "Attach"),
        ({"step": "search", "search": "zzz"}, '<ul id="choices"', "matches “zzz”"),
        (
            {"step": "tree", "dataset": ["images"] * 2, "version": ["", "1"], "mount": ["", ""]},
            '<div id="tree"',
            "twice",
        ),
        ({"step": "tree", "dataset": ["images"], "version": ["1"], "mount": ["pics"]}, '<div id="tree"', "pics/"),
        ({"step": "variable"}, '<section class="panel" id="variables"', "EPOCHS"),
        ({"step": "command"}, '<p id="command"', "<code>echo &quot;two words&quot;</code>"),
        ({"step": "command", "command": "a 'b"}, '<p id="command"', "still open"),
    ],
)
def test_htmx_gets_the_part(pages: Client, images: None, step: dict[str, Any], start: str, expected: str) -> None:
    response = pages.post(NEW, FORM | step, headers=HTMX)
    assert response.status_code == 200
    assert text_of(response).lstrip().startswith(start)
    assert expected in text_of(response)


def test_a_link_brings_its_dataset(pages: Client, images: None, team: Team) -> None:
    make_version(make_dataset(team, "empty"))
    text = text_of(pages.get(f"{NEW}?dataset=images@1&dataset=empty"))
    assert "images@1, 1 file" in text
    assert "empty has no available version yet." in text


def test_run_again_begins_with_the_same(pages: Client, submit: Submit, images: None) -> None:
    from datasets_app.services.job_rules import JobLimits
    from datasets_app.services.jobs import Attachment

    submit(
        "echo 'a b'",
        name="train-7",
        datasets=[Attachment("images", 1, "pics")],
        env={"HF_TOKEN": "hf_x"},
        limits=JobLimits(memory_bytes=2**30, time_limit_seconds=60),
    )
    text = text_of(pages.get(f"{NEW}?from=train-7"))
    for expected in ('value="train-8"', 'value="pics"', 'value="1024 MiB"', 'value="60 s"', 'value="hf_x"', "echo "):
        assert expected in text


def test_a_running_job_moves(pages: Client, submit: Submit) -> None:
    job = submit()
    text = text_of(pages.get(f"{LIST}job-1/"))
    assert 'hx-trigger="every 2s"' in text
    assert "It waits for a free place" in text
    assert f"{LIST}job-1/stop/" in text
    run(job)
    part = text_of(pages.get(f"{LIST}job-1/", headers=HTMX))
    assert part.lstrip().startswith('<div id="live"')
    assert "every 2s" not in part
    assert 'id="job-status" hx-swap-oob="true"' in part
    assert f"{LIST}job-1/stop/" not in part
    assert 'id="log"' not in part


def test_a_finished_job(pages: Client, submit: Submit, images: None) -> None:
    from datasets_app.services.jobs import Attachment

    script = "echo '<b>hi</b>'; mkdir sub; echo x > sub/y.txt; echo z > 'a b.txt'; exit 4"
    job = run(submit(script, datasets=[Attachment("images")], env={"HF_TOKEN": "hf_x", "LR": "0.1"}))
    text = text_of(pages.get(f"{LIST}job-1/"))
    assert "&lt;b&gt;hi&lt;/b&gt;" in text
    assert "The command ended with exit code 4." in text
    assert "/teams/vision/datasets/images/versions/2/" in text
    assert job.datasets.get().digest in text
    assert "hf_x" not in text
    assert "LR=0.1" in text
    assert "/api/v1/teams/vision/jobs/job-1/outputs/a%20b.txt" in text
    assert 'data-final="true"' in text
    listing = text_of(pages.get(f"{LIST}job-1/outputs/sub/"))
    assert "y.txt" in listing
    response = pages.get(f"{LIST}job-1/outputs/sub/y.txt")
    assert response.headers["Location"] == "/api/v1/teams/vision/jobs/job-1/outputs/sub/y.txt"
    assert pages.get(f"{LIST}job-1/outputs/no/").status_code == 404


def test_a_long_log_shows_its_end(pages: Client, submit: Submit) -> None:
    run(submit("seq 100000"))
    text = text_of(pages.get(f"{LIST}job-1/"))
    assert "\n100000\n" in text
    assert "before this are in the plain text" in text
    assert len(text) < 120_000


def test_stop(pages: Client, submit: Submit) -> None:
    job = submit()
    assert pages.get(f"{LIST}job-1/stop/").status_code == 405
    response = pages.post(f"{LIST}job-1/stop/")
    assert response.headers["Location"] == f"{LIST}job-1/"
    job.refresh_from_db()
    assert job.status == "stopped"
    assert running.run_jobs() is None


def test_a_stranger_sees_nothing(submit: Submit) -> None:
    submit()
    stranger = page_client(make_user())
    for url in (LIST, NEW, f"{LIST}job-1/", f"{LIST}job-1/outputs/"):
        assert stranger.get(url).status_code == 404
    assert stranger.post(NEW, FORM).status_code == 404
    assert stranger.post(f"{LIST}job-1/stop/").status_code == 404


def test_a_reader_looks_only(submit: Submit, team: Team) -> None:
    submit()
    reader = page_client(make_member(team, Role.READER))
    assert NEW not in text_of(reader.get(LIST))
    text = text_of(reader.get(f"{LIST}job-1/"))
    assert f"{LIST}job-1/stop/" not in text
    assert reader.get(NEW).status_code == 403
    assert reader.post(NEW, FORM).status_code == 403
    assert reader.post(f"{LIST}job-1/stop/").status_code == 403


def test_without_bubblewrap_the_form_says_so(
    pages: Client, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))
    running.make_runner.cache_clear()
    assert "sudo apt install bubblewrap" in text_of(pages.get(NEW))
    response = pages.post(NEW, FORM)
    assert response.status_code == 422
    assert "sudo apt install bubblewrap" in text_of(response)
    running.make_runner.cache_clear()


def test_nothing_is_inline(pages: Client, submit: Submit, images: None) -> None:
    run(submit("echo hi"))
    for url in (LIST, f"{NEW}?dataset=images", f"{LIST}job-1/", f"{LIST}job-1/outputs/"):
        text = text_of(pages.get(url))
        assert " style=" not in text
        assert " onclick=" not in text
        assert "<script>" not in text


def test_a_label_is_chosen_and_its_number_pinned(pages: Client, images: None, writer: User, team: Team) -> None:
    dataset = team.datasets.get(name="images")
    set_label(writer, dataset=dataset, name="prod", version=dataset.versions.get(number=1))
    make_available_version(dataset, {"later": b"1"})
    page = pages.get(NEW, {"dataset": "images@prod"}).content.decode()
    assert '<option value="prod" selected>prod (now @1)</option>' in page
    assert "images@1, " in page
    assert "newest (now @3)" in page
    gone = pages.get(NEW, {"dataset": "images@nope"}).content.decode()
    assert "@nope, not available" in gone
    assert "no label nope" in gone
    assert pages.post(NEW, FORM | {"dataset": "images", "version": "prod", "mount": ""}).status_code == 302
    assert Job.objects.get().datasets.get().version_number == 1
