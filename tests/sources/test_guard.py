"""The guard's proxy: what it passes on, what it refuses, and that it lives and dies with its process."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import pytest

from datasets_app.sources.base import Cause
from datasets_app.sources.guard import Guard, connection, find_refusal, lookup, proxy
from datasets_app.sources.guard.addresses import parse_networks
from datasets_app.sources.guard.proxy import Loop
from tests.servers import ROOT
from tests.sources.http_double import Answer, HttpDouble

LOCAL = ("127.0.0.0/8", "::1/128")


@pytest.fixture
def server() -> Iterator[HttpDouble]:
    """A web server that repeats what it was sent."""
    double = HttpDouble(lambda request: Answer(200, {"X-Seen": request.path}, request.body or b"hello"))
    double.start()
    yield double
    double.stop()


@pytest.fixture
def guard() -> Iterator[Guard]:
    """A guard that allows this machine."""
    made = Guard(LOCAL)
    yield made
    made.close()


@contextmanager
def running_loop(*allowed: str, splice: bool = True) -> Iterator[str]:
    """Run the proxy in a thread of the test, where its surroundings can be changed."""
    listener = socket.create_server(("127.0.0.1", 0))
    life, end = os.pipe()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread = threading.Thread(target=Loop(listener, parse_networks(allowed), splice=splice).run, args=(life,))
    thread.start()
    try:
        yield address
    finally:
        os.close(end)
        thread.join()
        os.close(life)


def get(through: str, url: str, **more: Any) -> tuple[int, bytes]:
    """Ask for a URL through a proxy; redirects are followed."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": through, "https": through}))
    try:
        with opener.open(urllib.request.Request(url, **more), timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@contextmanager
def raw(through: str) -> Iterator[socket.socket]:
    """Connect to the proxy, to speak to it byte by byte."""
    host, _, port = through.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=20) as client:
        yield client


def receive(client: socket.socket, *, until: bytes = b"") -> bytes:
    """Read until the end, or until what has come ends so."""
    data = bytearray()
    while not (until and data.endswith(until)) and (block := client.recv(65536)):
        data += block
    return bytes(data)


def test_it_works(guard: Guard, server: HttpDouble) -> None:
    assert get(guard.url, f"{server.url}/a/b?c=d%20e") == (200, b"hello")
    assert server.lines() == ["GET /a/b?c=d%20e"]
    assert get(guard.url, f"{server.url}/x", data=b"body" * 50_000) == (200, b"body" * 50_000)


