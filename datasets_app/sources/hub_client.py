"""Requests to a Hugging Face Hub: its documented HTTP endpoints, by the route's proxy.

huggingface_hub's own calls share one client for the whole process, which would carry one connection's proxy into
another's requests, sleep through rate limits, and read whole answers into memory; hence its building blocks only.
The token goes to the Hub's origin and nowhere else. https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urljoin, urlsplit

from huggingface_hub import hf_hub_url
from huggingface_hub.utils import build_hf_headers

from datasets_app.sources.base import Cause, Route, SourceError
from datasets_app.sources.hub_errors import busy, elsewhere, explain, wait_of
from datasets_app.sources.hub_paths import Place
from datasets_app.sources.web import Reply, Web

# A page of a listing is some 400 kB.
ANSWER_BYTES: Final = 16 << 20
REDIRECTS: Final = 5
# Where a large file's bytes are is signed for an hour; each look-up counts against the rate limit.
LINK_SECONDS: Final = 600.0
LINKS: Final = 1024
_NEXT: Final = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class Got(NamedTuple):
    """An answer, the one before all redirects, and whether it came from another server."""

    reply: Reply
    first: Reply
    is_elsewhere: bool


class HubClient:
    """Talks to one Hub with one token. Safe to use from several threads."""

    def __init__(self, endpoint: str, token: str, route: Route) -> None:
        self.endpoint = endpoint
        self.has_token = bool(token)
        self.web = Web(route, store="the Hugging Face Hub")
        # An explicit False: otherwise the library takes the token of this machine.
        headers = build_hf_headers(token=token or False, library_name="flexai-dataset-manager")
        self._headers = {**headers, "accept-encoding": "identity"}
        self._origin = _origin(endpoint)
        self._lock = threading.Lock()
        self._pauses: dict[str, float] = {}
        self._links: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def ask(self, path: str, query: str = "", *, place: Place | None = None) -> tuple[Any, str]:
        """Get JSON, and the query of its next page ("" if there is none). Raises SourceError."""
        got = self._follow(f"{self.endpoint}{path}{'?' if query else ''}{query}", {}, ANSWER_BYTES)
        data = self._parse(self._require(got.reply, place))
        found = _NEXT.search(got.reply.headers.get("Link", ""))
        # Mirrors link to the original, and a link must not carry the token away: only the query is taken.
        onward = urlsplit(found[1]).query if found else ""
        if onward and onward == query:
            raise SourceError(Cause.INVALID, "The Hub's listing repeats itself.")
        return data, onward

    def tell(self, path: str, fields: Mapping[str, object], *, place: Place) -> Any:  # noqa: ANN401
        """Post a form and get JSON; a redirect is an error."""
        headers = {**self._headers, "content-type": "application/x-www-form-urlencoded"}
        self._wait_for("api")
        body = urlencode(fields, doseq=True).encode()
        reply = self.web.post(f"{self.endpoint}{path}", headers=headers, body=body, limit=ANSWER_BYTES)
        self._heed("api", reply)
        return self._parse(self._require(reply, place))

    def read(self, place: Place, sha: str, path: str, limit: int) -> Got:
        """Read a whole file; of one with more than `limit` bytes, one byte more."""
        got = self._follow(self._address(place, sha, path), {}, limit)
        self._require(got.reply, place, is_elsewhere=got.is_elsewhere)
        return got

    def read_range(self, place: Place, sha: str, path: str, span: tuple[int, int]) -> Got:
        """Read the bytes from the first to before the second number of `span`."""
        first, end = span
        headers = {"range": f"bytes={first}-{end - 1}"}
        address = self._address(place, sha, path)
        if link := self._known_link(address):
            reply = self.web.get(link, headers={"accept-encoding": "identity", **headers}, limit=end - first)
            if reply.ok:
                return Got(reply, reply, is_elsewhere=True)
            # Signed too long ago, perhaps: the Hub knows where it is now.
            self._forget_link(address)
        got = self._follow(address, headers, end - first)
        self._require(got.reply, place, is_elsewhere=got.is_elsewhere)
        if got.is_elsewhere:
            self._remember_link(address, got.reply.url)
        return got

    def _address(self, place: Place, sha: str, path: str) -> str:
        kind = place.kind.removesuffix("s")
        return hf_hub_url(place.name, path, repo_type=kind, revision=sha, endpoint=self.endpoint)

    def _follow(self, url: str, headers: Mapping[str, str], limit: int) -> Got:
        """Get, also behind redirects; once they leave the Hub, the token stays behind."""
        kind = "api" if urlsplit(url).path.startswith(f"{urlsplit(self.endpoint).path}/api/") else "resolvers"
        self._wait_for(kind)
        first: Reply | None = None
        is_elsewhere = False
        for _ in range(REDIRECTS + 1):
            mine = {"accept-encoding": "identity"} if is_elsewhere else self._headers
            reply = self.web.get(url, headers={**mine, **headers}, limit=limit)
            if not is_elsewhere:
                self._heed(kind, reply)
            first = first or reply
            location = reply.headers.get("Location", "")
            if reply.status not in {301, 302, 303, 307, 308} or not location:
                return Got(reply, first, is_elsewhere)
            target = urljoin(url, location)
            if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
                raise SourceError(Cause.INVALID, "The Hub redirects to an address that is not encrypted.")
            is_elsewhere = is_elsewhere or _origin(target) != self._origin
            url = target
        raise SourceError(Cause.INVALID, "The Hub redirects in circles.")

    def _require(self, reply: Reply, place: Place | None, *, is_elsewhere: bool = False) -> Reply:
        if reply.ok:
            return reply
        if is_elsewhere:
            raise elsewhere(reply)
        raise explain(reply, place, endpoint=self.endpoint, has_token=self.has_token)

    def _parse(self, reply: Reply) -> Any:  # noqa: ANN401
        try:
            return json.loads(reply.data)
        except ValueError as error:
            host = urlsplit(self.endpoint).hostname
            raise SourceError(Cause.INVALID, f"{host} does not answer as a Hugging Face Hub does.") from error

    # --- rate limits: when nothing is left of one, nobody asks until the Hub's window is over

    def _wait_for(self, kind: str) -> None:
        left = self._pauses.get(kind, 0.0) - time.monotonic()
        if left > 0:
            raise busy(left)

    def _heed(self, kind: str, reply: Reply) -> None:
        wait = wait_of(reply.headers) if reply.ok or reply.status == 429 else None  # noqa: PLR2004
        if wait:
            with self._lock:
                self._pauses[kind] = max(self._pauses.get(kind, 0.0), time.monotonic() + wait)

    # --- where large files are

    def _known_link(self, address: str) -> str:
        with self._lock:
            link, until = self._links.get(address, ("", 0.0))
        return link if time.monotonic() < until else ""

    def _remember_link(self, address: str, link: str) -> None:
        with self._lock:
            self._links[address] = (link, time.monotonic() + LINK_SECONDS)
            if len(self._links) > LINKS:
                self._links.popitem(last=False)

    def _forget_link(self, address: str) -> None:
        with self._lock:
            self._links.pop(address, None)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)
