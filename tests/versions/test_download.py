"""A file's bytes over HTTP: whole, in ranges, and never as a page of ours."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

import pytest
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from datasets_app.models import Role, Version
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

pytestmark = pytest.mark.django_db
BODY = random.Random(3).randbytes(1000)
UNICODE = 'grüße "2"; é/😀 ,\'.txt'
FILES = {"before": b"b" * 77, "folder/data.bin": BODY, UNICODE: b"unicode", "empty": b"", "page.html": b"<script>"}
ETAG = f'"{hashlib.sha256(BODY).hexdigest()}"'


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team(), "images"), FILES)


@pytest.fixture
def client(version: Version) -> Client:
    return api_client(make_member(version.dataset.team, Role.READER))


def url(version: Version, path: str = "folder/data.bin") -> str:
    return f"/api/v1/teams/{version.dataset.team.name}/datasets/images/versions/1/files/{quote(path)}"


def body(answer: Answer) -> bytes:
    """Read a streamed answer, and see that its length was told right."""
    if not answer.streaming:
        return answer.content
    data = b"".join(cast("StreamingHttpResponse", answer))
    assert answer["Content-Length"] == str(len(data))
    return data


def test_it_works(version: Version, client: Client) -> None:
    for path, data in FILES.items():
        answer = client.get(url(version, path))
        assert (answer.status_code, body(answer)) == (200, data), path
        assert answer["ETag"] == f'"{hashlib.sha256(data).hexdigest()}"'
        assert answer["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-", 10, 1000),
        ("bytes=-10", 990, 1000),
        ("bytes=-5000", 0, 1000),
        ("bytes=990-99999", 990, 1000),
        ("bytes=999-999", 999, 1000),
        ("bytes=0-9999999999999999999", 0, 1000),
    ],
)
def test_ranges(version: Version, client: Client, asked: str, start: int, end: int) -> None:
    answer = client.get(url(version), headers={"Range": asked})
    assert (answer.status_code, answer["Content-Range"]) == (206, f"bytes {start}-{end - 1}/1000")
    assert body(answer) == BODY[start:end]


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=99999999999999999-"])
def test_ranges_beyond_the_end(version: Version, client: Client, asked: str) -> None:
    answer = client.get(url(version), headers={"Range": asked})
    assert (answer.status_code, answer["Content-Range"], body(answer)) == (416, "bytes */1000", b"")


def test_no_range_of_an_empty_file_can_be_had(version: Version, client: Client) -> None:
    assert client.get(url(version, "empty"), headers={"Range": "bytes=0-"}).status_code == 416


@pytest.mark.parametrize("asked", ["bytes=-", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "", f"bytes={'9' * 5000}-"])
def test_what_is_no_range_that_we_know_is_the_whole_file(version: Version, client: Client, asked: str) -> None:
    answer = client.get(url(version), headers={"Range": asked})
    assert (answer.status_code, body(answer)) == (200, BODY)


def test_if_range(version: Version, client: Client) -> None:
    same = client.get(url(version), headers={"Range": "bytes=0-9", "If-Range": ETAG})
    assert (same.status_code, body(same)) == (206, BODY[:10])
    other = client.get(url(version), headers={"Range": "bytes=0-9", "If-Range": '"other"'})
    assert (other.status_code, body(other)) == (200, BODY)


@pytest.mark.parametrize("known", [ETAG, f"W/{ETAG}", f'"other", {ETAG}', "*"])
def test_if_none_match(version: Version, client: Client, known: str) -> None:
    answer = client.get(url(version), headers={"If-None-Match": known})
    assert (answer.status_code, answer["ETag"], body(answer)) == (304, ETAG, b"")
    assert client.get(url(version), headers={"If-None-Match": '"other"'}).status_code == 200


def test_head(version: Version, client: Client) -> None:
    answer = client.head(url(version), headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer["Content-Length"], answer["ETag"]) == (200, "1000", ETAG)
    assert answer.content == b""


def test_the_name_is_told_in_full(version: Version, client: Client) -> None:
    answer = client.get(url(version, UNICODE))
    name = UNICODE.rpartition("/")[2]
    assert answer["Content-Disposition"] == f"attachment; filename*=utf-8''{quote(name, safe='')}"
    body(answer)
    plain = client.get(url(version))
    assert plain["Content-Disposition"] == 'attachment; filename="data.bin"'
    body(plain)


def test_nothing_is_a_page_of_ours(version: Version, client: Client) -> None:
    for path, inline in [("page.html", "false"), ("page.html", "true"), (UNICODE, "true")]:
        answer = client.get(f"{url(version, path)}?inline={inline}")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
        assert "script" not in answer["Content-Security-Policy"]
        kind = "text/plain; charset=utf-8" if path == UNICODE else "application/octet-stream"
        assert answer["Content-Type"] == kind
        assert answer["Content-Disposition"].startswith("inline" if path == UNICODE else "attachment")
        body(answer)


@pytest.mark.parametrize("path", ["none", "folder", "folder/none", "folder/data.bin/x", "../before", "nul\0", ""])
def test_what_is_not_there(version: Version, client: Client, path: str) -> None:
    assert client.get(url(version, path)).status_code in {400, 404, 422}


def test_strangers_and_nobody(version: Version) -> None:
    assert api_client(make_member(make_team())).get(url(version)).status_code == 404
    assert Client().get(url(version)).status_code == 401


def test_another_version_of_the_trash(version: Version, client: Client) -> None:
    Version.objects.update(deleted_at=version.sealed_at)
    assert client.get(url(version)).status_code == 404


def test_few_queries(version: Version, client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        body(client.get(url(version)))
    assert len(queries) <= 12, [query["sql"] for query in queries]
