"""Imports by the API: start, follow, cancel, retry, leave out, preview."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from datasets_app.models import Connection, Import, Role, Team, Version
from datasets_app.services.connections import create_connection
from datasets_app.services.importing import run_imports
from datasets_app.services.versions import run_seal
from tests.connections import shelf
from tests.factories import api_client, make_dataset, make_member, make_team, make_version

pytestmark = pytest.mark.django_db

ONE = "/api/v1/teams/vision/datasets/scenes/versions/1/import"
PREVIEW = "/api/v1/teams/vision/connections/my-shelf/preview"
BODY = {"connection": "my-shelf", "source_path": "box0"}


@pytest.fixture
def team() -> Team:
    return make_team("vision")


@pytest.fixture
def connection(team: Team, monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Give a connection to a shelf with two files."""
    shelf.install_shelf(monkeypatch)
    shelf.CONTENT.update({"a.txt": b"aaa", "b.csv": b"b,b"})
    admin = make_member(team, Role.ADMIN)
    return create_connection(admin, team=team.name, name="my-shelf", provider="shelf", values=shelf.VALUES)


@pytest.fixture
def program(team: Team, connection: Connection) -> Client:
    """A writer's program, and an open version."""
    make_version(make_dataset(team, "scenes"))
    return api_client(make_member(team, Role.WRITER))


def send(client: Client, url: str, body: object = None) -> Any:  # noqa: ANN401
    if body is None:
        return client.post(url)
    return client.post(url, json.dumps(body), content_type="application/json")


def work() -> None:
    """Do what workers would."""
    while run_imports():
        pass
    run_seal(Version.objects.get().pk)


def test_it_works(program: Client) -> None:
    started = send(program, ONE, BODY | {"exclude": ["*.csv"], "prefix": "in", "revision": "v1"})
    assert started.status_code == 202
    body = started.json()
    assert (body["status"], body["dataset"], body["version"]) == ("listing", "scenes", 1)
    assert (body["exclude"], body["prefix"], body["problems"]) == (["*.csv"], "in", [])
    work()
    done = program.get(ONE).json()
    assert (done["status"], done["pinned"], done["seal"]) == ("finished", "v1-pinned", True)
    assert (done["listed_files"], done["copied_files"], done["copied_size"], done["skipped_files"]) == (1, 1, 3, 1)
    version = program.get(ONE.removesuffix("/import")).json()
    assert version["status"] == "available"
    assert (version["source"]["kind"], version["source"]["path"]) == ("import", "box0")


def test_without_sealing(program: Client) -> None:
    send(program, ONE, BODY | {"seal": False})
    work()
    assert program.get(ONE).json()["status"] == "finished"
    assert Version.objects.get().status == Version.Status.UPLOADING


def test_failures_are_named_and_left_out(program: Client) -> None:
    shelf.CONTENT["b.csv"] = None
    send(program, ONE, BODY)
    work()
    failed = program.get(ONE).json()
    assert (failed["status"], failed["failed_files"]) == ("failed", 1)
    assert failed["problems"] == [
        {"key": "b.csv", "path": "b.csv", "cause": "denied", "detail": "The shelf keeps this to itself."}
    ]
    again = send(program, f"{ONE}/retry")
    assert (again.status_code, again.json()["failed_files"]) == (202, 0)
    work()
    left = send(program, f"{ONE}/leave-out")
    assert (left.status_code, left.json()["status"]) == (202, "finished")
    work()
    assert Version.objects.get().file_count == 1


def test_all_problems_page_by_page(team: Team, program: Client) -> None:
    assert program.get(f"{ONE}/problems").status_code == 404
    shelf.CONTENT.update({f"bad{number}": None for number in range(5)})
    send(program, ONE, BODY)
    work()
    found: list[dict[str, str]] = []
    cursor: str | None = ""
    for rows in (2, 2, 1):
        answer = program.get(f"{ONE}/problems?limit=2&cursor={cursor}").json()
        assert len(answer["items"]) == rows
        found += answer["items"]
        cursor = answer["next_cursor"]
    assert cursor is None
    assert found == program.get(ONE).json()["problems"]
    assert found[0] == {"key": "bad0", "path": "bad0", "cause": "denied", "detail": "The shelf keeps this to itself."}
    for wrong in ("limit=0", "limit=1001", "cursor=nonsense"):
        assert program.get(f"{ONE}/problems?{wrong}").status_code == 422
    assert api_client(make_member(team, Role.READER)).get(f"{ONE}/problems").status_code == 200
    assert api_client(make_member(make_team("other"), Role.ADMIN)).get(f"{ONE}/problems").status_code == 404


def test_cancel(program: Client) -> None:
    send(program, ONE, BODY)
    cancelled = send(program, f"{ONE}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (202, "cancelled")
    assert send(program, f"{ONE}/cancel").status_code == 409
    assert send(program, f"{ONE}/leave-out").status_code == 409
    assert send(program, f"{ONE}/retry").status_code == 202


def test_one_at_a_time(program: Client) -> None:
    assert send(program, ONE, BODY).status_code == 202
    assert send(program, ONE, BODY).status_code == 409
    assert Import.objects.count() == 1


def test_preview(program: Client) -> None:
    shelf.CONTENT["z//z"] = b"x"
    found = send(program, PREVIEW, {"source_path": "box0", "exclude": ["b.csv"]}).json()
    assert (found["files"], found["size"], found["skipped_files"], found["is_whole"]) == (1, 3, 1, True)
    assert found["first_files"] == [{"path": "a.txt", "size": 3}]
    assert (found["problem_count"], found["problems"][0]["key"], found["revision"]) == (1, "z//z", "main-pinned")
    assert send(program, PREVIEW, {"source_path": "attic"}).status_code == 502


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"connection": "other", "source_path": "box0"}, 404),
        ({"connection": "my-shelf"}, 422),
        ({"connection": "my-shelf", "source_path": "/"}, 422),
        (BODY | {"include": ["["] * 101}, 422),
        (BODY | {"prefix": "a//b"}, 422),
        (BODY | {"surprise": 1}, 422),
    ],
)
def test_bad_input(program: Client, body: object, status: int) -> None:
    assert send(program, ONE, body).status_code == status
    assert not Import.objects.exists()


def test_nothing_was_imported(program: Client) -> None:
    for answer in (program.get(ONE), send(program, f"{ONE}/retry")):
        assert (answer.status_code, "Nothing was imported" in answer.json()["detail"]) == (404, True)


def test_readers_follow_only(team: Team, program: Client) -> None:
    send(program, ONE, BODY)
    reader = api_client(make_member(team, Role.READER))
    assert reader.get(ONE).status_code == 200
    for answer in (send(reader, ONE, BODY), send(reader, f"{ONE}/cancel"), send(reader, PREVIEW, {"source_path": "x"})):
        assert answer.status_code == 403
