"""GET /api/v1/teams/{team}/datasets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from datasets_app.models import Dataset, Role, Team
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def team() -> Team:
    return make_team("vision")


@pytest.fixture
def reader(team: Team) -> Client:
    return api_client(make_member(team, Role.READER))


def names(client: Client, **query: object) -> list[str]:
    response = client.get(f"/api/v1/teams/vision/datasets?{urlencode(query, doseq=True)}")
    assert response.status_code == 200, response.content
    return [item["name"] for item in response.json()["items"]]


def test_it_works(team: Team, reader: Client) -> None:
    dataset = make_dataset(team, "images", description="Cats", tags=["b", "a"])
    version = make_available_version(dataset, {"a.txt": b"12345", "b/c.txt": b"678"})
    make_version(dataset)
    answer = reader.get("/api/v1/teams/vision/datasets").json()
    item = answer["items"][0]
    assert answer["next_cursor"] is None
    assert {key: item[key] for key in ("team", "name", "description", "tags")} == {
        "team": "vision",
        "name": "images",
        "description": "Cats",
        "tags": ["a", "b"],
    }
    assert (item["size"], item["file_count"], item["version_count"]) == (8, 2, 2)
    # The facts are those of the newest available version, the status that of the newest of all.
    assert (item["latest_version"], item["digest"], item["status"]) == (1, version.digest, "uploading")
    assert reader.get("/api/v1/teams/vision/datasets/images").json() == item


def test_stranger(team: Team) -> None:
    assert api_client(make_user()).get("/api/v1/teams/vision/datasets").status_code == 404


def test_other_teams_are_not_listed(team: Team, reader: Client) -> None:
    make_dataset(make_team("speech"), "voices")
    assert names(reader) == []


def test_trash_is_not_listed_and_archived_only_when_asked_for(team: Team, reader: Client) -> None:
    make_dataset(team, "plain")
    for name, field in (("archived", "archived_at"), ("trashed", "deleted_at")):
        make_dataset(team, name)
        Dataset.objects.filter(name=name).update(**{field: timezone.now()})
    assert names(reader) == ["plain"]
    assert names(reader, archived="true") == names(reader, archived="True") == ["archived"]
    assert names(reader, archived="all", sort="name") == ["archived", "plain"]
    assert reader.get("/api/v1/teams/vision/datasets/trashed").status_code == 404


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("image", ["images-big", "images-small"]),
        ("IMAGE big", ["images-big"]),
        ("kitten", ["images-small"]),
        ("pets", ["images-big", "images-small"]),
        ("pets kitten", ["images-small"]),
        ("nothing", []),
        ("%", []),
        ("_", []),
        ("  ", ["images-big", "images-small", "voices"]),
    ],
)
def test_search(team: Team, reader: Client, search: str, found: list[str]) -> None:
    make_dataset(team, "images-small", description="A kitten", tags=["pets"])
    make_dataset(team, "images-big", tags=["pets"])
    make_dataset(team, "voices")
    assert names(reader, search=search, sort="name") == found


def test_tag_and_status(team: Team, reader: Client) -> None:
    make_dataset(team, "empty1")
    make_available_version(make_dataset(team, "full1", tags=["raw"]))
    make_version(make_dataset(team, "open1", tags=["raw"]))
    assert names(reader, tag="RAW", sort="name") == ["full1", "open1"]
    assert names(reader, status="available") == ["full1"]
    assert names(reader, status="uploading") == ["open1"]
    assert names(reader, status="empty") == ["empty1"]


def test_owner_tags_source_and_days_add_up(team: Team, reader: Client) -> None:
    ada = make_member(team, username="ada")
    for name, tags in (("one", ["raw", "german"]), ("two", ["raw"]), ("three", ["raw", "german"])):
        make_available_version(make_dataset(team, name, tags=tags))
    Dataset.objects.filter(name__in=["one", "two"]).update(created_by=ada)
    long_ago = timezone.now() - timedelta(days=100)
    Dataset.objects.filter(name="two").update(updated_at=long_ago)
    assert names(reader, tag=["raw", "german"], sort="name") == ["one", "three"]
    assert names(reader, tag=["raw", "german"], owner="ada") == ["one"]
    assert names(reader, owner="nobody") == []
    assert names(reader, source="upload", owner="ada", sort="name") == ["one", "two"]
    assert names(reader, source="s3") == []
    assert names(reader, until=f"{long_ago:%Y-%m-%d}") == ["two"]
    assert names(reader, since=f"{timezone.now():%Y-%m-%d}", sort="name") == ["one", "three"]


def test_sort(team: Team, reader: Client) -> None:
    for name, size in (("bbb", 10), ("aaa", 30), ("ccc", 20)):
        make_available_version(make_dataset(team, name), {"x": b"x" * size})
    assert names(reader, sort="name") == ["aaa", "bbb", "ccc"]
    assert names(reader, sort="-name") == ["ccc", "bbb", "aaa"]
    assert names(reader, sort="size") == ["bbb", "ccc", "aaa"]
    assert names(reader, sort="-size") == ["aaa", "ccc", "bbb"]
    assert names(reader, sort="created") == ["bbb", "aaa", "ccc"]
    assert names(reader) == ["ccc", "aaa", "bbb"]


def walk(client: Client, query: str) -> Sequence[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(f"/api/v1/teams/vision/datasets?{query}&cursor={cursor}").json()
        found += [item["name"] for item in answer["items"]]
        cursor = answer["next_cursor"]
        assert len(found) < 100
    return found


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_hold_everything_once_and_in_order(team: Team, reader: Client, limit: int) -> None:
    maker = make_member(team)
    now = timezone.now()
    # Many equal keys, so that the order hangs on what makes it unique.
    Dataset.objects.bulk_create(
        Dataset(team=team, name=f"data{n}", created_by=maker, created_at=now, updated_at=now) for n in range(7)
    )
    for sort in ("name", "-name", "updated", "-updated", "created", "size", "-size", "-files", "versions"):
        whole = names(reader, sort=sort)
        assert len(set(whole)) == 7
        assert walk(reader, f"sort={sort}&limit={limit}") == whole, sort


def test_what_appears_meanwhile_moves_nothing(team: Team, reader: Client) -> None:
    for name in ("bbb", "ddd", "fff"):
        make_dataset(team, name)
    first = reader.get("/api/v1/teams/vision/datasets?sort=name&limit=2").json()
    make_dataset(team, "aaa")
    second = reader.get(f"/api/v1/teams/vision/datasets?sort=name&limit=2&cursor={first['next_cursor']}").json()
    assert [item["name"] for item in first["items"] + second["items"]] == ["bbb", "ddd", "fff"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"sort": "colour"}, "sort"),
        ({"status": "happy"}, "status"),
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "WyJhIl0:1tabc:def"}, "cursor"),
        ({"archived": "perhaps"}, "archived"),
        ({"since": "now"}, "since"),
        ({"until": "2026-02-30"}, "until"),
        ({"source": "A source"}, "source"),
        ({"tag": [f"tag{n}" for n in range(21)]}, "tag"),
    ],
)
def test_bad_query(team: Team, reader: Client, query: dict[str, object], field: str) -> None:
    response = reader.get(f"/api/v1/teams/vision/datasets?{urlencode(query, doseq=True)}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field


def test_a_cursor_holds_for_its_own_order_only(team: Team, reader: Client) -> None:
    for name in ("aaa", "bbb"):
        make_dataset(team, name)
    cursor = reader.get("/api/v1/teams/vision/datasets?sort=name&limit=1").json()["next_cursor"]
    assert reader.get(f"/api/v1/teams/vision/datasets?sort=-name&cursor={cursor}").status_code == 422


def test_the_number_of_queries_does_not_grow(team: Team, reader: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            names(reader)
        return len(captured)

    make_available_version(make_dataset(team, tags=["a"]))
    queries()
    before = queries()
    for _ in range(5):
        make_available_version(make_dataset(team, tags=["a", "b"]))
    assert queries() == before
