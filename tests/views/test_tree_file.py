"""A file's page: facts and plain previews."""

from __future__ import annotations

import hashlib

import pytest
from django.test import Client

from datasets_app.models import Role, Version
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_user, page_client

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/versions/1/files/"
FILES = {
    "notes.txt": b"line one\n<script>alert(1)</script>\n",
    "long.csv": b"a,b\n" * 50_000,
    "umlaut.txt": "Die Größe der Straße".encode("cp1252"),
    "empty": b"",
    "model.bin": bytes(range(256)),
    "pictures/cat.png": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "evil.svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
}


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team("vision"), "images"), FILES)


@pytest.fixture
def client(version: Version) -> Client:
    return page_client(make_member(version.dataset.team, Role.READER))


def test_it_works(client: Client) -> None:
    page = client.get(f"{URL}notes.txt").content.decode()
    assert "line one\n&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert f"sha256:{hashlib.sha256(FILES['notes.txt']).hexdigest()}" in page
    assert "/api/v1/teams/vision/datasets/images/versions/1/files/notes.txt" in page
    assert 'data-copy="/input/images/notes.txt"' in page
    assert "truncated" not in page


def test_stranger(version: Version) -> None:
    assert page_client(make_user()).get(f"{URL}notes.txt").status_code == 404


def test_long_text_is_cut_and_says_so(client: Client) -> None:
    response = client.get(f"{URL}long.csv")
    assert "truncated: the first 65.5 kB of 200 kB" in response.content.decode()
    assert len(response.content) < 100_000


def test_old_western_text_is_read(client: Client) -> None:
    page = client.get(f"{URL}umlaut.txt").content.decode()
    assert "Die Größe der Straße" in page
    assert "Windows-1252" in page


def test_empty(client: Client) -> None:
    assert "This file is empty" in client.get(f"{URL}empty").content.decode()


def test_binary_falls_back_to_hex(client: Client) -> None:
    assert "00 01 02 03 04 05 06 07  08" in client.get(f"{URL}model.bin").content.decode()


def test_pictures_come_from_the_api(client: Client) -> None:
    page = client.get(f"{URL}pictures/cat.png").content.decode()
    assert '<img src="/api/v1/teams/vision/datasets/images/versions/1/files/pictures/cat.png"' in page


def test_svg_is_shown_as_text_only(client: Client) -> None:
    page = client.get(f"{URL}evil.svg").content.decode()
    assert "&lt;svg xmlns=" in page
    assert "<img" not in page


def test_a_directory_leads_to_its_page(client: Client) -> None:
    response = client.get(f"{URL}pictures")
    assert response.headers["Location"] == "/teams/vision/datasets/images/versions/1/tree/pictures"


@pytest.mark.parametrize("path", ["nope", "notes.txt/more", "%00"])
def test_bad_input(client: Client, path: str) -> None:
    assert client.get(URL + path).status_code in {400, 404}
