"""A server before the S3 server: it sees every request, and fails on demand."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.servers import S3Server
from tests.sources.http_double import Answer, HttpDouble, Request

LISTING = "list-type=2"
NOT_FORWARDED = frozenset({"transfer-encoding", "connection", "content-length"})


class S3Front(HttpDouble):
    """Passes requests on as they are: the signature covers the name by which the client calls this server."""

    def __init__(self, server: S3Server) -> None:
        super().__init__(self._forward)
        self._backend = urlsplit(server.endpoint).netloc

    def reads(self, key: str = "") -> list[str]:
        """Return the requests for bytes of objects, below a key or of all."""
        return [line for line in self.lines(rf"^GET /[^/?]+/[^?]*{key}") if LISTING not in line]

    def _forward(self, request: Request) -> Answer:
        target = request.path + (f"?{request.query}" if request.query else "")
        connection = http.client.HTTPConnection(self._backend, timeout=60)
        try:
            connection.request(request.method, target, request.body or None, dict(request.headers))
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in NOT_FORWARDED}
            if request.method == "HEAD" and (length := response.getheader("Content-Length")):
                kept["Content-Length"] = length
            return Answer(response.status, kept, response.read())
        except (http.client.HTTPException, OSError):
            # As a load balancer does when what is behind it is down.
            return Answer(502)
        finally:
            connection.close()


@contextmanager
def serve_front(server: S3Server) -> Iterator[S3Front]:
    """Run the front."""
    front = S3Front(server).start()
    try:
        yield front
    finally:
        front.stop()
