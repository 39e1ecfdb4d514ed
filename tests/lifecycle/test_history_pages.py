"""The history of a dataset and the page that compares two versions."""

from __future__ import annotations

import pytest

from datasets_app.models import Dataset, Role, Team, User
from datasets_app.services import comparing
from datasets_app.services.labels import set_label
from datasets_app.services.space import measure_versions
from tests.factories import make_available_version, make_dataset, make_member, make_user, make_version, page_client

pytestmark = pytest.mark.django_db
URL = "/teams/vision/datasets/images/"


@pytest.fixture
def dataset(team: Team) -> Dataset:
    """Make a dataset with two versions."""
    dataset = make_dataset(team, "images")
    make_available_version(dataset, {"a/x": b"1", "a/y": b"2", "gone": b"3", "folder/f": b"4"})
    make_available_version(dataset, {"a/x": b"1", "a/y": b"changed", "moved/f": b"4"})
    return dataset


def test_history(dataset: Dataset, writer: User) -> None:
    set_label(writer, dataset=dataset, name="prod", version=dataset.versions.get(number=1))
    make_version(dataset, base=2)
    client = page_client(writer)
    page = client.get(f"{URL}history/").content.decode()
    assert "It is being counted" in page
    assert measure_versions() == 2
    page = client.get(f"{URL}history/").content.decode()
    assert "It is being counted" not in page
    assert '<span class="tag">prod</span>' in page
    assert '<span class="tag">latest</span>' in page
    assert "on @2" in page
    assert dataset.versions.get(number=1).digest in page
    assert page.count('name="old"') == 2
    assert f"{URL}versions/1/delete/" in page


def test_history_of_nothing(team: Team, writer: User) -> None:
    make_dataset(team, "images")
    assert "No version yet" in page_client(writer).get(f"{URL}history/").content.decode()


def test_a_reader_may_look_and_compare(dataset: Dataset, team: Team) -> None:
    client = page_client(make_member(team, Role.READER))
    page = client.get(f"{URL}history/").content.decode()
    assert "/delete/" not in page
    assert client.get(f"{URL}versions/1/diff/2/").status_code == 200


def test_strangers(dataset: Dataset) -> None:
    client = page_client(make_user())
    for path in ("history/", "compare/?old=1&new=2", "versions/1/diff/2/"):
        assert client.get(URL + path).status_code == 404


def test_compare(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    response = client.get(f"{URL}compare/", {"old": "1", "new": "latest"}, follow=True)
    assert response.redirect_chain[-1][0] == f"{URL}versions/1/diff/2/"
    page = response.content.decode()
    for text in ("changed", "removed", "renamed", "from", "Changed", "1 file"):
        assert text in page
    assert f"{URL}versions/1/files/gone" in page
    assert f"{URL}versions/2/files/a/y" in page
    only = client.get(f"{URL}versions/1/diff/2/", {"kind": "removed"}).content.decode()
    assert f"{URL}versions/2/files/a/y" not in only
    assert client.get(f"{URL}compare/").status_code == 302
    assert client.get(f"{URL}compare/", {"old": "1", "new": "9"}).status_code == 404
    assert client.get(f"{URL}versions/1/diff/2/", {"kind": "x"}).status_code == 422


def test_equal_versions_are_said_to_be_equal(dataset: Dataset, writer: User) -> None:
    page = page_client(writer).get(f"{URL}versions/2/diff/2/").content.decode()
    assert "Nothing differs" in page


def test_long_lists_come_in_pages(dataset: Dataset, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets_app.views.compare.PAGE_ROWS", 2)
    client = page_client(writer)
    page = client.get(f"{URL}versions/1/diff/2/").content.decode()
    assert "Show more" in page
    cursor = page.partition("cursor=")[2].partition('"')[0]
    part = client.get(f"{URL}versions/1/diff/2/?cursor={cursor}", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "moved" in part


def test_too_many_to_count(dataset: Dataset, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_COUNTED", 1)
    page = page_client(writer).get(f"{URL}versions/1/diff/2/").content.decode()
    assert "More than" in page
    assert f"{URL}versions/2/files/a/y" in page
