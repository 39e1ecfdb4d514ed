"""A store with one object as large as one likes, of bytes that are made when they are asked for."""

from __future__ import annotations

import hashlib
import random
import re

from tests.sources.http_double import Answer, HttpDouble, Request

KEY = "huge.bin"
BLOCK = 2**20


class HugeStore(HttpDouble):
    """One object; no signature is checked."""

    def __init__(self, size: int) -> None:
        super().__init__(self._serve)
        self.size = size
        self._noise = random.Random(size).randbytes(BLOCK)

    def offsets(self) -> list[int]:
        """Return where the ranges began that were asked for so far."""
        found = (re.match(r"bytes=(\d+)-", request.headers.get("range", "")) for request in list(self.requests))
        return [int(one[1]) for one in found if one]

    def digest(self) -> bytes:
        """Hash the object."""
        sha256 = hashlib.sha256()
        for offset in range(0, self.size, BLOCK):
            sha256.update(self._make(offset, min(offset + BLOCK, self.size)))
        return sha256.digest()

    def _serve(self, request: Request) -> Answer:
        if "list-type" in request.query:
            item = (
                f"<Contents><Key>data/{KEY}</Key><Size>{self.size}</Size><ETag>&quot;{'0' * 32}-9&quot;</ETag>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
            body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{item}</ListBucketResult>"
            return Answer(200, {"Content-Type": "application/xml"}, body.encode())
        headers = {"ETag": f'"{"0" * 32}-9"', "Accept-Ranges": "bytes"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if asked is None:
            return Answer(200, headers | {"Content-Length": str(self.size)})
        first, last = int(asked[1]), min(int(asked[2]), self.size - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{self.size}"
        return Answer(206, headers, self._make(first, last + 1))

    def _make(self, first: int, end: int) -> bytes:
        """Make bytes of which no two blocks are alike."""
        pieces = []
        for number in range(first // BLOCK, (end - 1) // BLOCK + 1):
            block = number.to_bytes(8, "big") + self._noise[8:]
            pieces.append(block[max(first - number * BLOCK, 0) : end - number * BLOCK])
        return b"".join(pieces)
