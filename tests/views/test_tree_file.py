"""A file's page: facts and plain previews."""

from __future__ import annotations

import hashlib
import io
import re

import pytest
from django.test import Client
from PIL import Image

from datasets_app.models import Role, Version
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_user, page_client

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/versions/1/files/"


def _png() -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (600, 300), "teal").save(sink, "PNG")
    return sink.getvalue()


FILES = {
    "notes.txt": b"line one\n<script>alert(1)</script>\n",
    "long.csv": b"a,b\n" * 50_000,
    "long.txt": b"some words\n" * 50_000,
    "damaged.parquet": b"PAR1" + b"words " * 20_000,
    "broken.json": b'{"a": [\n' + b"1,\n" * 60_000,
    "umlaut.txt": "Die Größe der Straße".encode("cp1252"),
    "empty": b"",
    "model.bin": bytes(range(256)),
    "pictures/cat.png": _png(),
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
    assert ">line one\n" in page.replace("</a>", ">")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page
    assert f"sha256:{hashlib.sha256(FILES['notes.txt']).hexdigest()}" in page
    assert "/api/v1/teams/vision/datasets/images/versions/1/files/notes.txt" in page
    assert 'data-copy="/input/images/notes.txt"' in page
    assert "truncated" not in page


def test_stranger(version: Version) -> None:
    assert page_client(make_user()).get(f"{URL}notes.txt").status_code == 404


def test_long_text_comes_in_parts(client: Client) -> None:
    response = client.get(f"{URL}long.txt")
    assert "?at=11000&amp;line=1001" in response.content.decode()
    assert len(response.content) < 200_000
    part = client.get(
        f"{URL}long.txt?go=40000", headers={"HX-Request": "true", "HX-Target": "preview"}
    ).content.decode()
    assert 'id="L40000"' in part
    assert "<html" not in part


def test_a_table_has_pages_sorting_and_sql(client: Client) -> None:
    page = client.get(f"{URL}long.csv").content.decode()
    assert "page=2" in page
    assert "sort=a" in page
    asked = client.get(f"{URL}long.csv?view=sql&sql=SELECT+count(*)+AS+n+FROM+data").content.decode()
    assert ">49999<" in asked


def test_what_is_damaged_falls_back_to_its_first_bytes(client: Client) -> None:
    page = client.get(f"{URL}damaged.parquet").content.decode()
    assert "Below is what it begins with." in page
    assert "truncated: the first 65.5 kB of 120 kB" in page


def test_text_that_is_not_what_it_is_named_comes_in_parts(client: Client) -> None:
    page = client.get(f"{URL}broken.json").content.decode()
    assert "This is no valid JSON" in page
    assert "It is shown as text." in page
    assert "line=1001" in page
    part = client.get(f"{URL}broken.json?go=50000").content.decode()
    assert 'id="L50000"' in part


def test_old_western_text_is_read(client: Client) -> None:
    page = client.get(f"{URL}umlaut.txt").content.decode()
    assert "Die Größe der Straße" in page
    assert "Windows-1252" in page


def test_empty(client: Client) -> None:
    assert "This file is empty" in client.get(f"{URL}empty").content.decode()


def test_binary_falls_back_to_hex(client: Client) -> None:
    assert "00 01 02 03 04 05 06 07  08" in client.get(f"{URL}model.bin").content.decode()


def test_pictures_are_drawn_by_the_server(client: Client) -> None:
    page = client.get(f"{URL}pictures/cat.png").content.decode()
    address = "/teams/vision/datasets/images/versions/1/products/pictures/cat.png"
    assert f'<img src="{address}?part=picture"' in page
    thumbnail = client.get(f"{address}?part=thumbnail")
    assert Image.open(io.BytesIO(thumbnail.content)).size == (256, 128)
    assert thumbnail.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert client.get(f"{address}?part=nothing").status_code == 404


def test_a_stranger_gets_no_thumbnail(version: Version) -> None:
    address = "/teams/vision/datasets/images/versions/1/products/pictures/cat.png?part=thumbnail"
    assert page_client(make_user()).get(address).status_code == 404


def test_svg_is_shown_as_text_only(client: Client) -> None:
    page = client.get(f"{URL}evil.svg").content.decode()
    assert ">&lt;svg<" in page
    assert "<img" not in page


def test_a_directory_leads_to_its_page(client: Client) -> None:
    response = client.get(f"{URL}pictures")
    assert response.headers["Location"] == "/teams/vision/datasets/images/versions/1/tree/pictures"


@pytest.mark.parametrize("path", ["nope", "notes.txt/more", "%00"])
def test_bad_input(client: Client, path: str) -> None:
    assert client.get(URL + path).status_code in {400, 404}


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.gif", "cut.webp"])
def test_a_picture_that_ends_early_says_why_and_how_it_begins(version: Version, client: Client, name: str) -> None:
    magic = {
        "cut.png": b"\x89PNG\r\n\x1a\n",
        "cut.jpg": b"\xff\xd8\xff\xe0",
        "cut.gif": b"GIF89a",
        "cut.webp": b"RIFF\x10\0\0\0WEBP",
    }[name]
    make_available_version(version.dataset, {name: magic})
    page = client.get(f"/teams/vision/datasets/images/versions/2/files/{name}").content.decode()
    assert "This is no picture that can be decoded, or it is damaged." in page
    assert f"<b>00000000</b>  {magic[:8].hex(' ')}" in page


def test_a_picture_that_is_too_large_to_be_drawn_says_so(version: Version, client: Client) -> None:
    sink = io.BytesIO()
    Image.new("1", (12_000, 12_000)).save(sink, "PNG")
    make_available_version(version.dataset, {"large.png": sink.getvalue()})
    answer = client.get("/teams/vision/datasets/images/versions/2/products/large.png?part=picture")
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "144,000,000 pixels: too large" in answer.content.decode()


def test_the_pictures_beside_one_lead_on(version: Version, client: Client) -> None:
    files = {f"d/{number:02}.png": _png() + bytes([number]) for number in range(20)} | {"d/05.txt": b"x"}
    make_available_version(version.dataset, files)
    page = client.get("/teams/vision/datasets/images/versions/2/files/d/05.png").content.decode()
    found = re.findall(r'title="(\d\d\.png)" data-lightbox="([^"]+)"( aria-current="page")?', page)
    assert [name for name, _, _ in found] == [f"{number:02}.png" for number in range(14)]
    assert [name for name, _, current in found if current] == ["05.png"]
    assert found[0][1] == "/teams/vision/datasets/images/versions/2/products/d/00.png?part=picture"
