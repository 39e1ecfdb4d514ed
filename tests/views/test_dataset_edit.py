"""Changing what describes a dataset."""

from __future__ import annotations

import pytest

from datasets_app.models import Role
from tests.factories import make_dataset, make_member, make_team, make_user, page_client

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/edit/"
BODY = {"description": "New words", "tags": "one, two"}


def test_it_works() -> None:
    team = make_team("vision")
    dataset = make_dataset(team, "images", description="Old words", tags=["old"])
    client = page_client(make_member(team))
    assert "Old words" in client.get(URL).content.decode()
    response = client.post(URL, BODY, follow=True)
    assert response.redirect_chain == [("/teams/vision/datasets/images/", 302)]
    assert "images was saved." in response.content.decode()
    dataset.refresh_from_db()
    assert dataset.description == "New words"
    assert list(dataset.tags.values_list("name", flat=True)) == ["one", "two"]


def test_stranger() -> None:
    make_dataset(make_team("vision"), "images")
    assert page_client(make_user()).post(URL, BODY).status_code == 404


def test_reader() -> None:
    team = make_team("vision")
    make_dataset(team, "images", description="Old words")
    client = page_client(make_member(team, Role.READER))
    assert client.get(URL).status_code == 403
    assert client.post(URL, BODY).status_code == 403


def test_bad_tags_are_explained() -> None:
    team = make_team("vision")
    make_dataset(team, "images")
    response = page_client(make_member(team)).post(URL, {"description": "Kept", "tags": "x" * 51})
    assert response.status_code == 422
    assert "id_tags_error" in response.content.decode()
    assert "Kept" in response.content.decode()


def test_run_twice() -> None:
    team = make_team("vision")
    dataset = make_dataset(team, "images")
    client = page_client(make_member(team))
    for _ in range(2):
        assert client.post(URL, BODY).status_code == 302
    assert dataset.tags.count() == 2
