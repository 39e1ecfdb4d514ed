"""Stores that speak S3: Amazon's, MinIO and its like, Cloudflare R2. Their differences are in `s3_profiles`.

A source path is `bucket/folder`, or `bucket/object` where no folder of this name holds anything.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError

from datasets_app.sources.base import PAGE_FILES, Cause, CheckStep, Data, Entry, Page, SourceError, SourceFile, Walk
from datasets_app.sources.places import Place, read_place
from datasets_app.sources.s3_clients import S3Clients
from datasets_app.sources.s3_errors import (
    BOTO_ERRORS,
    Where,
    explain_boto,
    explain_obstore,
    is_certificate,
    is_connecting,
)
from datasets_app.sources.s3_listing import LISTED, Listed, etag_of, to_source_file

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore import GetOptions

    from datasets_app.sources.base import Route
    from datasets_app.sources.s3_profiles import Profile

# A page of the browser.
BROWSED: Final = 200
# Keys that obstore would write otherwise: empty parts, "." and "..", control characters.
_ODD: Final = re.compile(r"(^|/)(\.{0,2})(/|$)|[\x00-\x1f\x7f]")
_DOTS: Final = re.compile(r"(^|/)\.{1,2}(/|$)")
# Checksums of whole objects that S3 keeps and that are quick to compute here.
CHECKSUMS: Final = (("ChecksumCRC32C", "crc32c"), ("ChecksumCRC32", "crc32"), ("ChecksumSHA1", "sha1"))


class S3Source:
    """A connected store."""

    def __init__(self, profile: Profile, route: Route) -> None:
        self.profile = profile
        self.route = route
        self.clients = S3Clients(profile, route)

    def check(self, path: str = "") -> Iterator[CheckStep]:
        """Prove step by step that it can be used."""
        from datasets_app.sources.s3_check import check_source

        return check_source(self, path)

    def browse(self, path: str = "", *, revision: str = "", cursor: str = "") -> Walk:
        """Give a page of buckets, or of what lies directly below `path`."""
        del revision
        place = read_place(path, "s3")
        if not place.bucket:
            return self._browse_buckets(cursor)
        with self.asking(place.shown):
            answer = self.list_page(place, limit=BROWSED, ContinuationToken=cursor, Delimiter="/")
        names = [item["Prefix"] for item in answer.get("CommonPrefixes", ())]
        entries = [_folder_entry(place, name) for name in names]
        entries += [
            Entry(item.key[len(place.folder) :], f"{place.bucket}/{item.key}", is_folder=False, size=item.size)
            for item in answer[LISTED]
            if item.key != place.folder
        ]
        return Walk(entries, answer.get("NextContinuationToken"))

    def revisions(self, path: str) -> list[str]:
        """Return none: a bucket has no revisions."""
        del path
        return []

    def open(self, path: str, *, revision: str = "") -> S3Tree:
        """Find out what lies at `path`."""
        del revision
        place = read_place(path, "s3")
        if not place.bucket:
            raise SourceError(Cause.INVALID, "A source path begins with a bucket: bucket/folder.")
        try:
            with self.asking(place.shown):
                if self.list_page(place, limit=1)[LISTED] or not place.prefix:
                    return S3Tree(self, place)
                only = self._list_object(place)
        except SourceError as error:
            # Some may read an object, but not list the bucket.
            if error.cause != Cause.DENIED or place.prefix == place.folder:
                raise
            only = self._find_object(place)
            if only is None:
                raise
        if only is None:
            raise SourceError(Cause.MISSING, f"There is nothing at {place.shown}.")
        return S3Tree(self, place, only=to_source_file(only, only.key[: only.key.rfind("/") + 1]))

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Turn what botocore raises into SourceError; `what` is the bucket or object that is asked for."""
        try:
            yield
        except BOTO_ERRORS as error:
            raise explain_boto(error, self.where(what)) from error

    def where(self, what: str) -> Where:
        """Say where a request went, for messages."""
        endpoint = self.clients.endpoint
        return Where(self.profile.store, urlsplit(endpoint).hostname or endpoint, what)

    def list_page(self, place: Place, *, limit: int, **more: str) -> dict[str, Any]:
        """Ask for a page of a listing, with ListObjectsV2's parameters in `more`. Raises botocore's errors."""
        given: dict[str, Any] = {name: value for name, value in more.items() if value} | self.payer
        client = self.clients.boto(place.bucket)
        given = {"Prefix": place.folder, **given}
        answer = client.list_objects_v2(Bucket=place.bucket, MaxKeys=limit, **given)
        return cast("dict[str, Any]", answer)

    @property
    def payer(self) -> dict[str, Any]:
        """What a request needs where the requester pays."""
        return {"RequestPayer": "requester"} if self.profile.requester_pays else {}

    def _browse_buckets(self, cursor: str) -> Walk:
        given: dict[str, Any] = {"ContinuationToken": cursor} if cursor else {}
        try:
            with self.asking("the list of buckets"):
                answer = self.clients.boto().list_buckets(**given)
        except SourceError as error:
            if error.cause != Cause.DENIED:
                raise
            detail = "These credentials may not list buckets. Type the name of a bucket that they may read."
            raise SourceError(Cause.DENIED, detail) from error
        names = sorted(item["Name"] for item in answer.get("Buckets", ()))
        return Walk([Entry(name, name, is_folder=True) for name in names], answer.get("ContinuationToken"))

    def _list_object(self, place: Place) -> Listed | None:
        # Of all keys that begin like this, the one that is exactly this comes first.
        listed: Sequence[Listed] = self.list_page(place, limit=1, Prefix=place.prefix)[LISTED]
        return listed[0] if listed and listed[0].key == place.prefix else None

    def _find_object(self, place: Place) -> Listed | None:
        try:
            with self.asking(place.shown):
                answer = self.clients.boto(place.bucket).head_object(
                    Bucket=place.bucket, Key=place.prefix, **self.payer
                )
        except SourceError as error:
            if error.cause in {Cause.MISSING, Cause.DENIED}:
                return None
            raise
        modified = f"{answer['LastModified']:%Y-%m-%dT%H:%M:%S}Z"
        return Listed(place.prefix, answer["ContentLength"], answer.get("ETag", ""), modified)


