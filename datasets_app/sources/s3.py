"""Stores that speak S3: Amazon's, MinIO and its like, Cloudflare R2. Their differences are in `s3_profiles`.

A source path is `bucket/folder`, or `bucket/object` where no folder of this name holds anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from datasets_app.sources.base import PAGE_FILES, Cause, CheckStep, Data, Entry, Page, SourceError, SourceFile, Walk
from datasets_app.sources.places import Place, read_place
from datasets_app.sources.s3_clients import S3Clients
from datasets_app.sources.s3_errors import BOTO_ERRORS, Where, explain_boto
from datasets_app.sources.s3_etags import Etags
from datasets_app.sources.s3_listing import LISTED, Listed, to_source_file
from datasets_app.sources.s3_reader import S3Reader, once_more

if TYPE_CHECKING:
    from datasets_app.sources.base import Route
    from datasets_app.sources.s3_profiles import Profile

# A page of the browser.
BROWSED: Final = 200
_DOTS: Final = re.compile(r"(^|/)\.{1,2}(/|$)")


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
        answer = self.list_page(place, limit=BROWSED, ContinuationToken=cursor, Delimiter="/")
        names = [item["Prefix"] for item in answer.get("CommonPrefixes", ())]
        entries = [_folder_entry(place, name) for name in names]
        entries += [
            Entry(item.key[len(place.folder) :], f"{place.bucket}/{item.key}", is_folder=False, size=item.size)
            for item in answer[LISTED]
            if item.key != place.folder
        ]
        onward = answer.get("NextContinuationToken")
        if not (entries or onward or cursor) and place.prefix != place.folder and (only := self._list_object(place)):
            name = only.key[only.key.rfind("/") + 1 :]
            entries = [Entry(name, f"{place.bucket}/{only.key}", is_folder=False, size=only.size)]
        return Walk(entries, onward)

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
        """Ask for a page of a listing, with ListObjectsV2's parameters in `more`."""
        given: dict[str, Any] = {name: value for name, value in more.items() if value} | self.payer
        given = {"Prefix": place.folder, **given}

        def ask() -> dict[str, Any]:
            with self.asking(place.shown):
                answer = self.clients.boto(place.bucket).list_objects_v2(Bucket=place.bucket, MaxKeys=limit, **given)
            return cast("dict[str, Any]", answer)

        return once_more(ask)

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
        self._reader = S3Reader(source, place)
        self._etags = Etags(self._reader, self._list_first, are_md5=source.profile.has_md5_etags)

    def list_files(self, *, after: str = "") -> Iterator[Page]:
        """List in pages, in the order of the keys; a cursor is the last key."""
        if self._only is not None:
            if after < self._only.key:
                yield Page([self._only], self._only.key)
            return
        token = ""
        while True:
            begin = {"ContinuationToken": token} if token else {"StartAfter": after}
            answer = self._source.list_page(self._place, limit=PAGE_FILES, **begin)
            listed: Sequence[Listed] = answer[LISTED]
            # A store may give more than it was asked for. Pages that hold nothing are given too, so that whoever reads
            # can stop where they don't end; the cursor stays where it was.
            for start in range(0, max(len(listed), 1), PAGE_FILES):
                some = listed[start : start + PAGE_FILES]
                after = some[-1].key if some else after
                yield Page([self._to_file(item) for item in some if not item.is_marker], after)
            token = answer.get("NextContinuationToken", "")
            if not token or not answer.get("IsTruncated"):
                return

    def fetch(self, file: SourceFile) -> Data:
        """Read a whole object, and compare it with its ETag where that is an MD5."""
        data = self._reader.read(file, {})
        self._etags.verify(file, data)
        return data

    def fetch_range(self, file: SourceFile, offset: int, length: int) -> Data:
        """Read a range of it."""
        return self._reader.read(file, {"range": (offset, offset + length)})

    def look_up(self, file: SourceFile) -> SourceFile:
        """Ask for the checksum that was kept when the object was written."""
        return self._etags.find_checksum(file)

    def _list_first(self) -> list[SourceFile]:
        page = next(self.list_files(), None)
        return page.files if page else []

    def _to_file(self, item: Listed) -> SourceFile:
        file = to_source_file(item, self._place.folder)
        if _DOTS.search(item.key):
            return file._replace(problem='Its key has a part "." or "..", which gets lost on the way to the store.')
        return file


def _folder_entry(place: Place, prefix: str) -> Entry:
    return Entry(prefix[len(place.folder) :].removesuffix("/"), place.path_of(prefix), is_folder=True)
