"""What S3 stores refuse, and how that is told: by cause, in plain words, without a secret."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from datasets_app.sources import s3_clients, s3_reader
from datasets_app.sources.base import Cause, CheckStep, Route, SourceError, SourceFile
from datasets_app.sources.guard import Guard
from datasets_app.sources.places import Place
from datasets_app.sources.registry import PROVIDERS
from datasets_app.sources.s3 import S3Source, S3Tree
from tests.servers import free_port
from tests.sources.contract import Remote, list_all
from tests.sources.http_double import Answer, HttpDouble
from tests.sources.ministack import Ministack
from tests.sources.s3_remote import S3Remote, WireTap, connect_amazon, connect_minio
from tests.sources.tls_front import make_certificate, serve_tls

pytestmark = pytest.mark.server

BUCKET = "errors"


@pytest.fixture
def remote(ministack: Ministack, tap: WireTap) -> Iterator[S3Remote]:
    """A folder of ministack behind the tap."""
    client = ministack.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield S3Remote(client, connect_amazon(ministack, Route(proxy=tap.url)), bucket=BUCKET)
    client.close()


def refusal(work: Callable[..., object], *arguments: object) -> SourceError:
    """Return what it raises; no secret and no stack of a library in it."""
    with pytest.raises(SourceError) as error:
        work(*arguments)
    told = error.value.detail
    assert "wrong-secret" not in told
    assert "Debug source" not in told
    assert len(told) < 400
    return error.value


def s3_error(code: str, message: str = "Told by the test", more: str = "") -> bytes:
    """Return the body of an S3 error."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()


def failed_step(steps: Iterator[CheckStep]) -> CheckStep:
    """Return the one step that failed."""
    (step,) = [step for step in steps if step.ok is False]
    return step


def test_wrong_credentials_are_said(ministack: Ministack, guarded_route: Route) -> None:
    ministack.client("s3").create_bucket(Bucket=BUCKET)
    for values, secret, word in (
        ({}, "wrong-secret", "secret key"),
        ({"access_key": "AKIAUNKNOWN"}, ministack.keys.secret_key, "access key"),
    ):
        source = connect_amazon(ministack, guarded_route, secret_key=secret, **values)
        for ask in (source.browse, lambda source=source: source.open(BUCKET)):
            error = refusal(ask)
            assert error.cause == Cause.CREDENTIALS
            assert not error.transient
            assert word in error.detail
        step = failed_step(source.check(BUCKET))
        assert step.name == "Sign in"
        assert word in step.detail


def test_bytes_are_refused_in_the_same_words(ministack: Ministack, guarded_route: Route, remote: S3Remote) -> None:
    remote.put({"x": b"1"})
    file = list_all(remote.open())["x"]
    tree = connect_amazon(ministack, guarded_route, secret_key="wrong-secret")
    assert isinstance(tree, S3Source)
    error = refusal(S3Tree(tree, Place(BUCKET, remote.folder)).fetch, file)
    assert error.cause == Cause.CREDENTIALS
    # The store's answer repeats what was signed.
    assert error.__cause__ is None
    assert error.__context__ is None


def test_temporary_keys_need_their_token(ministack: Ministack, guarded_route: Route, remote: S3Remote) -> None:
    remote.put({"x": b"temporary"})
    keys = ministack.temporary_keys()
    given = {"access_key": keys.access_key, "secret_key": keys.secret_key}
    tree = connect_amazon(ministack, guarded_route, **given, session_token=keys.session_token).open(remote.path)
    assert tree.fetch(list_all(tree)["x"]) == b"temporary"
    for token in ("", "of-another"):
        source = connect_amazon(ministack, guarded_route, **given, session_token=token)
        assert refusal(source.open, remote.path).cause == Cause.CREDENTIALS


