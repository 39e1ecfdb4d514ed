"""What Google Cloud Storage refuses is told so that the user knows what to do, and what goes wrong on the wire."""

import gzip
import hashlib
import itertools
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import google_crc32c
import pytest

from datasets_app.sources.base import Cause, Data, Page, Route, SourceError, SourceFile, Tree
from datasets_app.sources.gcs import GcsSource
from datasets_app.sources.guard import Guard
from tests.sources.contract import cause_of, list_all
from tests.sources.doubles import gcs_backend, gcs_server
from tests.sources.gcs_proxy import ACCOUNT, GcsServer
from tests.sources.test_gcs import connect

__all__ = ["gcs_backend", "gcs_server"]

pytestmark = pytest.mark.server

LARGE = bytes(range(256)) * 400


@pytest.fixture
def bucket(gcs_server: GcsServer) -> str:
    """A bucket with two objects."""
    name = uuid.uuid4().hex
    gcs_server.make_bucket(name, {"a": LARGE, "folder/b": b"1"})
    return name


def open_bucket(server: GcsServer, bucket: str) -> tuple[Tree, dict[str, SourceFile]]:
    """Open it and list it."""
    tree = connect(server, Route()).open(bucket)
    return tree, list_all(tree)


def refuse(act: Callable[[], object]) -> tuple[Cause, str]:
    """Do what fails; return why."""
    with pytest.raises(SourceError) as error:
        act()
    assert "PRIVATE" not in error.value.detail
    assert "ya29" not in error.value.detail
    return cause_of(error), error.value.detail


def test_a_key_that_was_deleted(gcs_server: GcsServer, bucket: str) -> None:
    source = connect(gcs_server, Route())
    answer = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    gcs_server.fail("/token", times=-1, status=400, body=json.dumps(answer).encode())
    cause, detail = refuse(lambda: source.open(bucket))
    assert (cause, ACCOUNT in detail, "deleted" in detail) == (Cause.CREDENTIALS, True, True)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("Invalid grant: account not found", "does not know"),
        (
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat",
            "clock",
        ),
        ("Service account is disabled", "disabled"),
    ],
)
def test_an_account_that_can_not_sign_in(gcs_server: GcsServer, bucket: str, told: str, words: str) -> None:
    answer = {"error": "invalid_grant", "error_description": told}
    gcs_server.fail("/token", times=-1, status=400, body=json.dumps(answer).encode())
    cause, detail = refuse(lambda: connect(gcs_server, Route()).open(bucket))
    assert cause == Cause.CREDENTIALS
    assert words in detail


def test_no_right(gcs_server: GcsServer, bucket: str) -> None:
    gcs_server.forbidden.add(bucket)
    cause, detail = refuse(lambda: connect(gcs_server, Route()).open(bucket))
    assert cause == Cause.DENIED
    assert "Storage Object Viewer" in detail


def test_an_object_may_be_read_where_the_bucket_may_not_be_listed(gcs_server: GcsServer, bucket: str) -> None:
    gcs_server.fail(rf"/b/{bucket}/o\?", times=-1, status=403, body=b"{}")
    source = connect(gcs_server, Route())
    files = list_all(source.open(f"{bucket}/folder/b"))
    assert {path: bytes(source.open(f"{bucket}/folder/b").fetch(file)) for path, file in files.items()} == {"b": b"1"}
    assert refuse(lambda: source.open(f"{bucket}/none"))[0] == Cause.DENIED
    assert refuse(lambda: source.open(bucket))[0] == Cause.DENIED


def test_a_bucket_that_is_not_public(gcs_server: GcsServer, bucket: str) -> None:
    source = connect(gcs_server, Route(), public=True)
    cause, detail = refuse(lambda: source.open(bucket))
    assert (cause, "is not public" in detail) == (Cause.DENIED, True)
    assert refuse(lambda: source.browse(""))[0] == Cause.DENIED
    assert not any(request.authorization for request in gcs_server.requests)


def test_the_requester_pays(gcs_server: GcsServer, bucket: str) -> None:
    gcs_server.requester_pays.add(bucket)
    cause, detail = refuse(lambda: connect(gcs_server, Route()).open(bucket))
    assert (cause, "billing project" in detail) == (Cause.DENIED, True)
    tree = connect(gcs_server, Route(), billing_project="payer-1").open(bucket)
    assert bytes(tree.fetch(list_all(tree)["folder/b"])) == b"1"
    assert all("userProject=payer-1" in line for line in gcs_server.lines(f"/b/{bucket}/o")[1:])


