"""The bytes of a bucket's objects: by obstore, and by botocore where obstore can't, or where more has to be known."""

from __future__ import annotations

import re
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

import obstore
from obstore.exceptions import BaseError

from datasets_app.sources import s3_clients
from datasets_app.sources.base import Cause, Data, SourceError, SourceFile
from datasets_app.sources.s3_errors import explain_obstore, is_certificate, is_connecting
from datasets_app.sources.s3_listing import etag_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from obstore import GetOptions

    from datasets_app.sources.places import Place
    from datasets_app.sources.s3 import S3Source

T = TypeVar("T")

# Keys that obstore would write otherwise: empty parts, "." and "..", control characters.
_ODD: Final = re.compile(r"(^|/)(\.{0,2})(/|$)|[\x00-\x1f\x7f]")
_RANGE: Final = re.compile(r"bytes (\d+)-")
# As botocore hands out a body: little, so that one that trickles is noticed.
SLOW_BYTES: Final = 512
HICCUP_SECONDS: Final = 0.1
LONGEST_HICCUP: Final = 5.0
# For so long nobody asks a store again that said it was busy, but not for how long.
ASKED_SECONDS: Final = 1.0


class Coming(NamedTuple):
    """What botocore was asked for: `size` bytes that have to be here by `until`, a moment of the monotonic clock."""

    file: SourceFile
    body: StreamingBody
    size: int
    until: float


class S3Reader:
    """Reads objects, as they were listed. Safe to use from several threads."""

    def __init__(self, source: S3Source, place: Place) -> None:
        self._source = source
        self._place = place
        self._needs_botocore = False
        # What a busy store said last, and until when that is believed.
        self._busy_until = 0.0
        self._is_told = False
        self._asking = threading.Lock()
        with source.asking(place.shown):
            self._store = source.clients.store(place.bucket)

    def read(self, file: SourceFile, options: GetOptions) -> Data:
        """Read an object, or a range of it."""
        if etag := etag_of(file):
            options["if_match"] = etag
        return once_more(lambda: self._read(file, options), even_busy=False)

    def head(self, file: SourceFile) -> dict[str, Any]:
        """Ask for what the store keeps beside the bytes, its checksum for instance."""
        etag = etag_of(file)
        given: dict[str, Any] = {"IfMatch": etag} if etag else {}

        def ask() -> dict[str, Any]:
            with self._source.asking(self._what(file)):
                answer = self._boto().head_object(
                    Bucket=self._place.bucket, Key=file.key, ChecksumMode="ENABLED", **given, **self._source.payer
                )
            return cast("dict[str, Any]", answer)

        return once_more(ask)

    def _read(self, file: SourceFile, options: GetOptions) -> Data:
        if not self._needs_botocore and not _ODD.search(file.key):
            try:
                found = obstore.get(self._store, file.key, options=options)
                self._expect(file, options, found.range)
                # A view: a copy would cost as much as half of the hashing.
                return memoryview(found.bytes())
            except (BaseError, OSError) as error:
                failure = error
            # Not raised as its cause: obstore's text holds the request's headers, and so the session token.
            if is_connecting(failure):
                self._connect_otherwise(failure)
            if not self._needs_botocore:
                told = explain_obstore(failure, self._source.where(self._what(file)))
                if told.cause != Cause.BUSY:
                    raise told
                return self._hear_how_long(file, options, told)
        return self._read_slowly(file, options)

    def _expect(self, file: SourceFile, options: GetOptions, coming: tuple[int, int]) -> None:
        """Take nothing into memory that is larger than what was listed, or another part of it than was asked for."""
        wanted = cast("tuple[int, int]", options.get("range", (0, file.size)))
        if coming != wanted:
            # A store that doesn't mind If-Match.
            what = f"{self._what(file)} was listed with {file.size} bytes"
            raise SourceError(Cause.CHANGED, f"{what}, but its bytes {coming[0]} to {coming[1]} come.")

    def _hear_how_long(self, file: SourceFile, options: GetOptions, busy: SourceError) -> Data:
        """Put the same question by botocore, which tells Retry-After: one thread for all that were refused."""
        with self._asking:
            left = self._busy_until - time.monotonic()
            if left > 0:
                raise SourceError(Cause.BUSY, busy.detail, retry_after=left if self._is_told else None)
            self._busy_until, self._is_told = time.monotonic() + ASKED_SECONDS, False
            try:
                coming = self._ask_slowly(file, options)
            except SourceError as error:
                if error.retry_after:
                    self._busy_until, self._is_told = time.monotonic() + error.retry_after, True
                raise
        # The others need not wait for the bytes.
        return self._take_slowly(coming)

    def _connect_otherwise(self, error: Exception) -> None:
        """Find out why obstore got no connection, which it does not tell; raises SourceError when it is known."""
        with self._source.asking(self._place.shown):
            self._boto().head_bucket(Bucket=self._place.bucket)
        # A self-signed certificate that calls itself an authority, as OpenSSL makes them: obstore's TLS refuses it
        # whatever is trusted.
        if is_certificate(error):
            self._needs_botocore = True

    def _read_slowly(self, file: SourceFile, options: GetOptions) -> bytes:
        return self._take_slowly(self._ask_slowly(file, options))

    def _ask_slowly(self, file: SourceFile, options: GetOptions) -> Coming:
        """Ask botocore for the bytes; nothing of them is read yet."""
        until = time.monotonic() + s3_clients.REQUEST_SECONDS
        given: dict[str, Any] = {"IfMatch": options["if_match"]} if "if_match" in options else {}
        first, end = cast("tuple[int, int]", options.get("range", (0, file.size)))
        if "range" in options:
            given["Range"] = f"bytes={first}-{end - 1}"
        with self._source.asking(self._what(file)):
            answer = self._boto().get_object(Bucket=self._place.bucket, Key=file.key, **given, **self._source.payer)
        coming = Coming(file, answer["Body"], end - first, until)
        try:
            # As obstore tells of which bytes come; where it is not told how many, they are counted.
            start = int(found[1]) if (found := _RANGE.match(answer.get("ContentRange", ""))) else 0
            self._expect(file, options, (start, start + answer.get("ContentLength", end - first)))
        except SourceError:
            coming.body.close()
            raise
        return coming

    def _take_slowly(self, coming: Coming) -> bytes:
        """Read them: no more than were asked for, and not for ever. Botocore minds silence only."""
        what = self._what(coming.file)
        data = bytearray()
        with closing(coming.body) as body, self._source.asking(what):
            while piece := body.read(SLOW_BYTES):
                data += piece
                if len(data) > coming.size:
                    raise SourceError(Cause.CHANGED, f"{what} has more than the {coming.size} bytes that should come.")
                if time.monotonic() > coming.until:
                    where = self._source.where(self._place.shown)
                    raise SourceError(Cause.UNREACHABLE, f"{where.host} sends too slowly: it was given up.")
        return bytes(data)

    def _what(self, file: SourceFile) -> str:
        return f"{self._place.bucket}/{file.key}"

    def _boto(self) -> S3Client:
        return self._source.clients.boto(self._place.bucket)


def once_more(work: Callable[[], T], *, even_busy: bool = True) -> T:
    """Forgive one hiccup; where a store says for how long it wants to be left alone, that is for the caller to do."""
    began = time.monotonic()
    try:
        return work()
    except SourceError as error:
        is_short = time.monotonic() - began < LONGEST_HICCUP
        if not error.transient or error.retry_after or not is_short or (error.cause == Cause.BUSY and not even_busy):
            raise
    time.sleep(HICCUP_SECONDS)
    return work()