class S3Tree:
    """All objects below a folder of a bucket, or `only` one."""

    revision = ""

    def __init__(self, source: S3Source, place: Place, *, only: SourceFile | None = None) -> None:
        self._source = source
        self._place = place
        self._only = only
        self._needs_botocore = False
        with source.asking(place.shown):
            self._store = source.clients.store(place.bucket)

    def list_files(self, *, after: str = "") -> Iterator[Page]:
        """List in pages, in the order of the keys; a cursor is the last key."""
        if self._only is not None:
            if after < self._only.key:
                yield Page([self._only], self._only.key)
            return
        source, place, token = self._source, self._place, ""
        while True:
            with source.asking(place.shown):
                begin = {"ContinuationToken": token} if token else {"StartAfter": after}
                answer = source.list_page(place, limit=PAGE_FILES, **begin)
            listed: Sequence[Listed] = answer[LISTED]
            if listed:
                files = [self._to_file(item) for item in listed if not item.is_marker]
                yield Page(files, listed[-1].key)
            token = answer.get("NextContinuationToken", "")
            if not token or not answer.get("IsTruncated"):
                return

    def fetch(self, file: SourceFile) -> Data:
        """Read a whole object."""
        return self._get(file, {})

    def fetch_range(self, file: SourceFile, offset: int, length: int) -> Data:
        """Read a range of it."""
        return self._get(file, {"range": (offset, offset + length)})

    def look_up(self, file: SourceFile) -> SourceFile:
        """Ask for the checksum that was kept when the object was written.

        ETags are not taken for MD5: of parts, of encrypted objects and of some servers they are something else.
        """
        etag = etag_of(file)
        given: dict[str, Any] = {"IfMatch": etag} if etag else {}
        with self._source.asking(self._what(file)):
            answer = self._boto().head_object(
                Bucket=self._place.bucket, Key=file.key, ChecksumMode="ENABLED", **given, **self._source.payer
            )
        return _with_checksum(file, cast("dict[str, Any]", answer))

    def _get(self, file: SourceFile, options: GetOptions) -> Data:
        if etag := etag_of(file):
            options["if_match"] = etag
        if not self._needs_botocore and not _ODD.search(file.key):
            try:
                # A view: a copy would cost as much as half of the hashing.
                return memoryview(obstore.get(self._store, file.key, options=options).bytes())
            except (BaseError, OSError) as error:
                failure = error
            # Not raised as its cause: obstore's text holds the request's headers, and so the session token.
            if is_connecting(failure):
                self._connect_otherwise(failure)
            if not self._needs_botocore:
                raise explain_obstore(failure, self._source.where(self._what(file)))
        return self._get_slowly(file, options)

    def _connect_otherwise(self, error: Exception) -> None:
        """Find out why obstore got no connection, which it does not tell; raises SourceError when it is known."""
        with self._source.asking(self._place.shown):
            self._boto().head_bucket(Bucket=self._place.bucket)
        # A self-signed certificate that calls itself an authority, as OpenSSL makes them: obstore's TLS refuses it
        # whatever is trusted.
        if is_certificate(error):
            self._needs_botocore = True

    def _get_slowly(self, file: SourceFile, options: GetOptions) -> bytes:
        """Read an object whose key obstore would change, or whose server it does not trust."""
        given: dict[str, Any] = {"IfMatch": options["if_match"]} if "if_match" in options else {}
        if "range" in options:
            first, end = cast("tuple[int, int]", options["range"])
            given["Range"] = f"bytes={first}-{end - 1}"
        with self._source.asking(self._what(file)):
            answer = self._boto().get_object(Bucket=self._place.bucket, Key=file.key, **given, **self._source.payer)
            with closing(answer["Body"]) as body:
                return body.read()

    def _to_file(self, item: Listed) -> SourceFile:
        file = to_source_file(item, self._place.folder)
        if _DOTS.search(item.key):
            return file._replace(problem='Its key has a part "." or "..", which gets lost on the way to the store.')
        return file

    def _what(self, file: SourceFile) -> str:
        return f"{self._place.bucket}/{file.key}"

    def _boto(self) -> S3Client:
        return self._source.clients.boto(self._place.bucket)


def _folder_entry(place: Place, prefix: str) -> Entry:
    return Entry(prefix[len(place.folder) :].removesuffix("/"), place.path_of(prefix), is_folder=True)


def _with_checksum(file: SourceFile, answer: dict[str, Any]) -> SourceFile:
    # Of an object that came in parts, it may be a checksum of checksums: then it ends with their number.
    whole = answer.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT"
    sha256 = answer.get("ChecksumSHA256", "")
    if whole and sha256 and "-" not in sha256:
        return file._replace(sha256=base64.b64decode(sha256))
    for field, name in CHECKSUMS:
        value = answer.get(field, "")
        if whole and value and "-" not in value:
            return file._replace(checksum=f"{name}:{base64.b64decode(value).hex()}")
    return file
