"""`flexai://team/dataset@version/path` for fsspec, by which pandas, pyarrow, DuckDB, datasets and PyTorch read.

Read-only. A version without a number is the latest one, looked up once by each file system object.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Final

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from flexai_cli.client import Client
from flexai_cli.errors import Problem, UsageError
from flexai_cli.labels import parse_label
from flexai_cli.pull import find_version

BLOCK_BYTES: Final = 4 * 2**20
PAGE_ROWS: Final = 1000


class FlexaiFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Versions as folders. Storage options: url, token, team; else as `flexai auth login` saved them."""

    protocol: ClassVar[str] = "flexai"
    root_marker: ClassVar[str] = ""

    def __init__(
        self, url: str = "", token: str = "", team: str = "", *, client: Client | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self._client = client or Client(url, token, team)
        self._numbers: dict[str, int] = {}

    @property
    def fsid(self) -> str:
        """What tells this file system from others."""
        return f"flexai-{self._client.session.login.url}"

    def ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:  # noqa: FBT001 - fsspec's
        """List a folder, page by page; a team's datasets, too."""
        path = self._strip_protocol(path).rstrip("/")
        parts = path.split("/", 2) if path else []
        if len(parts) < 2:  # noqa: PLR2004
            rows = self._list_above(parts)
        else:
            rows = self._list_version(path, parts[0], parts[1], "/".join(parts[2:]))
        return rows if detail else [row["name"] for row in rows]

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Describe a file or folder; one request for a file, none for its bytes."""
        path = self._strip_protocol(path).rstrip("/")
        parts = path.split("/", 2) if path else []
        if len(parts) < 3:  # noqa: PLR2004
            if len(parts) == 2:  # noqa: PLR2004
                self._version(path, *parts)
            return {"name": path, "size": 0, "type": "directory"}
        session = self._client.session
        try:
            answer = session.send("HEAD", session.path(*self._version(path, *parts[:2]), "files", parts[2]))
        except Problem as error:
            if error.status != 404:  # noqa: PLR2004
                raise
        else:
            size = int(answer.headers["Content-Length"])
            return {"name": path, "size": size, "type": "file", "sha256": answer.headers["ETag"].strip('"')}
        # A folder, or nothing.
        self._page(path, *parts, limit=1)
        return {"name": path, "size": 0, "type": "directory"}

    def created(self, path: str) -> datetime:
        """When the version that holds the file was sealed."""
        return self.modified(path)

    def modified(self, path: str) -> datetime:
        """When the version that holds the file was sealed: nothing in it has changed since."""
        path = self._strip_protocol(path)
        parts = path.split("/", 2)
        return datetime.fromisoformat(self._client.session.get(*self._version(path, *parts[:2]))["sealed_at"])

    def checksum(self, path: str) -> int:
        """Return a number that changes with the bytes."""
        return int(str(self.info(path).get("sha256", "0")), 16)

    def ukey(self, path: str) -> str:
        """Return a text that changes with the bytes."""
        return str(self.info(path).get("sha256", path))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_options: Any) -> bytes:
        """Bytes of a file, or a range of them; negative positions count from the end."""
        path = self._strip_protocol(path)
        if (start or 0) < 0 or (end or 0) < 0:
            size = self.info(path)["size"]
            start = max(size + start, 0) if start is not None and start < 0 else start
            end = max(size + end, 0) if end is not None and end < 0 else end
        return self.read_range(path, start or 0, end)

    def read_range(self, path: str, start: int, end: int | None) -> bytes:
        """Bytes from `start` up to `end` (all that follow, for None), asked for until they are here."""
        if end is not None and end <= start:
            return b""
        parts = path.split("/", 2)
        session = self._client.session
        address = session.path(*self._version(path, *parts[:2]), "files", parts[2])
        wanted = f"bytes={start}-{'' if end is None else end - 1}"
        headers = {"Range": wanted} if start or end is not None else {}
        try:
            for attempt in session.attempts():
                with attempt, session.stream("GET", address, headers=headers) as answer:
                    return answer.read()
        except Problem as error:
            if error.status == 416:  # noqa: PLR2004 - beyond the end
                return b""
            if error.status == 404:  # noqa: PLR2004
                raise FileNotFoundError(path) from None
            raise
        raise AssertionError("attempts() raises in the end")

    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any) -> FlexaiFile:
        if mode != "rb":
            raise NotImplementedError("Versions are immutable: make a new one by flexai_cli.Client.push.")
        options.pop("autocommit", None)
        return FlexaiFile(self, path, mode, block_size or BLOCK_BYTES, **options)

    def _list_above(self, parts: list[str]) -> list[dict[str, Any]]:
        session = self._client.session
        if not parts:
            names = [str(row["name"]) for row in session.pages("teams")]
        else:
            found = self._guarded(
                "/".join(parts), lambda: list(session.pages("teams", parts[0], "datasets", limit=200))
            )
            names = [f"{parts[0]}/{row['name']}" for row in found]
        return [{"name": name, "size": 0, "type": "directory"} for name in names]

    def _list_version(self, path: str, team: str, version: str, inner: str) -> list[dict[str, Any]]:
        if path in self.dircache:
            cached: list[dict[str, Any]] = self.dircache[path]
            return cached
        rows: list[dict[str, Any]] = []
        cursor = None
        while True:
            try:
                page = self._page(path, team, version, inner, limit=PAGE_ROWS, cursor=cursor)
            except FileNotFoundError:
                found = self.info(path)
                if found["type"] != "file":
                    raise
                return [found]
            rows += [self._row(f"{team}/{version}", row) for row in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        self.dircache[path] = rows
        return rows

    def _page(self, path: str, team: str, version: str, inner: str, **query: Any) -> dict[str, Any]:
        parts = (*self._version(path, team, version), "tree", *([inner] if inner else []))
        page: dict[str, Any] = self._guarded(path, lambda: self._client.session.get(*parts, **query))
        return page

    @staticmethod
    def _row(above: str, row: dict[str, Any]) -> dict[str, Any]:
        found = {"name": f"{above}/{row['path']}", "size": row["size"], "type": row["type"]}
        if row["type"] == "file":
            return found | {"sha256": row["digest"].removeprefix("sha256:")}
        return found | {"size": 0}

    def _version(self, path: str, team: str, version: str) -> tuple[str | int, ...]:
        """Return the parts of a version's address; its number is looked up once."""
        key = f"{team}/{version}"
        if key not in self._numbers:
            try:
                label = parse_label(key)
                found = self._guarded(path, lambda: find_version(self._client.session, team, label))
            except UsageError as error:
                raise FileNotFoundError(f"{path}: {error.detail}") from None
            self._numbers[key] = found["number"]
        return ("teams", team, "datasets", parse_label(key).dataset, "versions", self._numbers[key])

    @staticmethod
    def _guarded(path: str, ask: Any) -> Any:  # noqa: ANN401
        try:
            return ask()
        except Problem as error:
            if error.status in {404, 410}:
                raise FileNotFoundError(f"{path}: {error.detail}") from None
            if error.status in {401, 403}:
                raise PermissionError(f"{path}: {error.detail}") from None
            raise


class FlexaiFile(AbstractBufferedFile):  # type: ignore[misc]
    """A file that fetches blocks as they are needed, and keeps them."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        found: bytes = self.fs.read_range(self.path, start, end)
        return found
