"""What only a real server shows: chunked bodies, broken connections, refusals of large bodies, and memory."""

from __future__ import annotations

import hashlib
import http.client
import random
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.servers import LiveApplication
from tests.store.naive import digest_of
from tests.uploads.live_sender import LiveSender
from tests.uploads.sender import OCTETS, TUS, metadata

pytestmark = pytest.mark.server
MIB = 2**20
# The server writes in blocks of 1 MiB: what a test waits for has to be one.
BODY = random.Random(12).randbytes(5 * MIB)
PART = BODY[: 3 * MIB]


@pytest.fixture
def sender(application: LiveApplication, request: pytest.FixtureRequest) -> LiveSender:
    """Give a dataset of the test's own."""
    return LiveSender.for_test(application, request.node.name)


def create(sender: LiveSender, number: int, length: int) -> str:
    about = metadata(team="lab", dataset=sender.name, version=number, path="a")
    answer = sender.call("POST", "/api/v1/tus", headers=TUS | {"Upload-Length": str(length), "Upload-Metadata": about})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Location"])


def offset(sender: LiveSender, url: str) -> int:
    answer = sender.call("HEAD", url, headers=TUS)
    assert answer.status_code == 200
    return int(answer.headers["Upload-Offset"])


def start_patch(sender: LiveSender, url: str, length: int, *, at: int = 0, more: str = "") -> socket.socket:
    """Open a connection and send the head of a PATCH alone."""
    connection = socket.create_connection(("127.0.0.1", sender.application.port), timeout=30)
    head = (
        f"PATCH {url} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {sender.application.token}\r\n"
        f"Tus-Resumable: 1.0.0\r\nUpload-Offset: {at}\r\nContent-Type: {OCTETS}\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    )
    connection.sendall(head.encode())
    return connection


def wait_for_offset(sender: LiveSender, url: str, wanted: int) -> None:
    end = time.monotonic() + 30
    while offset(sender, url) < wanted:
        assert time.monotonic() < end, offset(sender, url)
        time.sleep(0.02)


def test_a_chunked_body_without_a_length(sender: LiveSender) -> None:
    number = sender.create_version()
    url = create(sender, number, len(BODY))

    def pieces(start: int, end: int) -> Iterator[bytes]:
        for at in range(start, end, 70_000):
            yield BODY[at : min(at + 70_000, end)]

    headers = TUS | {"Upload-Offset": "0", "Content-Type": OCTETS}
    answer = sender.call("PATCH", url, headers=headers, data=pieces(0, 1_000_000))
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "1000000")
    headers["Upload-Offset"] = "1000000"
    too_much = sender.once("PATCH", url, headers=headers, data=iter([BODY[1_000_000:], b"!"]))
    assert too_much.status_code == 413
    assert offset(sender, url) == 1_000_000
    assert sender.call("PATCH", url, headers=headers, data=pieces(1_000_000, len(BODY))).status_code == 204
    assert sender.seal(number)["digest"] == digest_of({"a": BODY})


def test_a_body_both_chunked_and_of_a_length_is_read_as_chunked(sender: LiveSender) -> None:
    """Some clients send both headers; the standard says which one counts."""
    number = sender.create_version()
    url = create(sender, number, len(BODY))
    with start_patch(sender, url, len(BODY), more="Transfer-Encoding: chunked\r\n") as connection:
        connection.sendall(b"%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n")
        answer = connection.recv(1000)
    assert b" 204 " in answer
    assert b"upload-offset: %d\r\n" % len(BODY) in answer.lower()
    assert sender.seal(number)["digest"] == digest_of({"a": BODY})


def test_a_chunked_body_that_breaks_off(sender: LiveSender) -> None:
    url = create(sender, sender.create_version(), len(BODY))
    connection = http.client.HTTPConnection("127.0.0.1", sender.application.port, timeout=30)
    connection.putrequest("PATCH", url)
    about = TUS | {"Authorization": f"Bearer {sender.application.token}", "Content-Type": OCTETS, "Upload-Offset": "0"}
    for name, value in (about | {"Transfer-Encoding": "chunked"}).items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"%x\r\n" % len(PART) + PART + b"\r\n")
    wait_for_offset(sender, url, 2 * MIB)
    connection.close()
    goes_on(sender, url)


def goes_on(sender: LiveSender, url: str) -> None:
    """Send the rest as soon as the server has noticed that the first request is dead."""
    end = time.monotonic() + 30
    while True:
        at = offset(sender, url)
        headers = TUS | {"Upload-Offset": str(at), "Content-Type": OCTETS}
        answer = sender.once("PATCH", url, headers=headers, data=BODY[at:])
        if answer.status_code == 204:
            break
        assert answer.status_code in {409, 423}, answer.text
        assert time.monotonic() < end, answer.text
        time.sleep(0.05)
    number = int(sender.call("GET", sender.versions).json()["items"][0]["number"])
    assert sender.seal(number)["digest"] == digest_of({"a": BODY})
    assert "Traceback" not in sender.application.log


def test_a_connection_that_breaks_keeps_what_arrived(sender: LiveSender) -> None:
    url = create(sender, sender.create_version(), len(BODY))
    with start_patch(sender, url, len(BODY)) as connection:
        connection.sendall(PART)
        wait_for_offset(sender, url, 2 * MIB)
    goes_on(sender, url)


