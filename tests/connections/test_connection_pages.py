"""The pages of connections."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from datasets_app.models import Connection, Import, Role, Team, User
from datasets_app.services.connections import stored_secrets
from tests.connections.shelf import SECRET, VALUES
from tests.factories import make_dataset, make_member, make_version, page_client

LIST = "/teams/vision/connections/"
PAGE = f"{LIST}my-shelf/"
FORM = VALUES | {"style": "plain"}


@pytest.fixture
def visitor(admin: User) -> Client:
    return page_client(admin)


def test_it_works(team: Team, visitor: Client) -> None:
    assert "no connections yet" in visitor.get(LIST).content.decode()
    assert "?provider=shelf" in visitor.get(f"{LIST}new/").content.decode()
    form = visitor.get(f"{LIST}new/?provider=shelf").content.decode()
    assert "ALLOWED_SOURCE_NETWORKS" in form
    made = visitor.post(f"{LIST}new/?provider=shelf", FORM | {"name": "my-shelf"})
    assert (made.status_code, made.headers["Location"]) == (302, f"{PAGE}?check=now")
    page = visitor.get(f"{PAGE}?check=now").content.decode()
    assert "stored, encrypted" in page
    assert "data-now" in page
    assert visitor.post(f"{PAGE}check/", {"path": "box0"}).status_code == 302
    page = visitor.get(PAGE).content.decode()
    assert "https://shelf.example.org is there." in page
    assert "box0" in page
    assert "works" in visitor.get(LIST).content.decode()


def test_allowed_networks_are_shown(team: Team, visitor: Client, settings: Settings) -> None:
    settings.ALLOWED_SOURCE_NETWORKS = ["10.20.0.0/16"]
    assert "10.20.0.0/16" in visitor.get(f"{LIST}new/?provider=shelf").content.decode()
    settings.EGRESS_PROXY = "http://proxy.example.org:3128"
    assert "10.20.0.0/16" not in visitor.get(f"{LIST}new/?provider=shelf").content.decode()


def test_the_form_says_what_is_wrong(connection: Connection, visitor: Client) -> None:
    bad = visitor.post(f"{LIST}new/?provider=shelf", {"name": "my-shelf", "endpoint": "x", "secret": "s", "style": "y"})
    text = bad.content.decode()
    assert bad.status_code == 422
    assert "Select a valid choice" in text
    bad = visitor.post(f"{LIST}new/?provider=shelf", FORM | {"name": "another", "endpoint": "x"})
    assert (bad.status_code, "An endpoint begins with https://" in bad.content.decode()) == (422, True)
    bad = visitor.post(f"{LIST}new/?provider=shelf", FORM | {"name": "my-shelf"})
    assert (bad.status_code, "already has a connection" in bad.content.decode()) == (422, True)


def test_a_script_gets_each_step_by_itself(connection: Connection, visitor: Client) -> None:
    answer = visitor.post(f"{PAGE}check/", {"path": "<attic>"}, headers={"HX-Request": "true"})
    lines = [json.loads(line) for line in b"".join(answer.streaming_content).splitlines()]  # type: ignore[attr-defined]
    assert ["step" in line for line in lines] == [True, True, True, False]
    assert "is-ok" in lines[0]["step"]
    assert "There is no box &lt;&lt;attic&gt;&gt;." in lines[2]["step"]
    assert "failed" in lines[3]["outcome"]


def test_edit(connection: Connection, visitor: Client) -> None:
    page = visitor.get(f"{PAGE}edit/").content.decode()
    assert 'value="https://shelf.example.org"' in page
    assert "checked" in page
    changed = {"endpoint": VALUES["endpoint"], "user": "bob", "style": "fine", "polish": "wax", "token": "new"}
    assert visitor.post(f"{PAGE}edit/", changed).status_code == 302
    connection.refresh_from_db()
    assert (connection.settings["user"], connection.settings["style"], connection.settings["pays"]) == (
        "bob",
        "fine",
        "",
    )
    assert stored_secrets(connection) == ["polish", "secret", "token"]
    assert "forget_token" in visitor.get(f"{PAGE}edit/").content.decode()
    visitor.post(f"{PAGE}edit/", changed | {"token": "", "forget_token": "on"})
    connection.refresh_from_db()
    assert stored_secrets(connection) == ["polish", "secret"]


def test_another_server_asks_for_the_secret_again(connection: Connection, visitor: Client) -> None:
    elsewhere = FORM | {"endpoint": "https://thief.example.org", "secret": ""}
    answer = visitor.post(f"{PAGE}edit/", elsewhere)
    assert (answer.status_code, "Enter this again" in answer.content.decode()) == (422, True)
    assert visitor.post(f"{PAGE}edit/", elsewhere | {"secret": SECRET + "2"}).status_code == 302


def test_delete(connection: Connection, visitor: Client) -> None:
    version = make_version(make_dataset(connection.team))
    run = Import.objects.create(version=version, connection=connection, source_path="box0", status="copying")
    assert (
        "can&#x27;t be deleted while an import uses it" in visitor.post(f"{PAGE}delete/", follow=True).content.decode()
    )
    assert "box0" in visitor.get(PAGE).content.decode()
    Import.objects.filter(pk=run.pk).update(status="finished")
    assert "were deleted" in visitor.post(f"{PAGE}delete/", follow=True).content.decode()
    assert visitor.get(PAGE).status_code == 404


def test_readers_see_no_buttons(connection: Connection, team: Team) -> None:
    reader = page_client(make_member(team, Role.READER))
    for address in (LIST, PAGE):
        page = reader.get(address).content.decode()
        for words in ("New connection", "Check connection", "Delete", f"{PAGE}edit/"):
            assert words not in page
    assert reader.get(f"{LIST}new/").status_code == 403
    assert reader.post(f"{PAGE}check/").status_code == 403


def test_writers_check_and_do_not_edit(connection: Connection, team: Team) -> None:
    writer = page_client(make_member(team, Role.WRITER))
    page = writer.get(PAGE).content.decode()
    assert "Check connection" in page
    assert f"{PAGE}edit/" not in page
    assert writer.get(f"{PAGE}edit/").status_code == 403
