"""A repository of the Hugging Face Hub at one commit: listed page by page, read by its resolve addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from datasets_app.sources.base import PAGE_FILES, Cause, Page, SourceError, SourceFile
from datasets_app.sources.checksums import verify_checksum
from datasets_app.sources.hub_paths import Place, find_problem

if TYPE_CHECKING:
    from datasets_app.sources.hub_client import Got, HubClient

# A cursor: how many files of a page are done, and the query of that page. After the last one:
END: Final = "end"
RECURSIVE: Final = "recursive=true&expand=false"
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SHA1: Final = re.compile(r"[0-9a-f]{40}")


class HubTree:
    """All files below a folder, or `only` one."""

    def __init__(self, client: HubClient, place: Place, revision: str, *, only: SourceFile | None = None) -> None:
        self.revision = revision
        self._client = client
        self._place = place
        self._only = only

    def list_files(self, *, after: str = "") -> Iterator[Page]:
        """List in pages, as the Hub gives them."""
        if after == END:
            return
        if self._only is not None:
            yield Page([self._only], END)
            return
        path = tree_path(self._place, self.revision)
        skip, _, query = after.partition(" ")
        done = int(skip or 0)
        query = query or RECURSIVE
        while query:
            entries, onward = self._client.ask(path, query, place=self._place)
            files = [self._to_file(entry) for entry in read_entries(entries) if entry.get("type") == "file"][done:]
            while len(files) > PAGE_FILES:
                done += PAGE_FILES
                yield Page(files[:PAGE_FILES], f"{done} {query}")
                files = files[PAGE_FILES:]
            yield Page(files, f"0 {onward}" if onward else END)
            query, done = onward, 0

    def fetch(self, file: SourceFile) -> bytes:
        """Read a whole file. Of one that lies in git, the object id is compared; of others whoever has the SHA-256."""
        got = self._client.read(self._place, self.revision, file.key, file.size)
        _require_same(file, got)
        if len(got.reply.data) != file.size:
            detail = f"{file.key} was listed with {file.size} bytes, but the Hub gave another number."
            raise SourceError(Cause.DAMAGED, detail)
        verify_checksum(file, got.reply.data)
        return got.reply.data

    def fetch_range(self, file: SourceFile, offset: int, length: int) -> bytes:
        """Read a range."""
        if not length:
            return b""
        got = self._client.read_range(self._place, self.revision, file.key, (offset, offset + length))
        _require_same(file, got)
        data = got.reply.data
        wanted = f"bytes {offset}-{offset + length - 1}/{file.size}"
        is_all = offset == 0 and length == file.size and len(data) == file.size
        if got.reply.headers.get("Content-Range") != wanted and not is_all:
            if got.reply.status == 206:  # noqa: PLR2004
                raise SourceError(Cause.CHANGED, f"{file.key} does not have the {file.size} bytes that were listed.")
            raise SourceError(Cause.INVALID, "The Hub does not give parts of files (ranges), which large ones need.")
        if len(data) != length:
            raise SourceError(Cause.DAMAGED, f"Of {length} bytes of {file.key} that were asked for, {len(data)} came.")
        return data

    def look_up(self, file: SourceFile) -> SourceFile:
        """Return it as it is: the listing tells all there is."""
        return file

    def _to_file(self, entry: dict[str, Any]) -> SourceFile:
        return to_file(entry, self._place.below)


def tree_path(place: Place, revision: str) -> str:
    """Return where the API lists a folder."""
    below = f"/{quote(place.below, safe='')}" if place.below else ""
    return f"{place.api}/tree/{quote(revision, safe='')}{below}"


def read_entries(data: object) -> list[dict[str, Any]]:
    """Return the entries of a listing. Raises SourceError for what is none."""
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise SourceError(Cause.INVALID, "What came as a listing is not one of a Hugging Face Hub.")
    return data


def to_file(entry: dict[str, Any], below: str) -> SourceFile:
    """Return a listed file as the importer sees it."""
    try:
        key, size, oid = str(entry["path"]), int(entry["size"]), str(entry["oid"])
        lfs = entry.get("lfs") or {}
        sha256 = str(lfs.get("oid", "")) if isinstance(lfs, dict) else ""
        size = int(lfs["size"]) if sha256 else size
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(Cause.INVALID, "What came as a listing is not one of a Hugging Face Hub.") from error
    prefix = f"{below}/" if below else ""
    problem = find_problem(key)
    if not key.startswith(prefix):
        problem = problem or f"It was listed as if it lay in {below}, but does not."
    if _SHA256.fullmatch(sha256):
        return SourceFile(key, key.removeprefix(prefix), size, sha256, sha256=bytes.fromhex(sha256), problem=problem)
    checksum = f"git-sha1:{oid}" if _SHA1.fullmatch(oid) else ""
    return SourceFile(key, key.removeprefix(prefix), size, oid, checksum=checksum, problem=problem)


def _require_same(file: SourceFile, got: Got) -> None:
    """Compare what the Hub says of a file before it gives it, where it says what was listed too."""
    told = (got.first.headers.get("X-Linked-Etag") or got.first.headers.get("ETag") or "").removeprefix("W/").strip('"')
    if len(told) == len(file.tag) and _SHA256.fullmatch(told) and told != file.tag:
        raise SourceError(Cause.CHANGED, f"{file.key} is not what was listed any more.")