def test_what_is_not_there(gcs_server: GcsServer, bucket: str) -> None:
    source = connect(gcs_server, Route())
    assert refuse(lambda: source.open("no-such-bucket-at-all"))[0] == Cause.MISSING
    assert refuse(lambda: source.open(f"{bucket}/none"))[0] == Cause.MISSING
    assert refuse(lambda: source.open(""))[0] == Cause.INVALID


def test_an_empty_bucket_is_an_empty_listing(gcs_server: GcsServer) -> None:
    name = uuid.uuid4().hex
    gcs_server.make_bucket(name)
    assert list(connect(gcs_server, Route()).open(name).list_files()) == []


def test_markers_of_folders_are_left_out(gcs_server: GcsServer, bucket: str) -> None:
    gcs_server.put(bucket, "folder/", b"")
    gcs_server.put(bucket, "odd/", b"not empty")
    tree, files = open_bucket(gcs_server, bucket)
    assert sorted(files) == ["a", "folder/b", "odd/"]
    assert bytes(tree.fetch(files["odd/"])) == b"not empty"
    assert sorted(list_all(connect(gcs_server, Route()).open(f"{bucket}/folder"))) == ["b"]


def test_a_token_that_expires_is_replaced_once_for_all(gcs_server: GcsServer, bucket: str) -> None:
    tree, files = open_bucket(gcs_server, bucket)
    gcs_server.revoke_tokens()
    gcs_server.forget()
    with ThreadPoolExecutor(8) as pool:
        assert [bytes(data) for data in pool.map(tree.fetch, [files["a"]] * 16)] == [LARGE] * 16
    assert len(gcs_server.lines("/token")) == 1


def test_a_token_that_stays_refused_is_an_error(gcs_server: GcsServer, bucket: str) -> None:
    tree, files = open_bucket(gcs_server, bucket)
    gcs_server.fail("/download/", times=-1, status=401, body=b"{}")
    assert refuse(lambda: tree.fetch(files["a"]))[0] == Cause.CREDENTIALS
    assert len(gcs_server.lines("/download/")) == 2


@pytest.mark.parametrize(
    ("status", "cause"),
    [(429, Cause.BUSY), (503, Cause.BUSY), (500, Cause.UNREACHABLE), (416, Cause.CHANGED), (418, Cause.INVALID)],
)
def test_trouble(gcs_server: GcsServer, bucket: str, status: int, cause: Cause) -> None:
    tree, files = open_bucket(gcs_server, bucket)
    body = json.dumps({"error": {"code": status, "message": "Some {words} of Google's.", "errors": []}}).encode()
    gcs_server.fail("/download/", status=status, headers={"Retry-After": "3"}, body=body)
    with pytest.raises(SourceError) as error:
        tree.fetch(files["a"])
    assert (cause_of(error), error.value.retry_after) == (cause, 3)
    assert bytes(tree.fetch(files["a"])) == LARGE


def test_a_quota_that_is_told_by_403(gcs_server: GcsServer, bucket: str) -> None:
    tree, files = open_bucket(gcs_server, bucket)
    body = json.dumps({"error": {"message": "Slow", "errors": [{"reason": "rateLimitExceeded"}]}}).encode()
    gcs_server.fail("/download/", status=403, body=body)
    assert refuse(lambda: tree.fetch(files["a"]))[0] == Cause.BUSY


def test_bodies_that_break_off_or_are_spoilt_are_damaged(gcs_server: GcsServer, bucket: str) -> None:
    tree, files = open_bucket(gcs_server, bucket)
    file = files["a"]
    reads: list[Callable[[], Data]] = [lambda: tree.fetch(file), lambda: tree.fetch_range(file, 10, 9000)]
    for read in reads:
        gcs_server.fail("/download/", cut=1000)
        assert refuse(read)[0] == Cause.DAMAGED
    gcs_server.fail("/download/", spoil=True)
    assert refuse(reads[0])[0] == Cause.DAMAGED
    gcs_server.fail("/download/", cut=-1)
    assert refuse(reads[0])[0] == Cause.UNREACHABLE
    assert bytes(reads[0]()) == LARGE


def test_a_server_that_forgets_the_generation_is_found_out(gcs_server: GcsServer, bucket: str) -> None:
    tree, files = open_bucket(gcs_server, bucket)
    gcs_server.keeps_preconditions = False
    gcs_server.put(bucket, "a", LARGE[::-1])
    assert refuse(lambda: tree.fetch_range(files["a"], 0, 100))[0] == Cause.CHANGED
    gcs_server.remove(bucket, "a")
    assert refuse(lambda: tree.fetch(files["a"]))[0] == Cause.MISSING


