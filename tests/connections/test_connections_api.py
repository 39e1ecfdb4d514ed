"""The API of connections."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from datasets_app.models import Connection, Role, Team, User
from tests.connections.shelf import SECRET, VALUES
from tests.factories import api_client, make_member

LIST = "/api/v1/teams/vision/connections"
ONE = f"{LIST}/my-shelf"


@pytest.fixture
def program(admin: User) -> Client:
    return api_client(admin)


def send(client: Client, method: str, url: str, body: object) -> Any:  # noqa: ANN401
    return client.generic(method, url, json.dumps(body), content_type="application/json")


def test_it_works(team: Team, program: Client) -> None:
    made = send(program, "POST", LIST, {"name": "my-shelf", "provider": "shelf", "values": VALUES})
    assert made.status_code == 201
    assert made.headers["Location"] == ONE
    body = made.json()
    assert (body["values"]["user"], body["secrets"], body["check"]) == ("ada", ["secret"], None)
    assert SECRET not in made.content.decode()
    checked = program.post(f"{ONE}/check")
    assert (checked.status_code, checked.json()["ok"]) == (200, True)
    assert program.post(f"{ONE}/check?path=attic").json()["ok"] is False
    (listed,) = program.get(LIST).json()["items"]
    assert listed["check"]["steps"][-1]["detail"] == "There is no box <attic>."
    page = program.get(f"{ONE}/browse").json()
    assert [item["path"] for item in page["items"]] == ["box0", "box1"]
    assert [i["path"] for i in program.get(f"{ONE}/browse?cursor={page['next_cursor']}").json()["items"]] == ["box2"]
    (file,) = program.get(f"{ONE}/browse?path=box0&revision=x").json()["items"]
    assert file == {"name": "ax.txt", "path": "box0/a.txt", "type": "file", "size": 3, "detail": ""}


def test_providers_tell_their_fields(team: Team, program: Client) -> None:
    (shelf,) = [item for item in program.get(f"{LIST}/providers").json()["items"] if item["name"] == "shelf"]
    style = shelf["fields"][4]
    assert (style["name"], style["kind"], style["choices"]) == ("style", "choice", ["plain", "fine"])


def test_edit_and_delete(connection: Connection, program: Client) -> None:
    edited = send(program, "PATCH", ONE, {"values": {"user": "bob", "token": "t"}})
    assert (edited.status_code, edited.json()["secrets"]) == (200, ["secret", "token"])
    assert send(program, "PATCH", ONE, {"forget": ["token"]}).json()["secrets"] == ["secret"]
    assert program.delete(ONE).status_code == 204
    assert program.delete(ONE).status_code == 404


def test_a_store_that_refuses_is_502_with_its_words(connection: Connection, program: Client) -> None:
    answer = program.get(f"{ONE}/browse?path=attic")
    assert answer.status_code == 502
    assert answer.json()["detail"] == "There is no box <attic>."


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "another", "provider": "tape", "values": VALUES}, 422),
        ({"name": "another", "provider": "shelf", "values": {}}, 422),
        ({"name": "another", "provider": "shelf", "values": {"user": 3}}, 422),
        ({"name": "my-shelf", "provider": "shelf", "values": VALUES}, 409),
        ({"name": "another", "provider": "shelf", "values": VALUES, "x": 1}, 422),
    ],
)
def test_bad_input(connection: Connection, program: Client, body: object, status: int) -> None:
    answer = send(program, "POST", LIST, body)
    assert answer.status_code == status
    assert answer.json()["errors"]
    assert SECRET not in answer.content.decode()


def test_readers_look_only(connection: Connection, team: Team) -> None:
    reader = api_client(make_member(team, Role.READER))
    assert reader.get(LIST).status_code == 200
    assert reader.get(ONE).status_code == 200
    assert reader.get(f"{ONE}/browse").status_code == 403
    assert reader.post(f"{ONE}/check").status_code == 403
    assert send(reader, "PATCH", ONE, {}).status_code == 403
    assert reader.delete(ONE).status_code == 403
