"""POST /api/v1/teams/{team}/datasets."""

from __future__ import annotations

import pytest

from datasets_app.models import AuditEvent, Dataset, Role
from tests.factories import api_client, make_dataset, make_member, make_team, make_user

pytestmark = pytest.mark.django_db

URL = "/api/v1/teams/vision/datasets"


def test_it_works() -> None:
    user = make_member(make_team("vision"), Role.WRITER)
    body = {"name": "images", "description": "Cats", "tags": ["Cats", "cats", "v1"]}
    response = api_client(user).post(URL, body, content_type="application/json")
    assert response.status_code == 201
    assert response.headers["Location"] == f"{URL}/images"
    answer = response.json()
    assert answer["tags"] == ["cats", "v1"]
    assert (answer["status"], answer["latest_version"], answer["size"]) == ("empty", None, 0)
    assert Dataset.objects.get(name="images").created_by == user
    assert AuditEvent.objects.filter(verb="created dataset", subject="images", actor=user).exists()


def test_stranger() -> None:
    make_team("vision")
    response = api_client(make_user()).post(URL, {"name": "images"}, content_type="application/json")
    assert response.status_code == 404


def test_reader() -> None:
    user = make_member(make_team("vision"), Role.READER)
    response = api_client(user).post(URL, {"name": "images"}, content_type="application/json")
    assert response.status_code == 403
    assert not Dataset.objects.exists()


def test_token_of_a_writer_limited_to_reading() -> None:
    user = make_member(make_team("vision"), Role.WRITER)
    response = api_client(user, scope=Role.READER).post(URL, {"name": "images"}, content_type="application/json")
    assert response.status_code == 403
    assert "token" in response.json()["detail"]


def test_twice() -> None:
    client = api_client(make_member(make_team("vision")))
    client.post(URL, {"name": "images"}, content_type="application/json")
    response = client.post(URL, {"name": "images"}, content_type="application/json")
    assert response.status_code == 409
    assert response.json()["errors"][0]["field"] == "name"


def test_a_name_in_the_trash_is_taken() -> None:
    team = make_team("vision")
    trashed = make_dataset(team, "images")
    Dataset.objects.filter(pk=trashed.pk).update(deleted_at=trashed.created_at)
    response = api_client(make_member(team)).post(URL, {"name": "images"}, content_type="application/json")
    assert response.status_code == 409
    assert "trash" in response.json()["detail"]


@pytest.mark.parametrize("name", ["ab", "-abc", "abc-", "a" * 64, "a b c", "abc\n", "ünicode", "a/b/c", ""])
def test_bad_name(name: str) -> None:
    client = api_client(make_member(make_team("vision")))
    response = client.post(URL, {"name": name}, content_type="application/json")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "name"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": 5}, "name"),
        ({"name": "images", "tagz": []}, "tagz"),
        ({"name": "images", "tags": ["ok", 3]}, "tags.1"),
        ({"name": "images", "tags": ["x" * 51]}, "tags"),
        ({"name": "images", "tags": [f"t{n}" for n in range(21)]}, "tags"),
        ({"name": "images", "description": "x" * 20_001}, "description"),
        ({"name": "images", "description": "a\x07b"}, "description"),
        ([], ""),
    ],
)
def test_bad_body_names_the_field(body: object, field: str) -> None:
    client = api_client(make_member(make_team("vision")))
    response = client.post(URL, body, content_type="application/json")
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    assert field in {item["field"] for item in response.json()["errors"]}


@pytest.mark.parametrize("body", ["{", "", "\xff", '{"name": "images", "description": "a\\u0000b"}', "[" * 5000])
def test_body_that_is_not_json(body: str) -> None:
    client = api_client(make_member(make_team("vision")))
    response = client.post(URL, body.encode("latin-1"), content_type="application/json")
    assert response.status_code in {400, 422}
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_backslash_before_u0000_is_no_nul() -> None:
    client = api_client(make_member(make_team("vision")))
    body = {"name": "images", "description": "\\u0000"}
    assert client.post(URL, body, content_type="application/json").json()["description"] == "\\u0000"
