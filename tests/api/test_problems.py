"""Every error under /api/ is a problem (RFC 9457)."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError
from django.test import Client

from datasets_app.api import errors as api_errors
from tests.factories import api_client, make_member, make_team, make_user

pytestmark = pytest.mark.django_db

MEMBERS = {"type", "title", "status", "detail", "errors", "request_id"}


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/teams", 404),
        ("POST", "/api/v1/nothing", 404),
        ("GET", "/api/v1/teams/nobody/datasets", 404),
        ("DELETE", "/api/v1/teams", 405),
        ("GET", "/api/v1/teams/vision/datasets?limit=many", 422),
        ("GET", "/api/v1/teams/vision/datasets?search=%00", 400),
        ("GET", "/api/v1/teams/vi%00sion/datasets", 400),
        ("GET", f"/api/v1/teams/vision/datasets/images/versions/{10**30}", 404),
    ],
)
def test_it_works(method: str, url: str, status: int) -> None:
    response = api_client(make_member(make_team("vision"))).generic(method, url)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = json.loads(response.content)
    assert set(problem) == MEMBERS
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["X-Request-ID"]


def test_strangers_learn_nothing_of_unknown_addresses() -> None:
    assert Client().get("/api/v1/nothing").status_code == 404


def test_a_refused_method_still_says_which_are_allowed() -> None:
    assert api_client(make_user()).delete("/api/v1/teams").headers["Allow"] == "GET"


def test_a_bug_is_500_with_the_id_to_find_it_by(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_args: object, **_named: object) -> None:
        raise RuntimeError("the secret inside")

    monkeypatch.setattr("datasets_app.api.teams.list_teams", break_down)
    response = api_client(make_user()).get("/api/v1/teams")
    assert response.status_code == 500
    assert "secret" not in response.content.decode()
    assert response.json()["request_id"] == response.headers["X-Request-ID"]
    assert "the secret inside" in caplog.text


def test_a_busy_database_asks_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_named: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr("datasets_app.api.teams.list_teams", refuse)
    response = api_client(make_user()).get("/api/v1/teams")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "5"


def test_a_body_too_large_to_hold_is_413(settings: object) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100  # type: ignore[attr-defined]
    client = api_client(make_member(make_team("vision")))
    body = {"name": "images", "description": "x" * 200}
    response = client.post("/api/v1/teams/vision/datasets", body, content_type="application/json")
    assert response.status_code == 413
    assert response.headers["Content-Type"] == api_errors.CONTENT_TYPE
