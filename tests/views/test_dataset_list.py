"""The list of a team's datasets."""

from __future__ import annotations

import pytest
from django.test import Client

from datasets_app.models import Dataset, Role, Version
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
    page_client,
)

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/"


def test_it_works() -> None:
    team = make_team("vision")
    dataset = make_dataset(team, "images", description="Cats & dogs", tags=["raw"])
    make_available_version(dataset, {"a": b"12345"})
    make_version(dataset)
    page = page_client(make_member(team, Role.READER)).get(URL).content.decode()
    assert "/teams/vision/datasets/images/" in page
    assert "Cats &amp; dogs" in page
    assert "raw" in page
    assert "5 B" in page
    # The newest version decides the status.
    assert '<span class="badge is-busy">uploading</span>' in page


def test_stranger() -> None:
    make_team("vision")
    assert page_client(make_user()).get(URL).status_code == 404


def test_signed_out() -> None:
    make_team("vision")
    response = Client().get(URL)
    assert response.status_code == 302
    assert response.headers["Location"].endswith("?next=/teams/vision/datasets/")


def test_reader_is_not_offered_what_is_refused() -> None:
    team = make_team("vision")
    assert "New dataset" not in page_client(make_member(team, Role.READER)).get(URL).content.decode()
    assert "New dataset" in page_client(make_member(team, Role.WRITER)).get(URL).content.decode()


def test_empty_state_says_what_to_do() -> None:
    team = make_team("vision")
    assert "vision has no datasets yet" in page_client(make_member(team)).get(URL).content.decode()


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("search=cat", ["cats"]),
        ("search=purr", ["cats"]),
        ("tag=raw", ["dogs"]),
        ("status=empty", ["dogs", "cats"]),
        ("status=available", []),
        ("archived=true", ["old"]),
        ("archived=all&sort=name", ["cats", "dogs", "old"]),
        ("tag=raw&tag=large", ["dogs"]),
        ("tag=raw&tag=small", []),
        ("owner=ada", ["cats"]),
        ("owner=ada&tag=raw", []),
        ("source=upload", []),
        ("since=2020-01-01&until=2999-01-01&sort=name", ["cats", "dogs"]),
        ("since=2999-01-01", []),
        ("until=2020-01-01", []),
        ("sort=name", ["cats", "dogs"]),
        ("sort=-name", ["dogs", "cats"]),
    ],
)
def test_filters_and_sorts(query: str, names: list[str]) -> None:
    team = make_team("vision")
    cats = make_dataset(team, "cats", description="They purr")
    Dataset.objects.filter(pk=cats.pk).update(created_by=make_member(team, username="ada"))
    make_dataset(team, "dogs", tags=["raw", "large"])
    old = make_dataset(team, "old")
    Dataset.objects.filter(pk=old.pk).update(archived_at=old.created_at)
    response = page_client(make_member(team)).get(f"{URL}?{query}")
    assert [row.dataset.name for row in response.context["page"].items] == names
    if not names:
        assert "No dataset matches" in response.content.decode()


def test_htmx_gets_the_results_alone() -> None:
    team = make_team("vision")
    make_dataset(team, "images")
    response = page_client(make_member(team)).get(URL, headers={"HX-Request": "true"})
    page = response.content.decode()
    assert "<html" not in page
    assert 'id="results"' in page
    assert "HX-Request" in response.headers["Vary"]


def test_pages() -> None:
    team = make_team("vision")
    actor = make_member(team)
    Dataset.objects.bulk_create(Dataset(team=team, name=f"set-{number:03d}", created_by=actor) for number in range(60))
    client = page_client(actor)
    first = client.get(f"{URL}?sort=name&search=set").context["page"]
    assert len(first.items) == 50
    second = client.get(URL, {"sort": "name", "search": "set", "cursor": first.next_cursor}).context["page"]
    assert [row.dataset.name for row in second.items] == [f"set-{number:03d}" for number in range(50, 60)]


@pytest.mark.parametrize(
    "query", ["sort=colour", "status=odd", "cursor=forged", "since=yesterday", "until=2026-13-01", "source=%25"]
)
def test_bad_input(query: str) -> None:
    team = make_team("vision")
    response = page_client(make_member(team)).get(f"{URL}?{query}")
    assert response.status_code == 422
    assert "<h1>" in response.content.decode()


def test_the_page_remembers_its_team() -> None:
    first, second = make_team("audio"), make_team("vision")
    user = make_member(first)
    second.memberships.create(user=user, role=Role.READER)
    client = page_client(user)
    client.get(URL)
    assert client.session["team"] == "vision"


def test_source_is_that_of_the_newest_version() -> None:
    team = make_team("vision")
    for name, source in (("cats", {"kind": "import", "provider": "gcs"}), ("dogs", {"kind": "upload"})):
        dataset = make_dataset(team, name)
        make_available_version(dataset)
        Version.objects.filter(pk=make_version(dataset).pk).update(source=source)
    client = page_client(make_member(team))

    def names(query: str) -> list[str]:
        return [row.dataset.name for row in client.get(f"{URL}?{query}").context["page"].items]

    assert names("source=gcs") == ["cats"]
    assert names("source=upload") == ["dogs"]
    assert names("source=upload&status=uploading") == ["dogs"]
    assert names("source=gcs&status=available") == []
    assert names("source=gcs&status=empty") == []


def test_each_condition_can_be_taken_away_and_pages_keep_them() -> None:
    team = make_team("vision")
    actor = make_member(team, username="ada")
    rows = [Dataset(team=team, name=f"set-{number:03d}", created_by=actor) for number in range(60)]
    for row in Dataset.objects.bulk_create(rows):
        row.tags.create(name="raw")
    client = page_client(actor)
    query = "?search=set&tag=raw&owner=ada&sort=name"
    page = client.get(f"{URL}{query}").content.decode()
    assert 'href="?search=set&amp;owner=ada&amp;sort=name"' in page
    assert 'href="?tag=raw&amp;owner=ada&amp;sort=name"' in page
    assert "Clear filters" in page
    # Further filters that count are not hidden.
    assert '<details class="more-filters" open>' in page
    following = page.split('">Next page')[0].rpartition('href="')[2].replace("&amp;", "&")
    assert following.startswith(f"{query}&cursor=")
    assert [row.dataset.name for row in client.get(f"{URL}{following}").context["page"].items] == [
        f"set-{number:03d}" for number in range(50, 60)
    ]


def test_nothing_fits_and_the_way_back_is_shown() -> None:
    team = make_team("vision")
    make_dataset(team, "images")
    client = page_client(make_member(team))
    page = client.get(f"{URL}?search=cat&status=available").content.decode()
    assert "No dataset matches" in page
    assert f'<a class="button" href="{URL}">Clear filters</a>' in page
    assert "Clear filters" not in client.get(URL).content.decode()
