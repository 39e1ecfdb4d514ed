"""The Hugging Face Hub, and its mirrors: datasets and models as sources.

A source path is `org/repository` or `org/repository/folder`; a model's begins with `models/`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from datasets_app.errors import ErrorItem, Invalid
from datasets_app.sources.base import Cause, CheckStep, Entry, Field, Route, Settings, SourceError, Walk
from datasets_app.sources.hub_client import HubClient
from datasets_app.sources.hub_errors import RepositoryMissing, bad_token, lacks_repository
from datasets_app.sources.hub_paths import DATASETS, MODELS, PATH_HELP, Place, read_place, read_repository
from datasets_app.sources.hub_tree import HubTree, read_entries, to_file, tree_path

ENDPOINT: Final = "https://huggingface.co"
DEFAULT_BRANCH: Final = "main"
# Repositories on a page of the browser.
BROWSED: Final = 100
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,500}")
_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")


class HuggingFaceHub:
    """The provider."""

    name = "huggingface"
    label = "Hugging Face Hub"
    fields: Sequence[Field] = (
        Field(
            "token",
            "Access token",
            kind="secret",
            placeholder="hf_…",
            help="Needed for private and gated repositories. Make one that reads at huggingface.co/settings/tokens.",
        ),
        Field(
            "endpoint",
            "Endpoint",
            default=ENDPOINT,
            placeholder=ENDPOINT,
            help="Change it for a mirror only: the token is sent there.",
            is_place=True,
        ),
    )
    path_help = PATH_HELP
    has_revisions = True

    def clean(self, settings: Settings) -> Settings:
        """Normalise what the form gave; raises Invalid."""
        errors: list[ErrorItem] = []
        token = settings.secrets.get("token", "").strip()
        if token and not _TOKEN.fullmatch(token):
            errors.append({"field": "token", "detail": "An access token has no spaces; it begins with hf_."})
        endpoint = _read_endpoint(settings.values.get("endpoint", "").strip() or ENDPOINT)
        if endpoint is None:
            errors.append({"field": "endpoint", "detail": f"An endpoint looks like {ENDPOINT}."})
        if errors or endpoint is None:
            raise Invalid(" ".join(item["detail"] for item in errors), errors=errors)
        return Settings({"endpoint": endpoint}, {"token": token} if token else {})

    def connect(self, settings: Settings, route: Route) -> HubSource:
        """Make the source."""
        endpoint = settings.values.get("endpoint") or ENDPOINT
        return HubSource(HubClient(endpoint, settings.secrets.get("token", ""), route))


class HubSource:
    """A connected Hub."""

    def __init__(self, client: HubClient) -> None:
        self.client = client

    def check(self, path: str = "") -> Iterator[CheckStep]:
        """Prove step by step that it can be used."""
        from datasets_app.sources.hub_check import check_hub

        return check_hub(self, path)

    def browse(self, path: str = "", *, revision: str = "", cursor: str = "") -> Walk:
        """Give a page of the repositories of a namespace ("" is the token's own), or of a repository's folder."""
        place = read_place(path)
        if place.is_repository:
            return self._browse_folder(place, revision or DEFAULT_BRANCH, cursor)
        namespaces = [place.name] if place.name else self._namespaces()
        kinds = (place.kind,) if path.strip("/") else (DATASETS, MODELS)
        return self._browse_repositories([(kind, name) for name in namespaces for kind in kinds], cursor)

    def revisions(self, path: str) -> list[str]:
        """Return branches and tags, main first, then what the Hub converted (`refs/convert/parquet`)."""
        place = read_repository(path)
        refs = self._ask(place, f"{place.api}/refs")
        try:
            branches = [str(ref["name"]) for ref in refs["branches"]]
            tags = [str(ref["name"]) for ref in refs.get("tags", ())]
            converts = [str(ref["ref"]) for ref in refs.get("converts", ())]
        except (KeyError, TypeError, AttributeError) as error:
            raise SourceError(Cause.INVALID, "What came as a list of revisions is not one.") from error
        return sorted(branches, key=lambda name: name != DEFAULT_BRANCH) + tags + converts

    def open(self, path: str, *, revision: str = "") -> HubTree:
        """Pin a revision (main, if empty) to its commit, and see to it that the bytes may be read."""
        place = read_repository(path)
        sha = self.pin(place, revision)
        if not place.below:
            return HubTree(self.client, place, sha)
        entry = self._find(place, sha)
        if entry is not None and entry.get("type") == "directory":
            return HubTree(self.client, place, sha)
        if entry is None or place.is_folder:
            kind = "folder" if place.is_folder else "file or folder"
            raise SourceError(Cause.MISSING, f"There is no {kind} {place.below} in {place.shown} at this revision.")
        only = to_file(entry, place.below.rpartition("/")[0])
        return HubTree(self.client, place, sha, only=only)

    def pin(self, place: Place, revision: str = "") -> str:
        """Return the commit that a revision is now. Raises SourceError, also when a gate is closed."""
        info = self.describe(place, revision)
        if info.get("gated"):
            self.pass_gate(place)
        return str(info["sha"])

    def describe(self, place: Place, revision: str = "") -> dict[str, Any]:
        """Return what the Hub says of a repository: sha, gated, private. Raises SourceError when it can't be seen."""
        # Some properties only: of all files' names there may be a million.
        query = urlencode({"expand": ["sha", "gated", "private"]}, doseq=True)
        below = f"/revision/{quote(revision, safe='')}" if revision else ""
        info = self._ask(place, f"{place.api}{below}", query)
        if not isinstance(info, dict) or not isinstance(info.get("sha"), str):
            raise SourceError(Cause.INVALID, "The Hub does not say which commit the revision is.")
        return info

    def pass_gate(self, place: Place) -> None:
        """Ask whether the files of a gated repository may be read. Raises SourceError (GATED)."""
        try:
            self.client.ask(f"{place.api}/auth-check", place=place)
        except SourceError as error:
            # A mirror may not know the question; then reading will tell.
            if error.cause not in {Cause.MISSING, Cause.INVALID}:
                raise

    def whoami(self) -> dict[str, Any]:
        """Return the account of the token, and what the token may do. Raises SourceError (CREDENTIALS)."""
        try:
            found, _ = self.client.ask("/api/whoami-v2")
        except SourceError as error:
            if error.cause == Cause.CREDENTIALS:
                raise bad_token(self.client.endpoint) from error
            raise
        if not isinstance(found, dict):
            raise SourceError(Cause.INVALID, "The Hub does not say whose token it is.")
        return found

    def _ask(self, place: Place, path: str, query: str = "") -> Any:  # noqa: ANN401
        """Ask for something of a repository; when there is none, find out why."""
        try:
            return self.client.ask(path, query, place=place)[0]
        except RepositoryMissing as error:
            raise self._explain_missing(place, error) from error

    def _explain_missing(self, place: Place, error: SourceError) -> SourceError:
        """Say why a repository can't be seen: it is of the other kind, or the token was made without it."""
        other = place._replace(kind=DATASETS if place.kind == MODELS else MODELS, below="")
        try:
            self.client.ask(other.api, "expand=sha", place=other)
        except SourceError:
            pass
        else:
            return SourceError(Cause.MISSING, f"{place.name} is {other.shown}. As a source path, write {other.path}.")
        if not self.client.has_token:
            return error
        try:
            grants = read_grants(self.whoami())
        except SourceError as trouble:
            return trouble if trouble.cause == Cause.CREDENTIALS else error
        if grants is not None and not grants & {place.name, place.name.partition("/")[0]}:
            return lacks_repository(place, self.client.endpoint)
        return error

    def _namespaces(self) -> list[str]:
        if not self.client.has_token:
            return []
        account = self.whoami()
        orgs = account.get("orgs") or []
        return [str(one["name"]) for one in (account, *orgs) if isinstance(one, dict) and one.get("name")]

    def _browse_repositories(self, wanted: list[tuple[str, str]], cursor: str) -> Walk:
        """List one kind of one namespace after the other; the cursor is its number, and the query of the page."""
        number, _, query = cursor.partition(" ")
        index = int(number) if number.isdecimal() else 0
        while index < len(wanted):
            kind, name = wanted[index]
            ours = urlencode({"author": name, "limit": BROWSED})
            found, onward = self.client.ask(f"/api/{kind}", query or ours)
            following = f"{index} {onward}" if onward else f"{index + 1} " if index + 1 < len(wanted) else None
            entries = [
                Entry(str(one["id"]), Place(kind, str(one["id"])).path, is_folder=True, detail=_describe(one, kind))
                for one in read_entries(found)
                if "id" in one
            ]
            if entries or following is None:
                return Walk(entries, following)
            index, query = index + (not onward), onward
        return Walk([], None)

    def _browse_folder(self, place: Place, revision: str, cursor: str) -> Walk:
        try:
            entries, onward = self.client.ask(tree_path(place, revision), cursor, place=place)
        except RepositoryMissing as error:
            raise self._explain_missing(place, error) from error
        except SourceError as error:
            if error.cause == Cause.MISSING and place.below and (entry := self._find(place, revision)):
                return Walk([_to_entry(place, entry)], None)
            raise
        return Walk([_to_entry(place, entry) for entry in read_entries(entries) if "path" in entry], onward or None)

    def _find(self, place: Place, revision: str) -> dict[str, Any] | None:
        """Return the entry of the file or folder that the source path names."""
        path = f"{place.api}/paths-info/{quote(revision, safe='')}"
        found = read_entries(self.client.tell(path, {"paths": [place.below], "expand": False}, place=place))
        return next((entry for entry in found if entry.get("path") == place.below), None)


def read_grants(account: dict[str, Any]) -> set[str] | None:
    """Return the repositories and namespaces that a fine-grained token was made for; None for a token of all."""
    try:
        access = account["auth"]["accessToken"]
        if access["role"] != "fineGrained":
            return None
        return {str(scope["entity"]["name"]) for scope in access["fineGrained"]["scoped"] if scope["permissions"]}
    except (KeyError, TypeError):
        return None


def _to_entry(place: Place, entry: dict[str, Any]) -> Entry:
    path = str(entry["path"])
    is_folder = entry.get("type") == "directory"
    size = None if is_folder else int(entry.get("size") or 0)
    return Entry(path.rpartition("/")[2], f"{place.path}/{path}", is_folder=is_folder, size=size)


def _describe(found: dict[str, Any], kind: str) -> str:
    words = [kind.removesuffix("s")]
    words += [word for word in ("private", "gated") if found.get(word)]
    return ", ".join(words)


def _read_endpoint(text: str) -> str | None:
    """Normalise an address, which may have a path (mirrors behind other servers do); None for what is none."""
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    extra = parts.query or parts.fragment or parts.username or parts.password
    path = parts.path.rstrip("/")
    if parts.scheme not in {"http", "https"} or extra or not _HOST.fullmatch(host):
        return None
    if not re.fullmatch(r"[A-Za-z0-9._~/-]*", path) or ".." in path:
        return None
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}"
