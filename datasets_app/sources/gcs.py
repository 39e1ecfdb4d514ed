"""Google Cloud Storage as a source. A source path is `bucket/folder` or `bucket/object`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from datasets_app.errors import ErrorItem, Invalid
from datasets_app.sources.base import Cause, CheckStep, Entry, Field, Route, Settings, SourceError, Walk
from datasets_app.sources.check_steps import Greeting, Reading, Step, count, run_steps
from datasets_app.sources.gcs_account import TOKEN_URI, Account, Key, read_key
from datasets_app.sources.gcs_client import ENDPOINT, GcsClient
from datasets_app.sources.gcs_errors import STORE
from datasets_app.sources.gcs_tree import FIELDS, GcsTree, to_file
from datasets_app.sources.places import Place, read_place
from datasets_app.sources.web import Web

if TYPE_CHECKING:
    from google.cloud.storage import Blob

# Entries on a page of the browser.
BROWSED: Final = 200
_PROJECT: Final = re.compile(r"[a-z0-9.:-]{4,100}")


class Access(StrEnum):
    """As whom the store is spoken to."""

    ACCOUNT = "account"
    PUBLIC = "public"


class GoogleCloudStorage:
    """The provider. `endpoint` and `token_uri` are for tests: users can't name them."""

    name = "gcs"
    label = STORE
    fields: Sequence[Field] = (
        Field(
            "access",
            "Sign in",
            kind="choice",
            choices=(
                (Access.ACCOUNT, "with a service account"),
                (Access.PUBLIC, "not at all: public buckets"),
            ),
            default=Access.ACCOUNT,
        ),
        Field(
            "service_account",
            "Key of the service account",
            kind="secret",
            required=True,
            placeholder='{"type": "service_account", …}',
            help="The whole JSON file, as the console gives it. The account needs the role Storage Object Viewer.",
            when=f"access={Access.ACCOUNT}",
        ),
        Field(
            "billing_project",
            "Billing project",
            help="Only where a bucket's owner wants the requester to pay.",
        ),
    )
    path_help = "bucket, or bucket/folder, or bucket/folder/object"
    has_revisions = False

    def __init__(self, *, endpoint: str = ENDPOINT, token_uri: str = TOKEN_URI) -> None:
        self._endpoint = endpoint
        self._token_uri = token_uri

    def clean(self, settings: Settings) -> Settings:
        """Normalise what the form gave; raises Invalid."""
        errors: list[ErrorItem] = []
        access = settings.values.get("access") or Access.ACCOUNT
        project = settings.values.get("billing_project", "").strip()
        if project and not _PROJECT.fullmatch(project):
            errors.append({"field": "billing_project", "detail": "A project is named like my-project-123456."})
        if project and access == Access.PUBLIC:
            detail = "Only who signs in can pay. Choose a service account, or leave this empty."
            errors.append({"field": "billing_project", "detail": detail})
        secrets: dict[str, str] = {}
        if access == Access.ACCOUNT:
            try:
                # Kept as it was given, so that the same file is accepted again.
                text = settings.secrets.get("service_account", "").strip()
                read_key(text, token_uri=self._token_uri)
                secrets["service_account"] = text
            except ValueError as error:
                errors.append({"field": "service_account", "detail": str(error)})
        if errors:
            raise Invalid(" ".join(item["detail"] for item in errors), errors=errors)
        return Settings({"access": access, "billing_project": project}, secrets)

    def connect(self, settings: Settings, route: Route) -> GcsSource:
        """Make the source."""
        web = Web(route, store=STORE)
        key: Key | None = None
        if text := settings.secrets.get("service_account"):
            try:
                key = read_key(text, token_uri=self._token_uri, is_checked=True)
            except ValueError as error:
                raise SourceError(Cause.CREDENTIALS, f"The key of the service account can't be used. {error}") from None
        account = Account(key, web, token_uri=self._token_uri)
        project = settings.values.get("billing_project", "")
        return GcsSource(GcsClient(account, web, endpoint=self._endpoint, billing_project=project))


