"""PATCH /api/v1/teams/{team}/datasets/{name}."""

from __future__ import annotations

import pytest

from datasets_app.models import AuditEvent, Dataset, DatasetTag, Role, Team
from tests.factories import api_client, make_dataset, make_member, make_team, make_user

pytestmark = pytest.mark.django_db

URL = "/api/v1/teams/vision/datasets/images"


@pytest.fixture
def team() -> Team:
    team = make_team("vision")
    make_dataset(team, "images", description="old", tags=["a", "b"])
    return team


def test_it_works(team: Team) -> None:
    before = Dataset.objects.get().updated_at
    client = api_client(make_member(team, Role.WRITER))
    body = {"description": "new", "tags": ["b", "c"]}
    answer = client.patch(URL, body, content_type="application/json").json()
    assert (answer["description"], answer["tags"]) == ("new", ["b", "c"])
    assert Dataset.objects.get().updated_at > before
    assert AuditEvent.objects.filter(verb="edited dataset").exists()


@pytest.mark.parametrize(
    ("body", "description", "tags"),
    [({"tags": []}, "old", []), ({"description": ""}, "", ["a", "b"]), ({}, "old", ["a", "b"])],
)
def test_what_is_left_out_stays(team: Team, body: dict[str, object], description: str, tags: list[str]) -> None:
    client = api_client(make_member(team))
    answer = client.patch(URL, body, content_type="application/json").json()
    assert (answer["description"], answer["tags"]) == (description, tags)


def test_twice(team: Team) -> None:
    client = api_client(make_member(team))
    for _ in range(2):
        assert client.patch(URL, {"tags": ["x"]}, content_type="application/json").status_code == 200
    assert DatasetTag.objects.count() == 1


def test_stranger_and_reader(team: Team) -> None:
    body = {"description": "new"}
    assert api_client(make_user()).patch(URL, body, content_type="application/json").status_code == 404
    reader = api_client(make_member(team, Role.READER))
    assert reader.patch(URL, body, content_type="application/json").status_code == 403
    assert Dataset.objects.get().description == "old"


@pytest.mark.parametrize("body", [{"name": "other"}, {"tags": "a"}, {"description": 5}, {"tags": ["a,b"]}])
def test_bad_body(team: Team, body: dict[str, object]) -> None:
    response = api_client(make_member(team)).patch(URL, body, content_type="application/json")
    assert response.status_code == 422
    assert response.json()["errors"]
