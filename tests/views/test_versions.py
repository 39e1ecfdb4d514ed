"""A version's page, and sealing and abandoning from it."""

from __future__ import annotations

import pytest

from datasets_app.models import Role, StagedFile, Version
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
    page_client,
    stage_files,
)

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/versions/1/"


@pytest.fixture
def opened() -> Version:
    return make_version(make_dataset(make_team("vision"), "images"))


def test_it_works() -> None:
    team = make_team("vision")
    version = make_available_version(make_dataset(team, "images"), {"a/b.txt": b"12345", "Readme": b"", "README": b""})
    page = page_client(make_member(team)).get(URL).content.decode()
    assert version.digest in page
    assert "/teams/vision/datasets/images/versions/1/tree/a" in page
    assert 'data-copy="/input/images/a/"' in page
    assert "1 warning" in page
    assert 'id="progress"' not in page
    assert "/teams/vision/jobs/new/?dataset=images%401" in page


@pytest.mark.parametrize("path", ["", "status/"])
def test_stranger(opened: Version, path: str) -> None:
    assert page_client(make_user()).get(URL + path).status_code == 404


def test_unknown_version(opened: Version) -> None:
    assert page_client(make_member(opened.dataset.team)).get(URL.replace("1", "7")).status_code == 404


def test_an_open_version_shows_progress_and_polls(opened: Version) -> None:
    stage_files(opened, {"a": b"1"})
    StagedFile.objects.create(version=opened, path="b", size=9)
    page = page_client(make_member(opened.dataset.team)).get(URL).content.decode()
    assert "1 of 2 files stored" in page
    assert 'hx-trigger="every 2s"' in page
    assert "Continue this upload" in page
    assert "/versions/1/upload/" in page


def test_polling_stops_at_a_final_status(opened: Version) -> None:
    client = page_client(make_member(opened.dataset.team))
    part = client.get(f"{URL}status/", headers={"HX-Request": "true"})
    assert "<html" not in part.content.decode()
    assert "every 2s" in part.content.decode()
    Version.objects.filter(pk=opened.pk).update(status=Version.Status.ERROR, error="Lost a disk")
    final = client.get(f"{URL}status/", headers={"HX-Request": "true"})
    assert final.headers["HX-Refresh"] == "true"
    page = client.get(URL).content.decode()
    assert "Lost a disk" in page
    assert "every 2s" not in page


def test_failed_files_are_named_with_their_cause(opened: Version) -> None:
    StagedFile.objects.create(version=opened, path="bad/file.bin", size=9, error="Wrong digest")
    page = page_client(make_member(opened.dataset.team)).get(URL).content.decode()
    assert "1 file failed" in page
    assert "bad/file.bin" in page
    assert "Wrong digest" in page


def test_reader_is_not_offered_what_is_refused(opened: Version) -> None:
    stage_files(opened, {"a": b"1"})
    page = page_client(make_member(opened.dataset.team, Role.READER)).get(URL).content.decode()
    assert "Abandon" not in page
    assert "/upload/" not in page
    assert "/seal/" not in page
    assert "Seal it" not in page
    StagedFile.objects.create(version=opened, path="b", size=9)
    page = page_client(make_member(opened.dataset.team, Role.READER)).get(URL).content.decode()
    assert "1 of 2 files stored" in page
    assert "Continue this upload" not in page


def test_seal(opened: Version) -> None:
    stage_files(opened, {"a": b"1"})
    client = page_client(make_member(opened.dataset.team))
    assert "/seal/" in client.get(URL).content.decode()
    response = client.post(f"{URL}seal/")
    assert (response.status_code, response.headers["Location"]) == (302, URL)
    opened.refresh_from_db()
    assert opened.status == Version.Status.PENDING
    assert "Sealing" in client.get(URL).content.decode()


def test_seal_twice_shows_why_not(opened: Version) -> None:
    stage_files(opened, {"a": b"1"})
    client = page_client(make_member(opened.dataset.team))
    client.post(f"{URL}seal/")
    response = client.post(f"{URL}seal/")
    assert response.status_code == 409
    assert 'role="alert"' in response.content.decode()


def test_seal_names_what_is_missing(opened: Version) -> None:
    StagedFile.objects.create(version=opened, path="missing.bin", size=9)
    response = page_client(make_member(opened.dataset.team)).post(f"{URL}seal/")
    assert response.status_code == 409
    assert "missing.bin" in response.content.decode()


def test_abandon(opened: Version) -> None:
    client = page_client(make_member(opened.dataset.team))
    page = client.get(URL).content.decode()
    assert "data-confirm=" in page
    response = client.post(f"{URL}abandon/", follow=True)
    assert response.redirect_chain == [("/teams/vision/datasets/images/", 302)]
    assert "images@1 was abandoned" in response.content.decode()
    assert not Version.objects.exists()
    assert client.post(f"{URL}abandon/").status_code == 404


def test_a_sealed_version_cannot_be_abandoned() -> None:
    team = make_team("vision")
    make_available_version(make_dataset(team, "images"))
    assert page_client(make_member(team)).post(f"{URL}abandon/").status_code == 409
    assert Version.objects.exists()


@pytest.mark.parametrize("action", ["seal/", "abandon/"])
def test_reader_and_stranger_change_nothing(opened: Version, action: str) -> None:
    stage_files(opened, {"a": b"1"})
    assert page_client(make_member(opened.dataset.team, Role.READER)).post(URL + action).status_code == 403
    assert page_client(make_user()).post(URL + action).status_code == 404
    assert page_client(make_member(opened.dataset.team)).get(URL + action).status_code == 405
    opened.refresh_from_db()
    assert opened.status == Version.Status.UPLOADING
