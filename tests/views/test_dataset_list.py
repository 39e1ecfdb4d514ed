"""The list of a team's datasets."""

from __future__ import annotations

import pytest
from django.test import Client

from datasets_app.models import Dataset, Role
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
        ("show=archived", ["old"]),
        ("sort=name", ["cats", "dogs"]),
        ("sort=-name", ["dogs", "cats"]),
    ],
)
def test_filters_and_sorts(query: str, names: list[str]) -> None:
    team = make_team("vision")
    make_dataset(team, "cats", description="They purr")
    make_dataset(team, "dogs", tags=["raw"])
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


@pytest.mark.parametrize("query", ["sort=colour", "status=odd", "cursor=forged"])
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
