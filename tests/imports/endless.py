"""A store with as many objects as one likes, that keeps none of them: it lists, and every object is its own key."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qs, unquote

from tests.sources.http_double import Answer, HttpDouble, Request

XML = {"Content-Type": "application/xml"}


class EndlessStore(HttpDouble):
    """`count` objects of ListObjectsV2; no signature is checked.

    After the first page come `empty` that hold nothing, and say that there is more (-1: no others come).
    """

    def __init__(self, count: int, *, empty: int = 0) -> None:
        super().__init__(self._serve)
        self.count = count
        self.empty = empty
        # Objects on a page: None for as many as are asked for.
        self.most: int | None = None

    def key(self, number: int) -> str:
        """Return the key of an object; keys sort as their numbers do."""
        return f"data/part-{number // 1000:05}/sample-{number:08}.txt"

    def _serve(self, request: Request) -> Answer:
        # A million requests are not to be remembered.
        if len(self.requests) > 5000:
            self.forget()
        if "list-type=2" in request.query:
            return Answer(200, XML, self._list(parse_qs(request.query)))
        key = unquote(request.path).split("/", 2)[-1]
        body = key.encode()
        return Answer(200, {"ETag": _etag(key), "Content-Type": "text/plain"}, body)

    def _list(self, query: dict[str, list[str]]) -> bytes:
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        after, _, seen = after.partition(" ")
        if after and int(seen or 0) != self.empty:
            return self._page("", f"{after} {int(seen or 0) + 1}", 0)
        first = int(after.rsplit("-", 1)[1].removesuffix(".txt")) + 1 if after else 0
        last = min(first + (self.most or int(query.get("max-keys", ["1000"])[0])), self.count)
        items = "".join(self._item(number) for number in range(first, last))
        more = last < self.count
        return self._page(items, self.key(last - 1) if more else "", last - first)

    def _page(self, items: str, token: str, count: int) -> bytes:
        more = bool(token)
        token = f"<NextContinuationToken>{token}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>endless</Name><KeyCount>{count}</KeyCount>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{items}</ListBucketResult>"
        ).encode()

    def _item(self, number: int) -> str:
        key = self.key(number)
        return (
            f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>{_etag(key).replace(chr(34), '&quot;')}</ETag><Size>{len(key)}</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
        )


def _etag(key: str) -> str:
    return f'"{hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()}"'
