"""Users' bytes from an origin of their own: signed addresses, and nothing else there."""

from __future__ import annotations

import random
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from datasets_app.models import Membership, Role, User, Version
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team, page_client
from tests.previews.test_more_kinds import packed

pytestmark = pytest.mark.django_db
BODY = random.Random(5).randbytes(1000)
FILES = {"a/data.bin": BODY, "page.html": b"<script>alert(1)</script>", "a.svg": b"<svg/>", "grüße.txt": b"hello"}
ORIGIN = "http://bytes.test:8080"


@pytest.fixture(autouse=True)
def _origin(settings: Settings) -> None:
    settings.RAW_ORIGIN = ORIGIN
    settings.ALLOWED_HOSTS = ["testserver", "bytes.test"]


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team(), "images"), FILES)


@pytest.fixture
def reader(version: Version) -> User:
    return make_member(version.dataset.team, Role.READER)


def address(version: Version, reader: User, path: str = "a/data.bin", **query: str) -> str:
    team = version.dataset.team.name
    answer = page_client(reader).get(f"/api/v1/teams/{team}/datasets/images/versions/1/files/{path}", query)
    assert answer.status_code == 302
    assert answer["Cache-Control"] == "no-store"
    assert answer["Location"].startswith(f"{ORIGIN}/raw/")
    return urlsplit(answer["Location"]).path


def fetch(path: str, client: Client | None = None, method: str = "get", **headers: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return getattr(client or Client(), method)(path, headers={"Host": "bytes.test:8080", **headers})


def body(answer) -> bytes:  # type: ignore[no-untyped-def]  # noqa: ANN001
    return b"".join(answer) if answer.streaming else answer.content


def test_it_works(version: Version, reader: User) -> None:
    answer = fetch(address(version, reader))
    assert (answer.status_code, body(answer)) == (200, BODY)
    assert not answer.cookies
    part = fetch(address(version, reader), Range="bytes=100-199")
    assert (part.status_code, body(part), part["Content-Range"]) == (206, BODY[100:200], "bytes 100-199/1000")
    head = fetch(address(version, reader), method="head")
    assert (head.status_code, head["Content-Length"]) == (200, "1000")
    again = fetch(address(version, reader), **{"If-None-Match": answer["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["page.html", "a.svg"])
def test_what_could_run_is_a_download(version: Version, reader: User, path: str) -> None:
    answer = fetch(address(version, reader, path, inline="true"))
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer["Referrer-Policy"] == "no-referrer"


def test_programs_read_from_the_main_origin(version: Version, reader: User) -> None:
    url = f"/api/v1/teams/{version.dataset.team.name}/datasets/images/versions/1/files/a/data.bin"
    assert body(api_client(reader).get(url)) == BODY


def test_an_address_expires(version: Version, reader: User, settings: Settings) -> None:
    path = address(version, reader)
    settings.RAW_SECONDS = -1
    answer = fetch(path)
    assert answer.status_code == 403
    assert "expired" in answer.content.decode()


def test_an_address_is_of_one_file_and_can_not_be_made_up(version: Version, reader: User) -> None:
    first, second = address(version, reader), address(version, reader, "page.html")
    token, other = first.split("/")[2], second.split("/")[2]
    payload = other.rpartition(":")[0].rpartition(":")[0]
    mixed = f"/raw/{payload}:{':'.join(token.rsplit(':', 2)[1:])}/data.bin"
    for path in (mixed, f"/raw/{token[:-2]}xx/data.bin", "/raw/nonsense/x"):
        assert fetch(path).status_code == 403, path
    # The name at its end is for people alone.
    assert body(fetch(f"/raw/{token}/page.html")) == BODY


def test_it_ends_with_the_access_of_its_user(version: Version, reader: User) -> None:
    path = address(version, reader)
    # Whoever else is signed in changes nothing: no cookie is looked at.
    assert fetch(path, page_client(make_member(make_team()))).status_code == 200
    Membership.objects.filter(user=reader).delete()
    assert fetch(path).status_code == 404
    Membership.objects.create(user=reader, team=version.dataset.team, role=Role.READER)
    assert fetch(path).status_code == 200
    reader.set_password("another long password")
    reader.save()
    assert fetch(path).status_code == 403


def test_another_user_gets_no_address(version: Version) -> None:
    team = version.dataset.team.name
    stranger = page_client(make_member(make_team()))
    url = f"/api/v1/teams/{team}/datasets/images/versions/1/files/a/data.bin"
    assert stranger.get(url).status_code == 404


@pytest.mark.parametrize("path", ["/", "/sign-in/", "/api/v1/teams", "/static/css/app.css", "/healthz", "/admin/"])
def test_nothing_else_is_there(version: Version, reader: User, path: str) -> None:
    answer = fetch(path, page_client(reader))
    assert answer.status_code == 404
    assert not answer.cookies
    assert fetch(path, method="post").status_code == 405


def test_signed_addresses_are_nothing_on_the_main_origin(version: Version, reader: User) -> None:
    assert page_client(reader).get(address(version, reader)).status_code == 404


def test_pages_lead_there(version: Version, reader: User) -> None:
    page = page_client(reader).get(reverse("file_detail", args=(version.dataset.team.name, "images", 1, "page.html")))
    assert page.status_code == 200


def test_members_of_archives_come_from_there(version: Version, reader: User) -> None:
    inside = make_available_version(version.dataset, {"a.zip": packed({"in/side.html": b"<script>"})})
    start = f"/api/v1/teams/{version.dataset.team.name}/datasets/images/versions/{inside.number}/members/a.zip"
    led = page_client(reader).get(start, {"member": "in/side.html"})
    assert led.status_code == 302
    for answer in (
        fetch(urlsplit(led["Location"]).path),
        api_client(reader).get(start, {"member": "in/side.html"}),
    ):
        assert (answer.status_code, body(answer)) == (200, b"<script>")
        assert answer["Content-Disposition"] == 'attachment; filename="side.html"'
        assert answer["Content-Length"] == "8"
        assert answer["Content-Security-Policy"].startswith("sandbox")
    missing = api_client(reader).get(start, {"member": "nothing"})
    assert missing.status_code == 503
    assert "no nothing in this archive" in missing.json()["detail"]
