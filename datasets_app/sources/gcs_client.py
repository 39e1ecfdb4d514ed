"""The clients of one connection to Google Cloud Storage: google-cloud-storage for questions, plain GETs for bytes.

Both send by the same small HTTP client, so by the route. The bytes do not go through Google's library, which takes four
times the CPU for small objects, and sums up in Python: see docs/decisions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.gcs_errors import CHANGED, STORE, explain
from datasets_app.sources.web import Reply, Web

if TYPE_CHECKING:
    from datasets_app.sources.base import SourceFile
    from datasets_app.sources.gcs_account import Account

ENDPOINT: Final = "https://storage.googleapis.com"
# A page of a thousand objects with the longest names.
ANSWER_BYTES: Final = 16 << 20
UNAUTHORIZED: Final = 401


class GcsClient:
    """Asks and reads. Safe to use from several threads."""

    def __init__(self, account: Account, web: Web, *, endpoint: str, billing_project: str = "") -> None:
        self.account = account
        self.web = web
        self.endpoint = endpoint
        self.billing_project = billing_project
        # The library itself signs nothing: its requests go through `_Session`. It has to be told some project.
        self.library = storage.Client(
            project=account.project or "none",
            credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
            _http=_Session(self),
            client_options={"api_endpoint": endpoint},
        )
        # For traces that nobody takes here, it would ask in a thread of its own for what few accounts may know.
        self.library._bucket_metadata_cache = None  # noqa: SLF001

    def bucket(self, name: str) -> storage.Bucket:
        """Return a bucket of the library's; asks nothing."""
        return self.library.bucket(name, user_project=self.billing_project or None)

    def read(self, bucket: str, file: SourceFile, span: tuple[int, int] | None = None) -> Reply:
        """Read an object, or the bytes from the first to before the second number of `span`, at its generation."""
        query = {"alt": "media", "ifGenerationMatch": file.tag}
        if self.billing_project:
            query["userProject"] = self.billing_project
        # The name is one part of the path, whatever it holds.
        name = quote(file.key, safe="")
        address = f"{self.endpoint}/download/storage/v1/b/{quote(bucket, safe='')}/o/{name}?{urlencode(query)}"
        # Objects that were stored compressed come as they are stored; otherwise size and checksum would be others'.
        headers = {"accept-encoding": "gzip"}
        if span:
            headers["range"] = f"bytes={span[0]}-{span[1] - 1}"
        reply = self.get(address, headers, limit=span[1] - span[0] if span else file.size)
        if reply.headers.get("X-Goog-Generation", file.tag) != file.tag:
            raise SourceError(Cause.CHANGED, CHANGED.format(what=f"{bucket}/{file.key}"))
        return reply

    def get(self, url: str, headers: Mapping[str, str], *, limit: int) -> Reply:
        """Send a signed GET; a token that is refused is replaced once. Raises SourceError."""
        signed = self.account.headers()
        reply = self.web.get(url, headers={**headers, **signed}, limit=limit)
        if reply.status == UNAUTHORIZED and signed:
            signed = self.account.headers(anew=signed["authorization"])
            reply = self.web.get(url, headers={**headers, **signed}, limit=limit)
        if not reply.ok:
            raise explain(reply, what=_what(url), who=self.account.email)
        return reply


@dataclass(frozen=True)
class _Answer:
    """As much of requests' response as the library looks at."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, Any]:
        try:
            found = json.loads(self.content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise SourceError(Cause.INVALID, f"What answers is not {STORE}.")
        return found


class _Session:
    """As much of requests' session as the library uses. Errors are raised here, before it could wrap them."""

    is_mtls = False

    def __init__(self, client: GcsClient) -> None:
        self._client = client

    def request(self, method: str, url: str, headers: Mapping[str, str], **_more: object) -> _Answer:
        if method != "GET":
            raise NotImplementedError(method)
        kept = {name: value for name, value in headers.items() if name.lower() != "accept-encoding"}
        reply = self._client.get(url, {**kept, "accept-encoding": "identity"}, limit=ANSWER_BYTES)
        return _Answer(reply.status, reply.headers, reply.data)

    def close(self) -> None:
        """Keep the connections: they are the client's."""


def _what(url: str) -> str:
    """Name the bucket or object of an address."""
    _, found, rest = urlsplit(url).path.partition("/b/")
    bucket, _, name = rest.partition("/o/")
    if not found:
        return "the list of buckets"
    return unquote(f"{bucket.removesuffix('/o')}/{name}".rstrip("/"))
