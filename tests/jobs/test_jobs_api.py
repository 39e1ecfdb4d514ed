"""The routes under /api/v1/teams/{team}/jobs."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from datasets_app.models import Job, Role, Team, User
from datasets_app.services import running
from datasets_app.services.labels import set_label
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_user

pytestmark = pytest.mark.django_db
URL = "/api/v1/teams/vision/jobs"
BODY: dict[str, Any] = {
    "name": "train-1",
    "kind": "training",
    "command": ["bash", "-c", "echo hi; echo out > /output/o.txt"],
}


@pytest.fixture
def client(writer: User) -> Client:
    return api_client(writer)


def post(client: Client, **changes: Any) -> Any:  # noqa: ANN401 - a test client's response
    return client.post(URL, BODY | changes, content_type="application/json")


def test_it_works(client: Client, team: Team) -> None:
    version = make_available_version(make_dataset(team, "images"), {"a": b"alpha"})
    response = post(
        client,
        datasets=[{"dataset": "images"}, {"dataset": "images", "version": 1, "mount_name": "again"}],
        env={"EPOCHS": "3", "HF_TOKEN": "hf_secret"},
        memory_bytes=2**30,
    )
    assert response.status_code == 201
    assert response.headers["Location"] == f"{URL}/train-1"
    job = response.json()
    assert (job["status"], job["memory_bytes"], job["created_by"]) == ("pending", 2**30, "wren")
    assert job["env"]["EPOCHS"] == "3"
    assert "hf_secret" not in response.content.decode()
    assert job["datasets"][1] == {
        "dataset": "images",
        "version": 1,
        "digest": version.digest,
        "mount_name": "again",
        "path": "/input/again",
    }
    running.run_jobs()
    job = client.get(f"{URL}/train-1").json()
    assert (job["status"], job["exit_code"], job["error"]) == ("succeeded", 0, "")
    assert [item["name"] for item in client.get(URL).json()["items"]] == ["train-1"]

    log = client.get(f"{URL}/train-1/logs")
    assert (log.content, log.headers["Content-Type"]) == (b"hi\n", "text/plain; charset=utf-8")
    assert (log.headers["X-Next-Offset"], log.headers["X-Log-Final"]) == ("3", "true")
    assert client.get(f"{URL}/train-1/logs?offset=1").content == b"i\n"
    for wrong in ("offset=-1", f"offset={2**70}", "limit=-2", "limit=0"):
        assert client.get(f"{URL}/train-1/logs?{wrong}").status_code == 422

    outputs = client.get(f"{URL}/train-1/outputs").json()
    assert [(item["type"], item["path"], item["size"]) for item in outputs["items"]] == [("file", "o.txt", 4)]
    assert outputs["truncated"] is False
    file = client.get(f"{URL}/train-1/outputs/o.txt")
    assert b"".join(file.streaming_content) == b"out\n"  # type: ignore[attr-defined]
    assert file.headers["Content-Length"] == "4"
    assert file.headers["Content-Disposition"] == 'attachment; filename="o.txt"'
    assert "sandbox" in file.headers["Content-Security-Policy"]


def test_stop(client: Client) -> None:
    post(client)
    response = client.post(f"{URL}/train-1/stop")
    assert (response.status_code, response.json()["status"]) == (202, "stopped")
    assert client.post(f"{URL}/train-1/stop").status_code == 202


def test_a_stranger_sees_nothing(client: Client) -> None:
    post(client)
    stranger = api_client(make_user())
    for path in ("", "/train-1", "/train-1/logs", "/train-1/outputs", "/train-1/outputs/o.txt"):
        assert stranger.get(URL + path).status_code == 404
    assert stranger.post(f"{URL}/train-1/stop").status_code == 404
    assert post(stranger).status_code == 404


def test_a_reader_looks_only(client: Client, team: Team) -> None:
    post(client)
    reader = api_client(make_member(team, Role.READER))
    assert reader.get(f"{URL}/train-1").status_code == 200
    assert reader.get(f"{URL}/train-1/logs").status_code == 200
    assert reader.post(f"{URL}/train-1/stop").status_code == 403
    assert post(reader, name="train-2").status_code == 403


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"name": "a"}, 422),
        ({"kind": "other"}, 422),
        ({"command": "echo hi"}, 422),
        ({"command": []}, 422),
        ({"surprise": 1}, 422),
        ({"datasets": [{"dataset": "nothing"}]}, 404),
        ({"runner": "none"}, 422),
    ],
)
def test_bad_input(client: Client, changes: dict[str, Any], status: int) -> None:
    response = post(client, **changes)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert not Job.objects.exists()


def test_twice(client: Client) -> None:
    post(client)
    assert post(client).status_code == 409


def test_what_is_not_there(client: Client) -> None:
    post(client)
    assert client.get(f"{URL}/train-2").status_code == 404
    assert client.get(f"{URL}/train-1/outputs/no").status_code == 404
    assert client.get(f"{URL}/train-1/outputs/../log.txt").status_code == 404
    assert client.get(f"{URL}/train-1/logs?offset=-1").status_code == 422


def test_a_label_pins_the_number_behind_it(client: Client, team: Team, writer: User) -> None:
    dataset = make_dataset(team, "images")
    first = make_available_version(dataset, {"a": b"1"})
    second = make_available_version(dataset, {"a": b"2"})
    set_label(writer, dataset=dataset, name="prod", version=first)
    wanted = [{"dataset": "images", "version": name, "mount_name": f"as-{name}"} for name in ("prod", "latest", "2")]
    job = post(client, datasets=wanted).json()
    assert [row["version"] for row in job["datasets"]] == [1, 2, 2]
    set_label(writer, dataset=dataset, name="prod", version=second)
    assert [row["version"] for row in client.get(f"{URL}/train-1").json()["datasets"]] == [1, 2, 2]
    unknown = post(client, name="train-2", datasets=[{"dataset": "images", "version": "nope"}])
    assert (unknown.status_code, unknown.json()["detail"]) == (
        404,
        "There is no version and no label nope of a dataset images in a team vision of yours.",
    )