def test_a_tunnel_carries_bytes_both_ways(guard: Guard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, raw(guard.url) as client:
        client.sendall(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\nearly" % listener.getsockname()[1])
        server, _ = listener.accept()
        with server:
            assert receive(client, until=b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            assert receive(server, until=b"early") == b"early"
            server.sendall(b"x" * 3_000_000)
            got = receive(client, until=b"x" * 3_000_000)
            assert len(got) == 3_000_000
            # Each direction ends by itself.
            client.shutdown(socket.SHUT_WR)
            assert server.recv(1) == b""
            server.sendall(b"late")
            server.shutdown(socket.SHUT_WR)
            assert receive(client) == b"late"


def test_this_machine_is_refused_unless_it_is_allowed(server: HttpDouble) -> None:
    guard = Guard()
    try:
        for host in ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"):
            status, body = get(guard.url, f"http://{host}:{server.port}/")
            refusal = find_refusal(body.decode())
            assert (status, refusal and refusal.cause) == (403, Cause.FORBIDDEN_NETWORK), host
            with pytest.raises(urllib.error.URLError) as error:
                get(guard.url, f"https://{host}:{server.port}/")
            refusal = find_refusal(str(error.value))
            assert refusal
            assert refusal.cause == Cause.FORBIDDEN_NETWORK
            assert "ALLOWED_SOURCE_NETWORKS" in refusal.detail
        assert server.requests == []
    finally:
        guard.close()


def test_a_redirect_leads_nowhere_else(server: HttpDouble) -> None:
    server.fail("/there", status=302, headers={"Location": f"http://127.0.0.2:{server.port}/here"})
    with running_loop("127.0.0.1/32") as url:
        status, body = get(url, f"{server.url}/there")
    assert status == 403
    assert b"source-guard-refused" in body


def test_a_name_is_looked_up_once_and_its_judged_address_is_used(
    server: HttpDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1", "127.0.0.1", "::1"]]
    asked: list[str] = []

    def resolve(host: str, port: int, *_kind: object, **_more: object) -> list[Any]:
        if host == "127.0.0.1":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    url = f"http://changing.example:{server.port}/"
    with running_loop("127.0.0.1/32") as through, monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        with raw(through) as client:
            request = f"GET {url} HTTP/1.1\r\nHost: changing.example\r\n\r\n".encode()
            for _ in range(2):
                client.sendall(request)
                assert receive(client, until=b"hello")
        assert asked == ["changing.example"]
        with raw(through) as client:
            client.sendall(request)
            assert b"source-guard-refused" in receive(client)
        with raw(through) as client:
            client.sendall(request)
            assert receive(client, until=b"hello")


def test_this_machine_is_refused_under_a_public_address_too(
    server: HttpDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "find_objection", lambda *_: "")
    with running_loop() as through:
        status, body = get(through, server.url)
    assert status == 403
    assert b"this server itself" in body
    assert server.requests == []


def test_each_request_of_a_connection_goes_to_its_own_host(guard: Guard, server: HttpDouble) -> None:
    other = HttpDouble(lambda _: Answer(200, {}, b"other")).start()
    try:
        with raw(guard.url) as client:
            for url, answer in ((server.url, b"hello"), (other.url, b"other"), (server.url, b"hello")):
                client.sendall(f"GET {url}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert receive(client, until=answer)
            client.sendall(b"GET http://10.0.0.1/ HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"source-guard-refused" in receive(client)
    finally:
        other.stop()
    assert (len(server.requests), len(other.requests)) == (2, 1)


def test_headers_for_the_proxy_stay_with_it(guard: Guard, server: HttpDouble) -> None:
    with raw(guard.url) as client:
        head = f"GET {server.url}/ HTTP/1.1\r\nProxy-Authorization: Basic eA==\r\nHost: x\r\nproxy-connection: close"
        client.sendall(f"{head}\r\nAccept: y\r\n\r\n".encode())
        receive(client, until=b"hello")
    (request,) = server.requests
    assert dict(request.headers) == {"host": "x", "accept": "y"}


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET https://1.1.1.1/ HTTP/1.1\r\n\r\n", 400),
        (b"GET ftp://1.1.1.1/ HTTP/1.1\r\n\r\n", 400),
        (b"GET http://user@1.1.1.1/ HTTP/1.1\r\n\r\n", 400),
        (b"GET http://1.1.1.1:99999/ HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT 1.1.1.1:0 HTTP/1.1\r\n\r\n", 400),
        (b"CONNECT /etc/passwd HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"POST http://127.0.0.1:1/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST http://127.0.0.1:1/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST http://127.0.0.1:1/ HTTP/1.1\r\nContent-Length: 1\r\nA: b\r\nContent-Length: 1\r\n\r\n", 400),
        (b"POST http://127.0.0.1:1/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST http://127.0.0.1:1/ HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 400),
        (b"GET http://127.0.0.1:1/ HTTP/1.1\r\nX: " + b"y" * 70_000, 431),
        (b"GET http://127.0.0.1:1/ HTTP/1.1\r\n\r\n", 502),
        (b"GET http://there-is-no-such-host.invalid/ HTTP/1.1\r\n\r\n", 502),
    ],
)
def test_what_makes_no_sense_is_answered_and_hung_up_on(guard: Guard, request_head: bytes, status: int) -> None:
    with raw(guard.url) as client:
        client.sendall(request_head)
        answer = receive(client)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    refusal = find_refusal(answer.decode())
    assert refusal
    assert refusal.cause == Cause.UNREACHABLE


@pytest.mark.parametrize("splice", [True, False])
def test_a_slow_reader_gets_everything_and_holds_up_nobody(server: HttpDouble, splice: bool) -> None:  # noqa: FBT001
    data = os.urandom(1 << 20) * 20
    server.handle = lambda request: Answer(200, {}, data if request.path == "/large" else b"small")
    with running_loop(*LOCAL, splice=splice) as through, raw(through) as client:
        client.sendall(f"GET {server.url}/large HTTP/1.0\r\n\r\n".encode())
        time.sleep(0.2)
        for _ in range(3):
            assert get(through, f"{server.url}/small") == (200, b"small")
        got = receive(client)
    assert got.partition(b"\r\n\r\n")[2] == data


def test_a_transfer_takes_no_memory(guard: Guard, server: HttpDouble) -> None:
    data = bytes(1 << 20) * 64
    server.handle = lambda _request: Answer(200, {}, data)
    process = guard_process(guard)
    get(guard.url, server.url)
    before = process.memory_info().rss
    readers = [threading.Thread(target=get, args=(guard.url, server.url)) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert process.memory_info().rss - before < 8 << 20
    assert process.num_threads() < 8


def test_no_more_connections_than_agreed(server: HttpDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy, "CONNECTIONS", 2)
    with running_loop(*LOCAL) as through, raw(through), raw(through) as second:
        done = threading.Event()

        def third() -> None:
            assert get(through, server.url) == (200, b"hello")
            done.set()

        thread = threading.Thread(target=third)
        thread.start()
        assert not done.wait(0.3)
        second.close()
        assert done.wait(10)
        thread.join()


def test_a_head_that_does_not_come_is_given_up(server: HttpDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    with running_loop(*LOCAL) as through, raw(through) as client:
        for byte in b"GET h":
            client.sendall(bytes([byte]))
            time.sleep(0.2)
        assert receive(client).startswith(b"HTTP/1.1 408 ")


def test_silence_ends(server: HttpDouble, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.5)
    with running_loop(*LOCAL) as through, raw(through) as client:
        assert receive(client) == b""


def guard_process(guard: Guard) -> psutil.Process:
    """Find the process of a guard of ours."""
    port = int(guard.url.rpartition(":")[2])
    assert get(guard.url, "http://10.0.0.1/")[0] == 403
    for child in psutil.Process().children():
        if any(found.laddr.port == port for found in child.net_connections("tcp")):
            return child
    raise AssertionError("the guard has no process")


def test_it_comes_back_under_the_same_address(guard: Guard, server: HttpDouble) -> None:
    url = guard.url
    guard_process(guard).kill()
    time.sleep(0.1)
    assert get(url, server.url) == (200, b"hello")
    assert guard.url == url


def test_it_can_be_closed_and_used_again(guard: Guard, server: HttpDouble) -> None:
    process = guard_process(guard)
    guard.close()
    guard.close()
    assert not process.is_running()
    assert get(guard.url, server.url) == (200, b"hello")


def test_many_threads_start_it_once(guard: Guard) -> None:
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(guard.url)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(urls)) == 1


SCRIPT = """
    import os, sys, time
    from datasets_app.sources.guard import Guard
    guard = Guard(["127.0.0.0/8"])
    print(guard.url, flush=True)
    if sys.argv[1] == "fork":
        child = os.fork()
        if not child:
            print(guard.url, flush=True)
            time.sleep(60)
    time.sleep(60)
"""


def start_script(mode: str) -> subprocess.Popen[str]:
    """Run a process with a guard of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), mode], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )


def gone(processes: list[psutil.Process]) -> bool:
    """Wait for the processes' end; who inherits them may take its time to bury them."""
    end = time.monotonic() + 10
    while any(is_alive(process) for process in processes):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_alive(process: psutil.Process) -> bool:
    """Tell whether it still does something."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_process(how: signal.Signals) -> None:
    with start_script("alone") as process:
        assert process.stdout
        process.stdout.readline()
        guards = psutil.Process(process.pid).children(recursive=True)
        assert len(guards) == 1
        process.send_signal(how)
        process.wait()
        assert gone(guards)


def test_a_forked_process_has_a_guard_of_its_own(server: HttpDouble) -> None:
    with start_script("fork") as process:
        assert process.stdout
        first, second = (process.stdout.readline().strip() for _ in range(2))
        assert first != second
        parent = psutil.Process(process.pid)
        forked = next(child for child in parent.children() if child.children())
        assert get(second, server.url) == (200, b"hello")
        theirs = forked.children()
        forked.kill()
        assert gone(theirs)
        assert get(first, server.url) == (200, b"hello")
        everything = parent.children(recursive=True)
        process.kill()
        process.wait()
        assert gone(everything)


def test_the_parents_guard_does_not_live_on_in_a_forked_child() -> None:
    with start_script("fork") as process:
        assert process.stdout
        for _ in range(2):
            process.stdout.readline()
        parent = psutil.Process(process.pid)
        forked = next(child for child in parent.children() if child.children())
        own = [child for child in parent.children() if child != forked]
        process.kill()
        process.wait()
        assert gone(own)
        orphans = [forked, *forked.children()]
        forked.kill()
        assert gone(orphans)


def test_wrong_networks_are_said_at_once() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Guard(["nonsense"])


def test_other_errors_are_not_taken_for_the_guards() -> None:
    assert find_refusal("HTTP 403: access denied") is None
