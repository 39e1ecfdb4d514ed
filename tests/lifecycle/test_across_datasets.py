"""Versions and files of two datasets, also of two teams, side by side."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from datasets_app.models import Membership, Role, Team, User
from datasets_app.services import overlaps
from datasets_app.services.overlaps import compare_blobs
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_version,
    page_client,
)

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/train/versions/1/"
API = f"/api/v1{URL}"


@pytest.fixture
def teams() -> tuple[Team, Team]:
    vision, audio = make_team("vision"), make_team("audio")
    make_available_version(make_dataset(vision, "train"), {"a/1.txt": b"one\n", "a/2.txt": b"two\n"})
    make_available_version(make_dataset(vision, "eval"), {"a/1.txt": b"one\n", "b/3.txt": b"three\n"})
    make_available_version(make_dataset(audio, "eval"), {"a/1.txt": b"other\n", "x/two.txt": b"two\n"})
    return vision, audio


@pytest.fixture
def reader(teams: tuple[Team, Team]) -> User:
    """Make a member of both teams."""
    user = make_member(teams[0], Role.READER)
    Membership.objects.create(team=teams[1], user=user, role=Role.READER)
    return user


def changes(client: Client, address: str) -> dict[str, str]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.content
    return {item["path"]: item["change"] for item in answer.json()["items"]}


def test_versions_by_the_api(reader: User) -> None:
    client = api_client(reader)
    assert changes(client, f"{API}diff/eval@1") == {"a/2.txt": "removed", "b/3.txt": "added"}
    assert changes(client, f"{API}diff/eval@latest") == {"a/2.txt": "removed", "b/3.txt": "added"}
    assert changes(client, f"{API}diff/eval@1?other_team=audio") == {
        "a/1.txt": "changed",
        "x/two.txt": "renamed",
    }
    assert changes(client, f"{API}diff/1") == {}


def test_versions_by_the_page(reader: User) -> None:
    client = page_client(reader)
    page = client.get(f"{URL}diff/1/?of=audio/eval@1").content.decode()
    assert "audio/eval@1" in page
    assert 'href="/teams/audio/datasets/eval/versions/1/files/x/two.txt"' in page
    assert f'href="{URL}compare/a/1.txt?with=audio/eval%401"' in page
    swap = re.search(r'href="([^"]+)"><svg[^>]*><use[^>]*>(?:</use>)?</svg>Swap', page)
    assert swap is not None
    assert swap[1] == "/teams/audio/datasets/eval/versions/1/diff/1/?of=vision%2Ftrain%401"
    assert client.get(swap[1]).status_code == 200
    led = client.get("/teams/vision/datasets/train/compare/?old=1&new=1&of=eval")
    assert led["Location"] == f"{URL}diff/1/?of=eval%401"


def test_files(reader: User) -> None:
    client = page_client(reader)
    for wanted in ("with=audio/eval@1", "with=1&of=audio/eval"):
        page = client.get(f"{URL}compare/a/1.txt?{wanted}").content.decode()
        assert "audio/eval@1: a/1.txt" in page
        assert 'href="/teams/audio/datasets/eval/versions/1/files/a/1.txt"' in page
        assert 'value="audio/eval@1"' in page
        assert "/teams/audio/datasets/eval/versions/1/compare/a/1.txt?with=vision%2Ftrain%401" in page
    assert "There is no a/2.txt" in client.get(f"{URL}compare/a/2.txt?with=eval@1").content.decode()
    answer = api_client(reader).get(f"{API}compare/a/1.txt?to=audio/eval@1").json()
    assert (answer["form"], answer["data"]["added"], answer["data"]["removed"]) == ("text", 1, 1)


def test_shared_files(reader: User) -> None:
    client = api_client(reader)
    answer = client.get(f"{API}overlap?other=audio/eval").json()
    assert answer == {
        "state": "compared",
        "files": 1,
        "size": 4,
        "examples": [{"path": "a/2.txt", "other_path": "x/two.txt", "size": 4}],
    }
    assert client.get(f"{API}overlap?other=eval@1").json()["examples"][0]["path"] == "a/1.txt"
    page = page_client(reader).get(f"{URL}overlap/?with=audio/eval").content.decode()
    assert f'href="{URL}diff/1/?of=audio/eval%401">Compare path by path' in page


def test_large_versions_are_compared_by_a_worker(
    reader: User, teams: tuple[Team, Team], monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.PREVIEWS_DIR = tmp_path
    monkeypatch.setattr(overlaps, "COMPARED_AT_ONCE", 0)
    client = api_client(reader)
    answer = client.get(f"{API}overlap?other=eval@1").json()
    assert (answer["state"], answer["files"]) == ("comparing", None)
    first, second = (teams[0].datasets.get(name=name).versions.get().root for name in ("train", "eval"))
    assert first is not None
    assert second is not None
    compare_blobs(first.pk, second.pk)
    assert client.get(f"{API}overlap?other=eval@1").json()["files"] == 1


def test_an_open_version_is_not_compared(reader: User, teams: tuple[Team, Team]) -> None:
    make_version(teams[0].datasets.get(name="eval"))
    assert api_client(reader).get(f"{API}overlap?other=eval@2").status_code == 409
    page = page_client(reader).get(f"{URL}overlap/?with=eval@2").content.decode()
    assert "can be compared once it is sealed" in page
    assert "every 2s" not in page


def test_another_team_s_stays_hidden(teams: tuple[Team, Team]) -> None:
    reader = make_member(teams[0], Role.READER)
    client = api_client(reader)
    for address in ("diff/eval@1?other_team=audio", "compare/a/1.txt?to=audio/eval@1", "overlap?other=audio/eval"):
        assert client.get(f"{API}{address}").status_code == 404, address
    pages = page_client(reader)
    assert pages.get(f"{URL}diff/1/?of=audio/eval@1").status_code == 404
    assert "There is no" in pages.get(f"{URL}compare/a/1.txt?with=audio/eval@1").content.decode()


@pytest.mark.parametrize("wanted", ["", "@", "/", "eval@", "nothing", "eval@9", "a/b/c@1", "eval@" + "9" * 40])
def test_bad_input(reader: User, wanted: str) -> None:
    client = api_client(reader)
    assert client.get(f"{API}overlap", {"other": wanted}).status_code in {200, 404, 422}
    assert client.get(f"{API}compare/a/1.txt", {"to": wanted}).status_code in {200, 404, 422}
    assert page_client(reader).get(f"{URL}diff/1/", {"of": wanted}).status_code in {200, 404}
