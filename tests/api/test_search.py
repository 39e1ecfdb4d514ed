"""Finding files by the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from datasets_app.models import Role, Version
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team, make_user

pytestmark = pytest.mark.django_db

URL = "/api/v1/teams/vision/datasets/images/versions/1/search"
FILES = {"a/cat_1.png": b"1", "a/cat_2.png": b"22", "b/dog.PNG": b"333", "notes.txt": b"4444"}


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team("vision"), "images"), FILES)


@pytest.fixture
def client(version: Version) -> Client:
    return api_client(make_member(version.dataset.team, Role.READER))


def paths(client: Client, **wanted: str | int) -> list[str]:
    return [item["path"] for item in client.get(URL, dict(wanted)).json()["items"]]


def test_it_works(client: Client) -> None:
    answer = client.get(f"{URL}?q=cat&limit=1").json()
    (item,) = answer["items"]
    assert (item["type"], item["path"], item["size"], item["damaged"]) == ("file", "a/cat_1.png", 1, False)
    assert item["digest"].startswith("sha256:")
    rest = client.get(URL, {"q": "cat", "limit": 1, "cursor": answer["next_cursor"]}).json()
    assert [item["path"] for item in rest["items"]] == ["a/cat_2.png"]
    assert rest["next_cursor"] is None


def test_all_conditions_must_fit(client: Client) -> None:
    assert paths(client, suffix="png") == ["a/cat_1.png", "a/cat_2.png", "b/dog.PNG"]
    assert paths(client, q="*.png") == ["a/cat_1.png", "a/cat_2.png"]
    assert paths(client, suffix="png", least_size=2, most_size=2) == ["a/cat_2.png"]
    assert paths(client) == ["notes.txt", "a/cat_1.png", "a/cat_2.png", "b/dog.PNG"]
    assert paths(client, q="nothing") == []


def test_a_label_will_do_for_a_number(client: Client) -> None:
    assert len(client.get(URL.replace("/1/", "/latest/"), {"q": "cat"}).json()["items"]) == 2


@pytest.mark.parametrize(
    "query", [{"least_size": -1}, {"most_size": 2**63}, {"limit": 0}, {"cursor": "x"}, {"q": "a" * 501}, {"q": "a\0b"}]
)
def test_bad_input(client: Client, query: dict[str, Any]) -> None:
    assert client.get(URL, query).status_code in {400, 422}


def test_stranger(version: Version) -> None:
    assert api_client(make_user()).get(URL, {"q": "cat"}).status_code == 404
