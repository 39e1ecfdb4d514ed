"""Reading by botocore, where obstore can't: no more bytes and no more time than obstore would take."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets_app.sources import s3_clients
from datasets_app.sources.base import Cause, Route, SourceError, SourceFile
from datasets_app.sources.places import Place
from datasets_app.sources.s3 import S3Source, S3Tree
from tests.sources.http_double import Answer, HttpDouble, Request, take_range
from tests.sources.s3_remote import connect_minio

MIB = 2**20
# obstore would write this key otherwise.
FILE = SourceFile("a//b", "b", 10, '"e" 2026-01-01T00:00:00Z')
PLAIN = FILE._replace(key="plain")
BUSY = b"<Error><Code>SlowDown</Code></Error>"


def open_tree(url: str) -> S3Tree:
    """Open a bucket of the server."""
    source = connect_minio(url, "key", Route(), secret_key="secret-secret")
    assert isinstance(source, S3Source)
    return S3Tree(source, Place("bucket", ""))


def cause_of(tree: S3Tree, file: SourceFile, span: tuple[int, int] | None = None) -> Cause:
    """Read it, which fails."""
    with pytest.raises(SourceError) as error:
        tree.fetch_range(file, *span) if span else tree.fetch(file)
    return error.value.cause


class Store(HttpDouble):
    """Every object is `body`."""

    def __init__(self) -> None:
        super().__init__(self._answer)
        self.body = b"0123456789"
        self.has_ranges = True

    def _answer(self, request: Request) -> Answer:
        headers = request.headers if self.has_ranges else {}
        return take_range(headers, self.body, {"ETag": '"e"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"})


@pytest.fixture
def store() -> Iterator[Store]:
    """A store that takes any signature."""
    made = Store()
    made.start()
    yield made
    made.stop()


def test_it_works(store: Store) -> None:
    tree = open_tree(store.url)
    assert bytes(tree.fetch(FILE)) == b"0123456789"
    assert bytes(tree.fetch_range(FILE, 3, 4)) == b"3456"


def test_an_object_that_is_larger_than_it_was_listed_is_not_read(store: Store) -> None:
    store.body = b"x" * 8 * MIB
    assert cause_of(open_tree(store.url), FILE) == Cause.CHANGED


def test_a_store_without_ranges_does_not_send_the_whole(store: Store) -> None:
    store.body = b"x" * 8 * MIB
    store.has_ranges = False
    large = FILE._replace(size=len(store.body))
    assert cause_of(open_tree(store.url), large, (0, 100)) == Cause.CHANGED


def test_bytes_that_never_end_are_not_taken() -> None:
    """Whose number was not told."""
    sent = 0

    def serve(listener: socket.socket) -> None:
        nonlocal sent
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nConnection: close\r\n\r\n')
            try:
                while sent < 256 * MIB:
                    sent += client.send(b"x" * 65536)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        assert cause_of(open_tree(f"http://127.0.0.1:{listener.getsockname()[1]}"), FILE) == Cause.CHANGED
        thread.join(20)
    # What the kernel's buffers hold.
    assert sent < 32 * MIB


def test_bytes_that_trickle_are_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_clients, "REQUEST_SECONDS", 0.5)
    store.body = b"x" * 20_000
    store.fail("GET .*b", times=-1, rate=1000)
    began = time.monotonic()
    assert cause_of(open_tree(store.url), FILE._replace(size=20_000)) == Cause.UNREACHABLE
    # Twice: one hiccup is forgiven.
    assert time.monotonic() - began < 5


def test_whoever_waits_for_slow_bytes_holds_up_nobody_else(store: Store) -> None:
    """A busy store, that one thread asked for how long: it gives the bytes instead, but slowly."""
    tree = open_tree(store.url)
    store.fail("GET .*plain", times=1, status=503, body=BUSY)
    store.fail("GET .*plain", times=1, stall=4)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tree.fetch, PLAIN)
        end = time.monotonic() + 10
        while len(store.lines("GET .*plain")) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(1.1)
        store.fail("GET .*other", times=1, status=503, body=BUSY)
        began = time.monotonic()
        assert bytes(tree.fetch(PLAIN._replace(key="other"))) == b"0123456789"
        assert time.monotonic() - began < 2
        assert not first.done()
        assert bytes(first.result()) == b"0123456789"
