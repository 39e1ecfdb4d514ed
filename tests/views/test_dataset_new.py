"""The page that makes a dataset."""

from __future__ import annotations

import pytest

from datasets_app.models import Dataset, Role
from tests.factories import make_dataset, make_member, make_team, make_user, page_client

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/new/"
BODY = {"name": "images", "description": "Cats", "tags": "Raw, 2026 , raw"}


def test_it_works() -> None:
    user = make_member(make_team("vision"))
    client = page_client(user)
    assert client.get(URL).status_code == 200
    response = client.post(URL, BODY)
    assert response.status_code == 302
    # Straight on to the files.
    assert response.headers["Location"] == "/teams/vision/datasets/images/upload/"
    dataset = Dataset.objects.get(name="images")
    assert (dataset.description, dataset.created_by) == ("Cats", user)
    assert list(dataset.tags.values_list("name", flat=True)) == ["2026", "raw"]


def test_stranger() -> None:
    make_team("vision")
    client = page_client(make_user())
    assert client.get(URL).status_code == 404
    assert client.post(URL, BODY).status_code == 404
    assert not Dataset.objects.exists()


def test_reader() -> None:
    client = page_client(make_member(make_team("vision"), Role.READER))
    assert client.get(URL).status_code == 403
    assert client.post(URL, BODY).status_code == 403
    assert not Dataset.objects.exists()


@pytest.mark.parametrize("name", ["", "ab", "-abc", "a b c", "größe", "a" * 64])
def test_bad_name_is_explained_and_nothing_typed_is_lost(name: str) -> None:
    client = page_client(make_member(make_team("vision")))
    response = client.post(URL, BODY | {"name": name})
    page = response.content.decode()
    assert response.status_code == 422
    assert 'id="id_name_error"' in page
    assert "Cats" in page
    assert not Dataset.objects.exists()


def test_run_twice() -> None:
    team = make_team("vision")
    make_dataset(team, "images")
    response = page_client(make_member(team)).post(URL, BODY)
    assert response.status_code == 422
    assert "already has a dataset called images" in response.content.decode()
