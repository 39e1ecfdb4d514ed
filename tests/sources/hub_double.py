"""A Hugging Face Hub on the loopback interface: the endpoints that huggingface_hub calls, with its errors and limits.

Large files are answered with a redirect to a second server, another origin, which remembers whether a token came along.
"""

import base64
import json
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode

from tests.sources.http_double import Answer, HttpDouble, Request, take_range
from tests.sources.hub_repositories import LFS_PATTERNS, HubFile, HubRepository, HubToken

API: Final = re.compile(
    r"/api/(?P<kind>datasets|models)/(?P<name>[^/]+/[^/]+|[^/]+)"
    r"(?:/(?P<verb>revision|tree|refs|paths-info|auth-check)(?:/(?P<rest>.*))?)?"
)
RESOLVE: Final = re.compile(r"/(?:(?P<kind>datasets)/)?(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)")


class Refused(Exception):
    """An answer that is an error, with the Hub's two headers."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer = Answer(status, headers | {"Content-Type": "application/json"}, _json({"error": message}))


@dataclass
class Window:
    """A fixed window of a rate limit: `quota` requests in `seconds`."""

    quota: int
    seconds: float
    began: float = field(default_factory=time.monotonic)
    used: int = 0

    def take(self, kind: str) -> tuple[bool, dict[str, str]]:
        """Count a request; tell whether it is allowed, and the headers."""
        now = time.monotonic()
        if now - self.began >= self.seconds:
            self.began, self.used = now, 0
        self.used += 1
        left = max(self.quota - self.used, 0)
        wait = int(self.began + self.seconds - now) + 1
        return self.used <= self.quota, {
            "RateLimit": f'"{kind}";r={left};t={wait}',
            "RateLimit-Policy": f'"fixed window";"{kind}";q={self.quota};w={int(self.seconds)}',
        }


def _json(data: object) -> bytes:
    return json.dumps(data).encode()


class Hub(HttpDouble):
    """The Hub. `cdn` is the other origin that large files come from; `page_files` the length of a page of a listing."""

    def __init__(self) -> None:
        super().__init__(self._handle)
        self.cdn = HttpDouble(self._handle_cdn)
        self.repositories: dict[tuple[str, str], HubRepository] = {}
        self.tokens: dict[str, HubToken] = {}
        self.moved: dict[str, str] = {}
        self.windows: dict[str, Window] = {}
        self.page_files = 1000
        # What links to next pages begin with, if not this server: mirrors forget to change them.
        self.linked_as = ""
        self._blobs: dict[str, bytes] = {}
        self._signature = 0
        self._limits = threading.Lock()

    def start(self) -> Self:
        """Start both servers."""
        self.cdn.start()
        return super().start()

    def stop(self) -> None:
        """Stop both servers."""
        super().stop()
        self.cdn.stop()

    def add_repository(
        self,
        name: str,
        files: Mapping[str, bytes] | None = None,
        *,
        kind: str = "datasets",
        private: bool = False,
        gated: bool | str = False,
        lfs: tuple[str, ...] = LFS_PATTERNS,
    ) -> HubRepository:
        """Make a repository with one commit on main (`lfs`: patterns of the files whose bytes lie outside of git)."""
        repository = HubRepository(kind, name, private=private, gated=gated, lfs=lfs)
        repository.commit(files or {})
        self.repositories[kind, name] = repository
        return repository

    def add_token(self, value: str, *, user: str = "ada", **more: object) -> HubToken:
        """Make a token; `more` are fields of `HubToken`."""
        token = HubToken(value, user, **more)  # type: ignore[arg-type]
        self.tokens[value] = token
        return token

    def limit(self, kind: str, *, quota: int, seconds: float) -> None:
        """Allow only so many requests ("api" or "resolvers") in a window of time."""
        self.windows[kind] = Window(quota, seconds)

    def expire_links(self) -> None:
        """Make the other origin refuse every address that was given out so far."""
        self._signature += 1

    # --- answers

    def _handle(self, request: Request) -> Answer:
        kind = "api" if request.path.startswith("/api/") else "resolvers"
        headers: dict[str, str] = {}
        with self._limits:
            window = self.windows.get(kind)
            allowed = True
            if window is not None:
                allowed, headers = window.take(kind)
        try:
            answer = self._route(request) if allowed else Refused(429, "", "Too many requests").answer
        except Refused as refused:
            answer = refused.answer
        answer.headers = headers | answer.headers
        return answer

    def _route(self, request: Request) -> Answer:
        token = self._token(request)
        query = parse_qs(request.query)
        if request.path == "/api/whoami-v2":
            if token is None:
                raise Refused(401, "", "Invalid username or password.")
            return Answer(200, {"Content-Type": "application/json"}, _json(token.whoami))
        if request.path in {"/api/datasets", "/api/models"}:
            return self._list_repositories(request, token, query)
        if found := API.fullmatch(request.path):
            repository = self._repository(found["kind"], unquote(found["name"]), token, request)
            if isinstance(repository, Answer):
                return repository
            return self._api(request, repository, token, found["verb"] or "", found["rest"] or "")
        if found := RESOLVE.fullmatch(request.path):
            repository = self._repository(found["kind"] or "models", unquote(found["name"]), token, request)
            if isinstance(repository, Answer):
                return repository
            self._require_content(repository, token)
            return self._resolve(request, repository, unquote(found["revision"]), unquote(found["path"]))
        raise Refused(404, "", "Sorry, we can't find the page you are looking for.")

    def _token(self, request: Request) -> HubToken | None:
        if not request.authorization:
            return None
        token = self.tokens.get(request.authorization.removeprefix("Bearer "))
        if token is None:
            raise Refused(401, "", "Invalid credentials in Authorization header")
        return token

    def _repository(self, kind: str, name: str, token: HubToken | None, request: Request) -> HubRepository | Answer:
        if name in self.moved:
            location = request.path.replace(name, self.moved[name], 1)
            return Answer(307, {"Location": location + (f"?{request.query}" if request.query else "")})
        repository = self.repositories.get((kind, name))
        if repository is None or (repository.private and not self._owns(repository, token)):
            if token is None:
                raise Refused(401, "RepoNotFound", "Repository not found")
            raise Refused(404, "RepoNotFound", "Repository not found")
        if repository.disabled:
            raise Refused(403, "", "Access to this resource is disabled.")
        return repository

    @staticmethod
    def _owns(repository: HubRepository, token: HubToken | None) -> bool:
        owner = repository.name.split("/", maxsplit=1)[0]
        return token is not None and owner in {token.user, *token.orgs} and token.covers(repository.name)

    def _require_content(self, repository: HubRepository, token: HubToken | None) -> None:
        """Refuse as the gate of a repository does."""
        if not repository.gated or self._owns(repository, token):
            return
        what = f"{repository.kind.removesuffix('s')} {repository.name}"
        if token is None:
            message = f"Access to {what} is restricted. You must have access to it and be authenticated to access it."
            raise Refused(401, "GatedRepo", f"{message} Please log in.")
        if token.role == "fineGrained" and not token.reads_gated and not token.covers(repository.name):
            message = "Please enable access to public gated repositories in your fine-grained token settings"
            raise Refused(403, "GatedRepo", f"{message} to view this repository.")
        state = repository.requests.get(token.user)
        if state == "pending":
            message = f"Your request to access {what} is awaiting a review from the repo authors."
            raise Refused(403, "GatedRepo", message)
        if state == "rejected":
            raise Refused(403, "GatedRepo", f"Your request to access {what} has been rejected by the repo's authors.")
        if state != "accepted":
            message = f"Access to {what} is restricted and you are not in the authorized list."
            raise Refused(403, "GatedRepo", f"{message} Visit {self.url} to ask for access.")

    def _api(self, request: Request, repository: HubRepository, token: HubToken | None, verb: str, rest: str) -> Answer:
        kind = {"Content-Type": "application/json"}
        if verb == "auth-check":
            self._require_content(repository, token)
            return Answer(200, kind, b"{}")
        if verb == "refs":
            return Answer(200, kind, _json(self._refs(repository)))
        revision, _, path = rest.partition("/")
        sha = repository.resolve(unquote(revision) or "main")
        if sha is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {unquote(revision)}")
        if verb == "tree":
            return self._tree(request, repository, sha, unquote(path))
        if verb == "paths-info":
            return Answer(200, kind, _json(self._paths(request, repository, sha)))
        return Answer(200, kind, _json(repository.describe(sha, parse_qs(request.query).get("expand", []))))

    @staticmethod
    def _refs(repository: HubRepository) -> dict[str, object]:
        def refs(kind: str, names: Mapping[str, str]) -> list[dict[str, str]]:
            return [
                {"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in sorted(names.items())
            ]

        return {"branches": refs("heads", repository.branches), "tags": refs("tags", repository.tags), "converts": []}

    @staticmethod
    def _paths(request: Request, repository: HubRepository, sha: str) -> list[dict[str, object]]:
        if request.headers.get("content-type", "").startswith("application/json"):
            paths = json.loads(request.body)["paths"]
        else:
            paths = parse_qs(request.body.decode()).get("paths", [])
        found: list[dict[str, object]] = []
        for path in paths:
            parent = path.rpartition("/")[0]
            entries = repository.entries(sha, parent, recursive=False) or []
            found += [entry for entry in entries if entry["path"] == path]
        return found

    def _tree(self, request: Request, repository: HubRepository, sha: str, path: str) -> Answer:
        query = dict(parse_qsl(request.query))
        entries = repository.entries(sha, path, recursive=query.get("recursive", "").lower() in {"true", "1"})
        if entries is None:
            raise Refused(404, "EntryNotFound", f"{path} does not exist on revision")
        return self._page(request, query, entries)

    def _list_repositories(self, request: Request, token: HubToken | None, query: Mapping[str, list[str]]) -> Answer:
        kind = request.path.rpartition("/")[2]
        author, search = query.get("author", [""])[0], query.get("search", [""])[0]
        found: list[dict[str, object]] = [
            {"_id": "1", "id": name, "author": name.split("/")[0], "private": one.private, "gated": one.gated}
            for (its_kind, name), one in sorted(self.repositories.items())
            if its_kind == kind
            and (not author or name.startswith(f"{author}/"))
            and search in name
            and (not one.private or self._owns(one, token))
        ]
        return self._page(request, dict(parse_qsl(request.query)), found)

    def _page(self, request: Request, query: dict[str, str], entries: list[dict[str, object]]) -> Answer:
        start = int(base64.b64decode(query["cursor"])) if "cursor" in query else 0
        end = start + min(self.page_files, int(query.get("limit", self.page_files)))
        headers = {"Content-Type": "application/json"}
        if end < len(entries):
            onward = urlencode({**query, "cursor": base64.b64encode(b"%d" % end).decode()})
            headers["Link"] = f'<{self.linked_as or self.url}{request.path}?{onward}>; rel="next"'
        return Answer(200, headers, _json(entries[start:end]))

    def _resolve(self, request: Request, repository: HubRepository, revision: str, path: str) -> Answer:
        sha = repository.resolve(revision)
        if sha is None:
            raise Refused(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        file: HubFile | None = repository.commits[sha].get(path)
        if file is None:
            raise Refused(404, "EntryNotFound", "Entry not found")
        headers = {"X-Repo-Commit": sha}
        if file.lfs:
            self._blobs[file.lfs] = file.data
            location = f"{self.cdn.url}/repos/{file.lfs}?name={quote(path, safe='')}&Signature={self._signature}"
            more = {"Location": location, "X-Linked-Etag": f'"{file.lfs}"', "X-Linked-Size": str(len(file.data))}
            return Answer(302, headers | more)
        return take_range(request.headers, file.data, headers | {"ETag": f'"{file.oid}"'})

    def _handle_cdn(self, request: Request) -> Answer:
        # As S3 does: an address that is signed must not come with another way to authenticate.
        if request.authorization:
            return Answer(400, {}, b"Only one auth mechanism allowed")
        if dict(parse_qsl(request.query)).get("Signature") != str(self._signature):
            return Answer(403, {}, b"Request has expired")
        digest = request.path.rpartition("/")[2]
        return take_range(request.headers, self._blobs[digest], {"ETag": f'"{digest}"'})
