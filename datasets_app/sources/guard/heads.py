"""Requests as a forward proxy reads them (RFC 9112), and the answers that the guard gives itself."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

HEAD_BYTES: Final = 64 * 1024
REFUSED: Final = "source-guard-refused"
FAILED: Final = "source-guard-failed"
UNKNOWN: Final = "source-guard-unknown"
ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"

_REQUEST: Final = re.compile(rb"([A-Z]{1,16}) (?:http://)?([^ /?#@]+)((?:[/?][^ ]*)?) (HTTP/1\.[01])\r\n")
_AUTHORITY: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PROXY_HEADER: Final = re.compile(rb"(?i)(?<=\r\n)proxy-[^\r]*\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n")


class Target(NamedTuple):
    """Where a client wants to go."""

    host: str
    port: int


class Request(NamedTuple):
    """A head that was read: the one that `target` gets in its place (none for a tunnel), and the body's length."""

    target: Target
    is_tunnel: bool
    head: bytes
    body_length: int


class Answer(Exception):
    """An answer of the guard's own: a status, a marker, and a sentence without quotes, brackets or line breaks."""

    def __init__(self, status: int, marker: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.marker, self.sentence = status, marker, sentence

    def encode(self) -> bytes:
        """Return its bytes. The reason and a header hold the sentence too: clients show only one of them."""
        text = f"{self.marker}: {self.sentence}"
        body = f"<?xml version='1.0'?><Error><Code>{self.marker}</Code><Message>{text}</Message></Error>"
        head = (
            f"HTTP/1.1 {self.status} {text}\r\nX-Source-Guard: {text}\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return (head + body).encode("ascii", "replace")


def read_head(head: bytes) -> Request:
    """Read a head that ends with the line break of its last header. Raises Answer for what no client of ours sends."""
    line = _REQUEST.match(head)
    if line is None:
        raise Answer(400, FAILED, "Only CONNECT and http URLs are understood here.")
    method, authority, path, version = line.groups()
    is_tunnel = method == b"CONNECT"
    if is_tunnel:
        host, _, port = authority.rpartition(b":")
        if b":" in host and not host.startswith(b"["):
            # So Python's own client writes IPv6 addresses, before 3.13.
            authority = b"[%b]:%b" % (host, port)
        return Request(_read_authority(authority, 443), is_tunnel=True, head=b"", body_length=0)
    if not head.startswith(b"http://", len(method) + 1):
        raise Answer(400, FAILED, "Only CONNECT and http URLs are understood here.")
    # The line break before the first header belongs to it in the patterns.
    headers = head[line.end() - 2 :]
    lowered = headers.lower()
    if b"\r\ntransfer-encoding:" in lowered:
        raise Answer(411, FAILED, "A request with a body must say its length.")
    lengths = _LENGTH.findall(lowered)
    if len(lengths) != lowered.count(b"\r\ncontent-length") or len(lengths) > 1:
        raise Answer(400, FAILED, "The length of the request is unclear.")
    if b"\r\nproxy-" in lowered:
        headers = _PROXY_HEADER.sub(b"", headers)
    path = path if path.startswith(b"/") else b"/" + path
    forwarded = b"%b %b %b%b\r\n" % (method, path, version, headers)
    return Request(_read_authority(authority, 80), False, forwarded, int(lengths[0]) if lengths else 0)


def _read_authority(text: bytes, default_port: int) -> Target:
    found = _AUTHORITY.fullmatch(text)
    port = int(found[3] or default_port) if found else 0
    if found is None or not 0 < port < 1 << 16:
        raise Answer(400, FAILED, "The host or port is not one.")
    return Target((found[1] or found[2]).decode(), port)