# Status, body, headers; the cause, a word of the sentence.
ANSWERS: list[tuple[int, bytes, dict[str, str], Cause, str]] = [
    (400, s3_error("ExpiredToken"), {}, Cause.CREDENTIALS, "expired"),
    (400, s3_error("InvalidToken", more="<Token-0>wrong-secret</Token-0>"), {}, Cause.CREDENTIALS, "session token"),
    (403, s3_error("RequestTimeTooSkewed"), {}, Cause.CREDENTIALS, "clock"),
    (403, s3_error("AccessDenied"), {}, Cause.DENIED, "s3:ListBucket"),
    (403, s3_error("InvalidObjectState"), {}, Cause.DENIED, "Restore"),
    (403, b"", {}, Cause.DENIED, "s3:GetObject"),
    (404, s3_error("NoSuchBucket"), {}, Cause.MISSING, BUCKET),
    (429, b"slow", {}, Cause.BUSY, "slow down"),
    (503, s3_error("SlowDown"), {}, Cause.BUSY, "slow down"),
    (503, b"<html>maintenance</html>", {}, Cause.BUSY, "slow down"),
    (500, s3_error("InternalError"), {}, Cause.UNREACHABLE, "trouble"),
    (502, b"<html>bad gateway</html>", {}, Cause.UNREACHABLE, "trouble"),
    (400, s3_error("RequestTimeout"), {}, Cause.UNREACHABLE, "waited"),
    (
        400,
        s3_error("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong; expecting 'eu-west-3'"),
        {},
        Cause.INVALID,
        "eu-west-3",
    ),
    (400, s3_error("InvalidRequest", "Told by the test"), {}, Cause.INVALID, "Told by the test"),
]


@pytest.mark.parametrize(("status", "body", "headers", "cause", "word"), ANSWERS)
def test_answers_have_a_cause_and_a_sentence(
    remote: S3Remote, tap: WireTap, status: int, body: bytes, headers: dict[str, str], cause: Cause, word: str
) -> None:
    remote.put({"x": b"1"})
    tree = remote.open()
    file = list_all(tree)["x"]
    tap.fail("", times=-1, status=status, body=body, headers=headers)
    for work in (lambda: next(tree.list_files()), lambda: tree.fetch(file), lambda: tree.fetch_range(file, 0, 1)):
        error = refusal(work)
        assert (error.cause, error.transient) == (
            cause,
            cause in {Cause.BUSY, Cause.UNREACHABLE},
        ), error.detail
        assert word in error.detail