def test_what_was_stored_compressed_comes_as_it_is_stored(gcs_server: GcsServer, bucket: str) -> None:
    packed = gzip.compress(LARGE)
    gcs_server.put(bucket, "a", packed, encoding="gzip")
    tree, files = open_bucket(gcs_server, bucket)
    assert files["a"].size == len(packed)
    assert bytes(tree.fetch(files["a"])) == packed
    assert bytes(tree.fetch_range(files["a"], 5, 100)) == packed[5:105]


def test_only_what_is_needed_is_asked(gcs_server: GcsServer, bucket: str) -> None:
    tree, files = open_bucket(gcs_server, bucket)
    tree.fetch(files["a"])
    paths = [request.path for request in gcs_server.requests]
    listing = f"/storage/v1/b/{bucket}/o"
    # Once to see that there is something, once to list it.
    assert paths == ["/token", listing, listing, f"/download{listing}/a"]


def test_the_listing_tells_generation_and_checksum(gcs_server: GcsServer, bucket: str) -> None:
    generation = gcs_server.put(bucket, "a", LARGE)
    _, files = open_bucket(gcs_server, bucket)
    assert files["a"].tag == str(generation)
    assert files["a"].checksum == f"crc32c:{google_crc32c.value(LARGE):08x}"
    assert files["a"].sha256 is None
    assert hashlib.sha256(LARGE).digest() != files["a"].sha256


def test_a_server_that_is_something_else(gcs_server: GcsServer, bucket: str) -> None:
    source = connect(gcs_server, Route())
    for body in (b"<html>", b"[]", b'{"items": [{"name": "x"}]}'):
        gcs_server.recover()
        gcs_server.fail("/b/", times=-1, status=200, body=body)
        assert refuse(lambda: list(source.open(bucket).list_files()))[0] == Cause.INVALID


def test_tokens_go_through_the_guard_too(gcs_server: GcsServer, bucket: str) -> None:
    guard = Guard()
    try:
        source = connect(gcs_server, Route(proxy=guard.url))
        assert refuse(lambda: source.open(bucket))[0] == Cause.FORBIDDEN_NETWORK
    finally:
        guard.close()
    assert gcs_server.lines() == []


def test_nothing_comes_from_the_environment(
    gcs_server: GcsServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "STORAGE_EMULATOR_HOST": "http://127.0.0.1:1",
        "GOOGLE_APPLICATION_CREDENTIALS": "/nonexistent",
        "GOOGLE_CLOUD_PROJECT": "machine",
        "http_proxy": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    tree, files = open_bucket(gcs_server, bucket)
    assert bytes(tree.fetch(files["a"])) == LARGE
    assert not any("machine" in line for line in gcs_server.lines())


def test_the_check_finds_the_step_that_fails(gcs_server: GcsServer, bucket: str) -> None:
    source = connect(gcs_server, Route())
    assert isinstance(source, GcsSource)
    steps = {step.name: step for step in source.check(f"{bucket}/folder")}
    assert all(step.ok for step in steps.values()), steps
    assert steps["Sign in"].detail == f"Google signs {ACCOUNT} in."
    assert steps["Read one byte"].detail == "Read from b."
    gcs_server.fail("/download/", times=-1, status=403, body=b"{}")
    found = [(step.name, step.ok) for step in connect(gcs_server, Route()).check(bucket)]
    assert found[-2:] == [("List", True), ("Read one byte", False)]
    gcs_server.fail("/token", times=-1, status=400, body=b'{"error": "invalid_grant"}')
    found = [(step.name, step.ok) for step in connect(gcs_server, Route()).check(bucket)]
    assert found[-3:] == [("Sign in", False), ("List", None), ("Read one byte", None)]


def test_the_browser_begins_with_buckets(gcs_server: GcsServer, bucket: str) -> None:
    source = connect(gcs_server, Route())
    assert bucket in [entry.path for entry in source.browse("").entries]
    gcs_server.fail(r"/b\?", times=-1, status=403, body=b"{}")
    assert "Type the name" in refuse(lambda: source.browse(""))[1]
    steps = {step.name: step for step in source.check()}
    assert steps["List"].ok


def test_pages_that_hold_nothing_are_given_to_whoever_counts_them(gcs_server: GcsServer, bucket: str) -> None:
    """The listing may have no end."""
    tree, _ = open_bucket(gcs_server, bucket)
    gcs_server.fail(rf"/b/{bucket}/o\?", times=-1, status=200, body=b'{"nextPageToken": "more"}')
    pages = list(itertools.islice(tree.list_files(after="a"), 5))
    assert pages == [Page([], "a")] * 5
