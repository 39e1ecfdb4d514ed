"""Who may upload, and who learns that an upload exists."""

from __future__ import annotations

import pytest
from django.conf import LazySettings
from django.test import Client

from datasets_app.models import Role, Team
from tests.factories import api_client, make_member, make_team, make_user, page_client
from tests.uploads.sender import OCTETS, TUS, Sender, metadata


def attempts(sender: Sender, client: Client, url: str, **headers: str) -> set[int]:
    """Return the status of every verb when this client tries it."""
    about = metadata(team=sender.team.name, dataset="images", version=1, path="mine")
    named = TUS | {name.replace("_", "-"): value for name, value in headers.items()}
    created = client.post("/api/v1/tus", headers=named | {"Upload-Length": "1", "Upload-Metadata": about})
    patched = client.patch(url, b"ab", content_type=OCTETS, headers=named | {"Upload-Offset": "0"})
    return {created.status_code, patched.status_code, client.delete(url, headers=named).status_code}


@pytest.fixture
def url(sender: Sender) -> str:
    """Give a writer's upload of two bytes."""
    return sender.create_upload(length=2, path="a")["Location"]


def test_it_works_for_another_writer_of_the_team(sender: Sender, url: str) -> None:
    colleague = api_client(make_member(sender.team, Role.WRITER))
    assert colleague.head(url, headers=TUS).status_code == 200
    answer = colleague.patch(url, b"ab", content_type=OCTETS, headers=TUS | {"Upload-Offset": "0"})
    assert answer.status_code == 204


def test_a_stranger_learns_nothing(sender: Sender, url: str) -> None:
    stranger = api_client(make_member(make_team(), Role.ADMIN))
    assert attempts(sender, stranger, url) == {404}
    assert stranger.head(url, headers=TUS).status_code == 404
    assert attempts(sender, api_client(make_user()), url) == {404}
    assert sender.head(url)["Upload-Offset"] == "0"


def test_a_reader_may_not(sender: Sender, url: str) -> None:
    assert attempts(sender, api_client(make_member(sender.team, Role.READER)), url) == {403}
    assert sender.head(url)["Upload-Offset"] == "0"


def test_a_token_that_is_limited_may_not(sender: Sender, url: str) -> None:
    assert attempts(sender, api_client(sender.user, scope=Role.READER), url) == {403}
    assert attempts(sender, api_client(sender.user, team=make_team_of(sender)), url) == {404}


def test_nobody_may_not(sender: Sender, url: str) -> None:
    assert attempts(sender, Client(), url) == {401}
    assert attempts(sender, Client(headers={"Authorization": "Bearer flexai_wrong"}), url) == {401}
    assert sender.head(url)["Upload-Offset"] == "0"


def test_a_session_needs_the_csrf_header(sender: Sender, url: str, settings: LazySettings) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(sender.user)
    assert attempts(sender, browser, url) == {403}
    assert sender.head(url)["Upload-Offset"] == "0"
    browser.cookies[settings.CSRF_COOKIE_NAME] = "a" * 32
    assert attempts(sender, browser, url, X_CSRFToken="a" * 32) == {201, 204, 409}


def test_nobody_signed_in_is_401_not_a_page(sender: Sender, url: str) -> None:
    browser = Client(enforce_csrf_checks=True)
    answer = browser.post("/api/v1/tus", headers=TUS)
    assert answer.status_code in {401, 403}
    assert answer["Content-Type"] == "application/problem+json"


def test_an_upload_of_a_team_that_one_has_left(sender: Sender, url: str) -> None:
    client = page_client(sender.user)
    sender.team.memberships.filter(user=sender.user).delete()
    assert client.head(url, headers=TUS).status_code == 404


def make_team_of(sender: Sender) -> Team:
    """Make another team of the same user."""
    team = make_team()
    team.memberships.create(user=sender.user, role=Role.ADMIN)
    return team