def test_a_bucket_of_another_region_says_which(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1"})
    tree = remote.open()
    file = list_all(tree)["x"]
    headers = {"x-amz-bucket-region": "eu-west-3"}
    tap.fail("", times=-1, status=301, body=s3_error("PermanentRedirect"), headers=headers)
    error = refusal(tree.fetch, file)
    assert error.cause == Cause.INVALID
    assert "region" in error.detail
    # Botocore follows to where it is told, and is told the same again.
    error = refusal(lambda: next(tree.list_files()))
    assert error.cause == Cause.INVALID
    assert "eu-west-3" in error.detail


def test_a_store_says_how_long_to_wait(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1"})
    tap.fail("list-type", times=-1, status=503, body=s3_error("SlowDown"), headers={"Retry-After": "7"})
    assert refusal(remote.open).retry_after == 7


@pytest.mark.parametrize("path", ["bucket", ""])
def test_an_answer_that_began_well_may_be_an_error(remote: S3Remote, tap: WireTap, path: str) -> None:
    tap.fail("list-type" if path else "GET", times=-1, status=200, body=s3_error("SlowDown"))
    error = refusal(lambda: remote.source.browse(remote.path if path else ""))
    assert error.cause == Cause.BUSY


def test_a_hiccup_is_not_even_noticed(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1"})
    tree = remote.open()
    file = list_all(tree)["x"]
    tap.fail("", status=500, body=s3_error("InternalError"))
    assert tree.fetch(file) == b"1"
    tap.fail("", status=503, body=s3_error("SlowDown"))
    assert list_all(tree)


def test_a_body_that_breaks_off_is_no_file(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1" * 100_000, "a//b": b"2" * 100_000})
    tree = remote.open()
    found = list_all(tree)
    tap.fail("", times=-1, cut=10)
    for file in found.values():
        error = refusal(tree.fetch, file)
        assert error.transient
        assert error.cause in {Cause.DAMAGED, Cause.UNREACHABLE}


def test_silence_ends(remote: S3Remote, tap: WireTap, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.put({"x": b"1"})
    file = list_all(remote.open())["x"]
    monkeypatch.setattr(s3_clients, "SILENT_SECONDS", 0.3)
    assert isinstance(remote.source, S3Source)
    tree = S3Source(remote.source.profile, remote.source.route).open(remote.path)
    tap.fail("", times=-1, delay=1)
    began = time.monotonic()
    for work in (lambda: tree.fetch(file), lambda: next(tree.list_files())):
        error = refusal(work)
        assert error.cause == Cause.UNREACHABLE
        assert "silent" in error.detail
    assert time.monotonic() - began < 8


def test_a_body_that_trickles_is_given_up(remote: S3Remote, tap: WireTap, monkeypatch: pytest.MonkeyPatch) -> None:
    remote.put({"x": b"1" * 4000, "a//b": b"2" * 4000})
    found = list_all(remote.open())
    monkeypatch.setattr(s3_clients, "REQUEST_SECONDS", 0.5)
    monkeypatch.setattr(s3_reader, "LONGEST_HICCUP", 0.1)
    assert isinstance(remote.source, S3Source)
    tree = S3Source(remote.source.profile, remote.source.route).open(remote.path)
    tap.fail("GET", times=-1, rate=1000)
    for name, word in (("x", "silent"), ("a//b", "slowly")):
        error = refusal(tree.fetch, found[name])
        assert error.cause == Cause.UNREACHABLE
        assert word in error.detail


def test_a_server_that_is_gone_is_said(remote: S3Remote, guarded_route: Route) -> None:
    remote.put({"x": b"1"})
    file = list_all(remote.open())["x"]
    for scheme in ("http", "https"):
        endpoint = f"{scheme}://127.0.0.1:{free_port()}"
        source = connect_minio(endpoint, "key", guarded_route, secret_key="wrong-secret")
        assert isinstance(source, S3Source)
        for work in (
            lambda source=source: source.open("x"),
            lambda source=source: S3Tree(source, Place("x", "")).fetch(file),
        ):
            error = refusal(work)
            assert error.cause == Cause.UNREACHABLE
            assert "connection refused" in error.detail
        assert failed_step(source.check("x")).name == "Connect"


def test_a_name_that_does_not_resolve_is_said(guarded_route: Route) -> None:
    source = connect_minio("https://there-is-no-such-host.invalid", "key", guarded_route, secret_key="wrong-secret")
    error = refusal(source.browse)
    assert error.cause == Cause.UNREACHABLE
    assert "does not resolve" in error.detail
    assert failed_step(source.check()).name == "Find the server"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_guard_speaks_through_every_library(ministack: Ministack, scheme: str) -> None:
    guard = Guard()
    try:
        endpoint = f"{scheme}://{ministack.endpoint.removeprefix('http://')}"
        source = connect_minio(endpoint, "key", Route(proxy=guard.url), secret_key="wrong-secret")
        assert isinstance(source, S3Source)
        tree = S3Tree(source, Place("x", ""))
        file = SourceFile("x", "x", 1, '"e" 2024')
        odd = SourceFile("a//x", "x", 1, '"e" 2024')
        for work in (
            source.browse,
            lambda: source.open("x"),
            lambda: tree.fetch(file),
            lambda: tree.fetch_range(odd, 0, 1),
            lambda: tree.look_up(file),
        ):
            error = refusal(work)
            assert error.cause == Cause.FORBIDDEN_NETWORK
            assert "ALLOWED_SOURCE_NETWORKS" in error.detail
        step = failed_step(source.check("x"))
        assert step.name == "Connect"
        assert "ALLOWED_SOURCE_NETWORKS" in step.detail
    finally:
        guard.close()


def test_a_web_server_is_not_taken_for_s3(guarded_route: Route) -> None:
    web = HttpDouble(lambda _: Answer(200, {"Content-Type": "text/html"}, b"<html>Console</html>")).start()
    try:
        source = connect_minio(web.url, "key", guarded_route, secret_key="wrong-secret")
        assert refusal(source.open, "x").cause == Cause.INVALID
    finally:
        web.stop()


def test_who_may_not_list_buckets_can_still_name_one(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1"})
    tap.fail(r"GET http://[^/]+/(\?|$)", times=-1, status=403, body=s3_error("AccessDenied"))
    error = refusal(remote.source.browse)
    assert error.cause == Cause.DENIED
    assert "Type the name of a bucket" in error.detail
    steps = list(remote.source.check(remote.path))
    assert all(step.ok for step in steps)


def test_who_may_not_list_a_bucket_can_still_read_an_object(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1"})
    tap.fail("list-type", times=-1, status=403, body=s3_error("AccessDenied"))
    tree = remote.open("x")
    assert tree.fetch(list_all(tree)["x"]) == b"1"
    assert refusal(remote.open).cause == Cause.DENIED
    assert refusal(remote.open, "y").cause == Cause.DENIED


@pytest.mark.parametrize("minutes", [-20, 20])
def test_clocks_that_differ_are_said(remote: S3Remote, monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    remote.put({"x": b"1"})
    told = datetime.now(UTC) + timedelta(minutes=minutes)
    monkeypatch.setattr(
        BaseHTTPRequestHandler, "date_time_string", lambda *_: told.strftime("%a, %d %b %Y %H:%M:%S GMT")
    )
    step = failed_step(remote.source.check(remote.path))
    assert step.name == "Compare the clocks"
    assert "20 minutes" in step.detail
    assert ("behind" if minutes > 0 else "ahead") in step.detail


@pytest.mark.parametrize("path", ["", "/", "s3://"])
def test_a_path_without_a_bucket_is_invalid(remote: Remote, path: str) -> None:
    assert refusal(remote.source.open, path).cause == Cause.INVALID


@pytest.mark.parametrize("bucket", ["B", "a..b", "ü", "a b", "x" * 300])
def test_what_can_be_no_bucket_is_said(remote: Remote, bucket: str) -> None:
    assert refusal(remote.source.open, bucket).cause in {Cause.INVALID, Cause.MISSING}


@pytest.mark.parametrize("kind", [{}, {"self_signed": True}, {"self_signed": True, "is_authority": True}])
def test_an_authority_of_ones_own_is_trusted_where_it_is_given(
    ministack: Ministack, remote: S3Remote, guarded_route: Route, tmp_path: Path, kind: dict[str, Any]
) -> None:
    remote.put({"x": b"secure"})
    trusted, file = make_certificate(tmp_path, **kind)
    with serve_tls(file, int(ministack.endpoint.rpartition(":")[2])) as port:
        given = (f"https://127.0.0.1:{port}", ministack.keys.access_key, guarded_route)
        strict = connect_minio(*given, secret_key=ministack.keys.secret_key)
        step = failed_step(strict.check(remote.path))
        assert step.name == "Connect"
        assert "certificate" in step.detail
        assert refusal(strict.open, remote.path).cause == Cause.UNREACHABLE
        source = connect_minio(*given, secret_key=ministack.keys.secret_key, certificates=trusted)
        assert all(step.ok for step in source.check(remote.path))
        tree = source.open(remote.path)
        assert tree.fetch(list_all(tree)["x"]) == b"secure"


def test_a_port_where_nobody_accepts_is_no_mystery(guarded_route: Route) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        # It accepts, and says nothing of TLS.
        source = connect_minio(f"https://127.0.0.1:{deaf.getsockname()[1]}", "k", guarded_route, secret_key="s")
        deaf.listen()

        def hang_up() -> None:
            for _ in range(8):
                deaf.accept()[0].close()

        import threading

        threading.Thread(target=hang_up, daemon=True).start()
        assert refusal(source.browse).cause == Cause.UNREACHABLE


def test_every_provider_is_in_the_registry() -> None:
    assert {"s3", "minio", "r2"} <= PROVIDERS.keys()
