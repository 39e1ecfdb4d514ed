"""Bodies of large answers: every byte, or the error that makes the caller ask again."""

import os
import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from flexai_cli.body import read_body

BODY = os.urandom(3_000_000)
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answer the next request with these parts, then hang up, or wait until the end of the test."""
    listeners: list[socket.socket] = []
    done = threading.Event()
    threads: list[threading.Thread] = []

    def answer(listener: socket.socket, parts: tuple[bytes, ...], *, stays: bool) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            for part in parts:
                connection.sendall(part)
            if stays:
                done.wait(30)

    def start(*parts: bytes, stays: bool = False) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threads.append(threading.Thread(target=answer, args=(listener, parts), kwargs={"stays": stays}))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield start
    done.set()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def fetch(url: str, seconds: float = 5) -> bytes:
    with httpx.Client(timeout=seconds) as client, client.stream("GET", url) as answer:
        return b"".join(read_body(answer, seconds))


def head(length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length


@pytest.mark.parametrize("cut", [0, 1, 70_000, len(BODY) - 1, len(BODY)])
def test_all_of_it_comes_however_it_is_cut(serve: Serve, cut: int) -> None:
    # What comes together with the head must neither be lost nor come twice; the connection stays open behind it.
    url = serve(head(len(BODY)) + BODY[:cut], BODY[cut:], stays=True)

    assert fetch(url) == BODY


def test_an_empty_body(serve: Serve) -> None:
    assert fetch(serve(head(0), stays=True)) == b""


@pytest.mark.parametrize("sent", [0, 10, 1_000_000])
def test_a_body_that_ends_early_is_an_error_of_the_network(serve: Serve, sent: int) -> None:
    url = serve(head(len(BODY)), BODY[:sent])

    with pytest.raises(httpx.TransportError):
        fetch(url)


def test_a_body_that_stops_is_an_error_of_the_network(serve: Serve) -> None:
    url = serve(head(len(BODY)), BODY[:1_000_000], stays=True)

    with pytest.raises(httpx.TransportError):
        fetch(url, seconds=0.5)


def test_nothing_behind_the_body_is_taken_for_it(serve: Serve) -> None:
    url = serve(head(10), BODY[:10] + b"and more", stays=True)

    assert fetch(url) == BODY[:10]


def test_a_body_in_chunks(serve: Serve) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"

    assert fetch(serve(chunked, stays=True)) == b"abcde"
