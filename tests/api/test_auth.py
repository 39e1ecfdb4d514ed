"""Who may call the API: tokens, sessions with the CSRF header, nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from datasets_app.models import ApiToken, Dataset, Role
from tests.factories import PASSWORD, api_client, make_member, make_team, make_token, make_user, page_client

pytestmark = pytest.mark.django_db

TEAMS = "/api/v1/teams"
DATASETS = "/api/v1/teams/vision/datasets"


def test_a_token() -> None:
    user = make_member(make_team("vision"), Role.WRITER)
    answer = api_client(user).get(TEAMS).json()
    assert [(item["name"], item["role"]) for item in answer["items"]] == [("vision", "writer")]
    assert answer["next_cursor"] is None


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Bearer flexai_" + "x" * 43, "Basic YTpi", "flexai_" + "x" * 43, "Bearer \u00e9"],
)
def test_no_right_token(header: str, client: Client) -> None:
    response = client.get(TEAMS, headers={"Authorization": header} if header else {})
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_bad_token_does_not_fall_back_to_the_session() -> None:
    client = page_client(make_user())
    assert client.get(TEAMS).status_code == 200
    assert client.get(TEAMS, headers={"Authorization": "Bearer wrong"}).status_code == 401


def test_expired_revoked_and_disabled() -> None:
    user = make_user()
    client = api_client(user)
    now = timezone.now()
    ApiToken.objects.update(expires_at=now - timedelta(seconds=1))
    assert client.get(TEAMS).status_code == 401
    ApiToken.objects.update(expires_at=None, revoked_at=now)
    assert client.get(TEAMS).status_code == 401
    ApiToken.objects.update(revoked_at=None)
    assert client.get(TEAMS).status_code == 200
    user.is_active = False
    user.save()
    assert client.get(TEAMS).status_code == 401


def test_the_role_is_the_smaller_of_the_users_and_the_tokens() -> None:
    team = make_team("vision")
    reader, admin = make_member(team, Role.READER), make_member(team, Role.ADMIN)
    body = {"name": "images"}
    refused = [api_client(reader, scope=Role.ADMIN), api_client(admin, scope=Role.READER)]
    assert [c.post(DATASETS, body, content_type="application/json").status_code for c in refused] == [403, 403]
    client = api_client(admin, scope=Role.WRITER)
    assert client.get(TEAMS).json()["items"][0]["role"] == "writer"
    assert client.post(DATASETS, body, content_type="application/json").status_code == 201


def test_a_token_for_one_team_sees_no_other() -> None:
    first, second = make_team("vision"), make_team("speech")
    user = make_member(first, Role.ADMIN)
    second.memberships.create(user=user, role=Role.ADMIN)
    client = api_client(user, team=second)
    assert [item["name"] for item in client.get(TEAMS).json()["items"]] == ["speech"]
    assert client.get(DATASETS).status_code == 404


def test_last_use_is_written_once_a_minute() -> None:
    client = api_client(make_user())
    client.get(TEAMS)
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    client.get(TEAMS)
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=first - timedelta(seconds=61))
    client.get(TEAMS)
    second = ApiToken.objects.get().last_used_at
    assert second is not None
    assert second >= first


def test_a_session_reads_and_writes_only_with_the_csrf_header() -> None:
    make_member(make_team("vision"), username="ada")
    client = Client(enforce_csrf_checks=True)
    client.get("/sign-in/")
    secret = client.cookies["flexai_csrf"].value
    body = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": secret}
    assert client.post("/sign-in/", body).status_code == 302
    assert client.get(TEAMS).status_code == 200
    refused = client.post(DATASETS, {"name": "images"}, content_type="application/json")
    assert refused.status_code == 403
    assert "X-CSRFToken" in refused.json()["detail"]
    assert not Dataset.objects.exists()
    headers = {"X-CSRFToken": client.cookies["flexai_csrf"].value}
    allowed = client.post(DATASETS, {"name": "images"}, content_type="application/json", headers=headers)
    assert allowed.status_code == 201


def test_a_token_needs_no_csrf_header() -> None:
    token = make_token(make_member(make_team("vision")))
    client = Client(enforce_csrf_checks=True, headers={"Authorization": f"Bearer {token}"})
    assert client.post(DATASETS, {"name": "images"}, content_type="application/json").status_code == 201


def test_the_scheme_may_be_written_in_any_case() -> None:
    token = make_token(make_user())
    assert Client().get(TEAMS, headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_pages_do_not_take_tokens() -> None:
    client = api_client(make_user())
    assert client.get("/account/").status_code == 302