class GcsSource:
    """A connected store."""

    def __init__(self, client: GcsClient) -> None:
        self.client = client

    def check(self, path: str = "") -> Iterator[CheckStep]:
        """Prove step by step that it can be used."""
        greeting = Greeting(self.client.web, f"{self.client.endpoint}/")
        steps: list[Step] = [
            ("Find the server", greeting.resolve),
            ("Connect", greeting.connect),
            ("Compare the clocks", greeting.compare_clocks),
            ("Sign in", self._sign_in),
        ]
        if path:
            reading = Reading(lambda: self.open(path), "object")
            steps += [("List", reading.list), ("Read one byte", reading.read)]
        else:
            steps.append(("List", self._list_buckets))
        return run_steps(steps)

    def browse(self, path: str = "", *, revision: str = "", cursor: str = "") -> Walk:
        """Give a page of the buckets of the account's project, or of what lies directly below `path`."""
        del revision
        place = read_place(path, "gs")
        if not place.bucket:
            return self._browse_buckets(cursor)
        found = self.client.library.list_blobs(
            self.client.bucket(place.bucket),
            prefix=place.folder or None,
            delimiter="/",
            fields=f"prefixes,{FIELDS}",
            page_size=BROWSED,
            page_token=cursor or None,
            retry=None,
        )
        page = next(found.pages, ())
        files = [to_file(blob, place.folder) for blob in page if blob.name != place.folder]
        names = sorted(str(name) for name in found.prefixes)
        entries = [
            Entry(name[len(place.folder) :].removesuffix("/"), place.path_of(name), is_folder=True) for name in names
        ]
        entries += [Entry(file.path, f"{place.bucket}/{file.key}", is_folder=False, size=file.size) for file in files]
        onward = found.next_page_token or None
        if not (entries or onward or cursor) and place.prefix != place.folder:
            only = self._first(place, place.prefix)
            if only is not None and only.name == place.prefix:
                name = place.prefix[place.prefix.rfind("/") + 1 :]
                entries = [Entry(name, f"{place.bucket}/{only.name}", is_folder=False, size=only.size)]
        return Walk(entries, onward)

    def revisions(self, path: str) -> list[str]:
        """Return none: a bucket has no revisions."""
        del path
        return []

    def open(self, path: str, *, revision: str = "") -> GcsTree:
        """Find out what lies at `path`."""
        del revision
        place = read_place(path, "gs")
        if not place.bucket:
            raise SourceError(Cause.INVALID, "A source path begins with a bucket: bucket/folder.")
        try:
            if self._first(place, place.folder) or not place.prefix:
                return GcsTree(self.client, place)
            # Of all keys that begin like this, the one that is exactly this comes first.
            only = self._first(place, place.prefix)
        except SourceError as error:
            # Some may read an object, but not list the bucket.
            if error.cause != Cause.DENIED or place.prefix == place.folder:
                raise
            only = self._get(place, error)
        if only is None or only.name != place.prefix:
            raise SourceError(Cause.MISSING, f"There is nothing at {place.shown}.")
        return GcsTree(self.client, place, only=to_file(only, place.prefix[: place.prefix.rfind("/") + 1]))

    def _first(self, place: Place, prefix: str) -> Blob | None:
        bucket = self.client.bucket(place.bucket)
        found = self.client.library.list_blobs(bucket, prefix=prefix or None, fields=FIELDS, max_results=1, retry=None)
        return next(iter(found), None)

    def _get(self, place: Place, refusal: SourceError) -> Blob:
        blob = self.client.bucket(place.bucket).blob(place.prefix)
        try:
            blob.reload(retry=None)
        except SourceError as error:
            raise refusal if error.cause in {Cause.DENIED, Cause.MISSING} else error from None
        return blob

    def _sign_in(self) -> str:
        if not self.client.account.email:
            return "No credentials are used: only public buckets can be read."
        self.client.account.headers()
        return f"Google signs {self.client.account.email} in."

    def _list_buckets(self) -> str:
        if not self.client.account.email:
            return "Give a source path to have it listed."
        try:
            walk = self.browse()
        except SourceError as error:
            if error.cause != Cause.DENIED:
                raise
            return "The account may not list buckets: type the bucket in the source path."
        return f"{count(len(walk.entries), 'bucket')} on the first page."

    def _browse_buckets(self, cursor: str) -> Walk:
        if not self.client.account.project:
            detail = "Without a service account, buckets can't be listed. Type the name of a public bucket."
            raise SourceError(Cause.DENIED, detail)
        try:
            found = self.client.library.list_buckets(
                max_results=BROWSED, page_token=cursor or None, fields="items(name),nextPageToken", retry=None
            )
            names = [str(bucket.name) for bucket in next(found.pages, ())]
        except SourceError as error:
            if error.cause != Cause.DENIED:
                raise
            detail = "This service account may not list buckets. Type the name of a bucket that it may read."
            raise SourceError(Cause.DENIED, detail) from error
        return Walk([Entry(name, name, is_folder=True) for name in names], found.next_page_token or None)