def test_a_second_request_is_locked_out_while_the_first_is_alive(sender: LiveSender) -> None:
    url = create(sender, sender.create_version(), len(BODY))
    with start_patch(sender, url, 4 * MIB) as connection:
        connection.sendall(PART)
        wait_for_offset(sender, url, 2 * MIB)
        at = offset(sender, url)
        headers = TUS | {"Upload-Offset": str(at), "Content-Type": OCTETS}
        assert sender.once("PATCH", url, headers=headers, data=BODY[at:]).status_code == 423
        connection.sendall(BODY[len(PART) : 4 * MIB])
        assert b" 204 " in connection.recv(1000)
    assert offset(sender, url) == 4 * MIB
    goes_on(sender, url)


def test_ended_while_bytes_arrive(sender: LiveSender) -> None:
    url = create(sender, sender.create_version(), len(BODY))
    with start_patch(sender, url, len(BODY)) as connection:
        connection.sendall(PART)
        wait_for_offset(sender, url, 2 * MIB)
        assert sender.call("DELETE", url, headers=TUS).status_code == 204
        connection.sendall(BODY[len(PART) :])
        assert b" 410 " in connection.recv(1000)
    assert sender.call("HEAD", url, headers=TUS).status_code == 410


@pytest.mark.parametrize("size", [100_000, 20 * MIB])
def test_a_refusal_reaches_a_client_that_sends_first_and_listens_later(sender: LiveSender, size: int) -> None:
    url = create(sender, sender.create_version(), 30 * MIB)
    headers = TUS | {"Upload-Offset": "5", "Content-Type": OCTETS}
    answer = sender.once("PATCH", url, headers=headers, data=bytes(size))
    assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")
    assert offset(sender, url) == 0


class PeakMemory(threading.Thread):
    """Samples the resident memory of the web processes, each for itself: the page cache is not in it."""

    def __init__(self, application: LiveApplication) -> None:
        super().__init__(daemon=True)
        self._processes = [psutil.Process(pid) for pid in application.pids("web")]
        self._over = threading.Event()
        self.start_bytes = self._sample()
        self.peak_bytes = dict(self.start_bytes)
        # The parent, and those that answer requests: each has Python and Django in it.
        assert len(self._processes) > 1
        assert max(self.start_bytes.values()) > 20 * MIB

    def run(self) -> None:
        """Look a hundred times a second."""
        while not self._over.wait(0.01):
            for pid, size in self._sample().items():
                self.peak_bytes[pid] = max(self.peak_bytes[pid], size)

    def stop(self) -> int:
        """Return by how many bytes all processes together have grown at most."""
        self._over.set()
        self.join()
        return sum(self.peak_bytes.values()) - sum(self.start_bytes.values())

    def _sample(self) -> dict[int, int]:
        # Private memory alone: mapped files, such as SQLite's, are the page cache's.
        return {process.pid: process.memory_info().rss - process.memory_info().shared for process in self._processes}


def stream_patch(sender: LiveSender, url: str, at: int, length: int, body: Iterator[bytes]) -> tuple[int, str | None]:
    """Send a body of known length without holding it; return status and new offset."""
    connection = http.client.HTTPConnection("127.0.0.1", sender.application.port, timeout=600)
    about = {"Authorization": f"Bearer {sender.application.token}", "Content-Type": OCTETS}
    headers = TUS | about | {"Upload-Offset": str(at), "Content-Length": str(length)}
    connection.request("PATCH", url, body=body, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, answer.headers["Upload-Offset"]


def send_large(sender: LiveSender, size: int, request_bytes: int, *, sealed: bool = True) -> None:
    """Send a file that nobody holds in memory, and see that the digest is right."""
    block = random.Random(13).randbytes(MIB)
    digest = hashlib.sha256()

    def body(start: int, end: int) -> Iterator[bytes]:
        for number in range(start // MIB, end // MIB):
            piece = number.to_bytes(8, "big") + block[8:]
            digest.update(piece)
            yield piece

    number = sender.create_version()
    url = create(sender, number, size)
    for at in range(0, size, request_bytes):
        end = min(at + request_bytes, size)
        assert stream_patch(sender, url, at, end - at, body(at, end)) == (204, str(end))
    if not sealed:
        return
    sender.seal(number)
    (entry,) = sender.call("GET", f"{sender.versions}/{number}/tree").json()["items"]
    assert (entry["size"], entry["digest"]) == (size, f"sha256:{digest.hexdigest()}")


def warm_up(sender: LiveSender) -> None:
    """Let every process load what it needs for a request, which is no matter of size."""
    for _ in range(6):
        send_large(sender, 4 * MIB, 2 * MIB, sealed=False)


def growth(sender: LiveSender, size: int, request_bytes: int) -> int:
    """Send a file and remove its bytes again; return by how many bytes the web processes' memory has grown at most."""
    warm_up(sender)
    watch = PeakMemory(sender.application)
    watch.start()
    try:
        send_large(sender, size, request_bytes)
    finally:
        for pack in Path(sender.application.folder, "packs").rglob("*"):
            if pack.is_file() and pack.stat().st_size == size:
                pack.unlink()
    return watch.stop()


@pytest.mark.parametrize(
    ("size", "request_bytes"), [(256 * MIB, 16 * MIB), (1024 * MIB, 2**40)], ids=["pieces", "whole"]
)
def test_memory_does_not_grow_with_the_file(sender: LiveSender, size: int, request_bytes: int) -> None:
    assert growth(sender, size, request_bytes) < 64 * MIB


@pytest.mark.nightly
def test_memory_with_20_gib(sender: LiveSender) -> None:
    size = 20 * 1024 * MIB
    if shutil.disk_usage(sender.application.folder).free < size * 1.3:
        pytest.skip("less than 26 GiB are free")
    assert growth(sender, size, 2**40) < 64 * MIB
