"""GET and POST for stores that are plain HTTP: by the route's proxy, in bounded memory and time, with errors in words.

On urllib3, which measured best: see docs/decisions. Nothing is taken from the environment, no redirect is followed, no
cookie is kept, nothing is decoded and nothing tried again: what a body means and what to do is the caller's.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import certifi
import urllib3

from datasets_app.sources.base import Cause, Route, SourceError
from datasets_app.sources.guard import find_refusal
from datasets_app.sources.network_errors import explain_network_error

CONNECT_SECONDS: Final = 15.0
READ_SECONDS: Final = 60.0
# A body that comes slower than this on average, in bytes a second, is given up: a thread waits for it.
SLOWEST: Final = 16 * 1024
# Connections that are kept open to one host.
KEPT: Final = 32
BLOCK: Final = 1 << 20
# What is read of the body of an error.
ERROR_BYTES: Final = 64 * 1024
FIRST_ERROR: Final = 300


class Reply(NamedTuple):
    """What came back. `data` is the body as it was sent; header names may be in any case."""

    status: int
    headers: Mapping[str, str]
    data: bytes
    url: str

    @property
    def ok(self) -> bool:
        """Whether it is a success (2xx). Redirects are none."""
        return self.status < FIRST_ERROR


@lru_cache(maxsize=8)
def trust(ca_bundle: Path | None) -> ssl.SSLContext:
    """Return the certificates that are trusted: certifi's, this machine's, and those of a file."""
    context = urllib3.util.create_urllib3_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    context.load_verify_locations(certifi.where())
    context.load_default_certs()
    if ca_bundle:
        context.load_verify_locations(ca_bundle)
    return context


def _proxy_headers(proxy: str) -> dict[str, str]:
    """Return how to sign in at a proxy whose URL names a user; urllib3 leaves that to its caller."""
    parts = urlsplit(proxy)
    if parts.username is None:
        return {}
    return dict(urllib3.make_headers(proxy_basic_auth=f"{unquote(parts.username)}:{unquote(parts.password or '')}"))


class Web:
    """A client for one store, which errors call `store`. Safe to use from several threads."""

    def __init__(self, route: Route, *, store: str, patience: float = READ_SECONDS) -> None:
        self.route = route
        self.store = store
        self.patience = patience
        options = {
            "maxsize": KEPT,
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=patience),
            "ssl_context": trust(route.ca_bundle),
        }
        self._pool: urllib3.PoolManager = (
            urllib3.ProxyManager(route.proxy, proxy_headers=_proxy_headers(route.proxy), **options)  # type: ignore[arg-type]
            if route.proxy
            else urllib3.PoolManager(**options)  # type: ignore[arg-type]
        )

    def get(self, url: str, *, headers: Mapping[str, str], limit: int) -> Reply:
        """Read a body of at most `limit` bytes; one more is returned where there are more."""
        return self._send("GET", url, headers, None, limit)

    def post(self, url: str, *, headers: Mapping[str, str], body: bytes, limit: int) -> Reply:
        """Send a body and read one of at most `limit` bytes."""
        return self._send("POST", url, headers, body, limit)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, limit: int) -> Reply:
        host = urlsplit(url).hostname or url
        try:
            response = self._pool.request(
                method, url, headers=headers, body=body, redirect=False, retries=False, preload_content=False
            )
            try:
                most = limit + 1 if response.status < FIRST_ERROR else ERROR_BYTES
                reply = Reply(response.status, response.headers, self._read(response, most, host), url)
            finally:
                # A connection whose body was not read to the end can't bring another answer.
                if response.length_remaining:
                    response.close()
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise explain_network_error(error, host=host, store=self.store) from error
        # Of a request that was not for a tunnel, the guard's refusal is an answer like any other.
        if "X-Source-Guard" in reply.headers and (refusal := find_refusal(reply.data.decode(errors="replace"))):
            raise refusal
        return reply

    def _read(self, response: urllib3.BaseHTTPResponse, most: int, host: str) -> bytes:
        pieces: list[bytes] = []
        size, begin = 0, time.monotonic()
        while size < most and (piece := response.read1(min(BLOCK, most - size), decode_content=False)):
            pieces.append(piece)
            size += len(piece)
            if time.monotonic() - begin > self.patience + size / SLOWEST:
                raise SourceError(Cause.UNREACHABLE, f"{host} sends too slowly: it was given up after {size} bytes.")
        return b"".join(pieces)
