"""HTTP servers on the loopback interface that misbehave on demand: what the doubles of remote stores are made of."""

import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

PIECE: Final = 65536


@dataclass(frozen=True)
class Request:
    """What arrived. `path` is as it was sent, percent-encoded; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def line(self) -> str:
        """Method, path and query, as faults match it."""
        return f"{self.method} {self.path}{'?' if self.query else ''}{self.query}"

    @property
    def authorization(self) -> str:
        """The header, empty when it was not sent."""
        return self.headers.get("authorization", "")


@dataclass
class Answer:
    """What goes back. A HEAD request gets the headers of this body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Fault:
    """Something that goes wrong with the next `times` requests whose line matches (-1: with all of them).

    `status`, `headers` and `body` replace the answer. `delay` is in seconds before it, `rate` in bytes/s while the body
    is sent, `stall` seconds of silence in the middle of it, `cut` the number of its bytes after which the connection
    breaks (also before the headers: -1).
    `spoil` flips a bit of the body. `then` runs before the answer is made.
    """

    match: str
    times: int = 1
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    rate: int = 0
    stall: float = 0.0
    cut: int | None = None
    spoil: bool = False
    then: Callable[[], object] | None = None


def take_range(headers: Mapping[str, str], body: bytes, answer: dict[str, str]) -> Answer:
    """Answer a GET with the one range that it asks for, or with everything."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", headers.get("range", ""))
    if asked is None:
        return Answer(200, {**answer, "Accept-Ranges": "bytes"}, body)
    first = int(asked[1])
    last = min(int(asked[2]) if asked[2] else len(body) - 1, len(body) - 1)
    if first > last:
        return Answer(416, {**answer, "Content-Range": f"bytes */{len(body)}"})
    return Answer(
        206, {**answer, "Content-Range": f"bytes {first}-{last}/{len(body)}"}, bytes(memoryview(body)[first : last + 1])
    )


class HttpDouble:
    """A server whose answers are made by a function; it remembers the requests and can be told to fail."""

    def __init__(self, handle: Callable[[Request], Answer]) -> None:
        self.handle = handle
        self.requests: list[Request] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Listen, on the port of the last time if there was one."""
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop listening and break every connection, as a killed server does. It can be started again."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def fail(self, match: str, **how: object) -> Fault:
        """Let requests fail whose line ("GET /path?query") is found by the regular expression; see `Fault`."""
        fault = Fault(match, **how)  # type: ignore[arg-type]
        with self._lock:
            self._faults.append(fault)
        return fault

    def recover(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def forget(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self.requests.clear()

    def lines(self, match: str = "") -> list[str]:
        """Return the lines of the requests so far that match."""
        with self._lock:
            return [request.line for request in self.requests if re.search(match, request.line)]

    def note(self, request: Request) -> Fault | None:
        """Remember a request and return what goes wrong with it."""
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.times != 0 and re.search(fault.match, request.line):
                    fault.times -= 1
                    return fault
        return None

    def opened(self, connection: socket.socket) -> None:
        """Remember an open connection."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body are two writes: with Nagle's algorithm the second waits 40 ms.
    disable_nagle_algorithm = True
    owner: HttpDouble

    def setup(self) -> None:
        """Make the connection known."""
        super().setup()
        self.owner.opened(self.connection)

    def finish(self) -> None:
        """Forget it."""
        self.owner.closed(self.connection)
        try:
            super().finish()
        except OSError:
            return

    def handle(self) -> None:
        """Answer until the connection breaks."""
        try:
            super().handle()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: the requests are remembered."""

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            method=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )
        fault = self.owner.note(request)
        if fault is None:
            self._send(self.owner.handle(request), Fault(""))
            return
        if fault.then is not None:
            fault.then()
        if fault.delay:
            time.sleep(fault.delay)
        if fault.status is not None:
            self._send(Answer(fault.status, dict(fault.headers), fault.body), fault)
        else:
            self._send(self.owner.handle(request), fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815

    def _send(self, answer: Answer, fault: Fault) -> None:
        if fault.cut == -1:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = answer.body
        if fault.spoil and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        whole = memoryview(body)
        if fault.cut is not None:
            whole = whole[: fault.cut]
            self.close_connection = True
        if fault.stall:
            half = len(whole) // 2
            self.wfile.write(whole[:half])
            time.sleep(fault.stall)
            whole = whole[half:]
        step = max(fault.rate // 20, 1) if fault.rate else PIECE
        for offset in range(0, len(whole), step):
            piece = whole[offset : offset + step]
            self.wfile.write(piece)
            if fault.rate:
                time.sleep(len(piece) / fault.rate)
