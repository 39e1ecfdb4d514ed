"""A TLS reverse proxy as operators put in front of the application; bodies stream through it both ways."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, cast

import pytest
from typing_extensions import override

BLOCK: Final = 64 * 1024
# Of one connection only (RFC 9110, section 7.6.1); the lengths are set anew.
HOP_BY_HOP: Final = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "expect"}


@dataclass
class Forwarding:
    """Where requests go, and how: operators' proxies differ in what they do with the path and the host."""

    upstream_port: int
    prefix: str
    strips_prefix: bool = False
    names_port: bool = True
    # Method and path of requests that are not below the prefix; they get 404, as another application would answer.
    strays: list[str] = field(default_factory=list)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for 127.0.0.1; return it and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    return certificate, key


class Proxy(ThreadingHTTPServer):
    """Listens with TLS; each connection has a thread, in which also its handshake is done."""

    daemon_threads = True
    forwarding: Forwarding

    def __init__(self, port: int, certificate: tuple[Path, Path]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Browsers break connections off all the time."""


class Handler(BaseHTTPRequestHandler):
    """Forwards every request of a connection."""

    protocol_version = "HTTP/1.1"
    timeout = 120

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""

    def forward(self) -> None:
        """Send the request on, and its answer back."""
        forwarding = cast("Proxy", self.server).forwarding
        path = self.path.partition("?")[0]
        if path != forwarding.prefix and not path.startswith(f"{forwarding.prefix}/"):
            forwarding.strays.append(f"{self.command} {self.path}")
            self.close_connection = True
            self.send_error(404)
            return
        target = self.path.removeprefix(forwarding.prefix) or "/" if forwarding.strips_prefix else self.path
        upstream = http.client.HTTPConnection("127.0.0.1", forwarding.upstream_port, timeout=120)
        with contextlib.closing(upstream), contextlib.suppress(ConnectionError, ssl.SSLError):
            self._send_request(upstream, target, forwarding)
            self._send_answer(upstream.getresponse())

    def _send_request(self, upstream: http.client.HTTPConnection, target: str, forwarding: Forwarding) -> None:
        length = self.headers.get("Content-Length")
        assert "Transfer-Encoding" not in self.headers, "browsers send lengths"
        given = self.headers["Host"]
        host = given if forwarding.names_port else given.partition(":")[0]
        upstream.putrequest(self.command, target, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in HOP_BY_HOP:
                upstream.putheader(name, value)
        for name, value in {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}.items():
            upstream.putheader(name, value)
        upstream.putheader("X-Forwarded-For", self.client_address[0])
        upstream.endheaders()
        left = int(length or 0)
        while left and (block := self.rfile.read1(min(left, BLOCK))):
            left -= len(block)
            try:
                upstream.send(block)
            except ConnectionError:
                # It was refused before its body was read: the answer is there all the same.
                self.close_connection = True
                return

    def _send_answer(self, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        has_body = self.command != "HEAD" and answer.status not in {204, 304}
        chunked = has_body and answer.getheader("Content-Length") is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while has_body and (block := answer.read1(BLOCK)):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_HEAD = do_POST = do_PATCH = do_PUT = do_DELETE = do_OPTIONS = forward  # noqa: N815


@contextmanager
def serve_proxy(port: int, folder: Path, forwarding: Forwarding) -> Iterator[Proxy]:
    """Run the proxy on the port of the loopback interface."""
    proxy = Proxy(port, make_certificate(folder))
    proxy.forwarding = forwarding
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
