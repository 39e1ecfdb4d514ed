"""Routes about what is inside a version: tree, bytes, manifest, archive, differences."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_etags
from ninja import Path, Router

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Page, PathList
from datasets_app.models import File, Version
from datasets_app.services import downloads, raw_addresses
from datasets_app.services.browsing import Entry, find_file, list_directory
from datasets_app.services.comparing import MOST_ROWS, Change, compare_versions
from datasets_app.services.croissant import describe_as_croissant
from datasets_app.services.manifests import manifest_lines
from datasets_app.services.previewing import open_member
from datasets_app.services.version_names import find_named_version
from datasets_app.services.versions import find_version

router = Router()
Response = TypeVar("Response", bound=HttpResponseBase)

# Raw bytes are never a page of ours: no script, no form, no frame may come of them.
SANDBOX = "sandbox; default-src 'none'; img-src 'self'; style-src 'none'; frame-ancestors 'none'"
INLINE_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "txt": "text/plain; charset=utf-8",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "mp4": "video/mp4",
    "m4v": "video/mp4",
    "webm": "video/webm",
    "ogv": "video/ogg",
    "mov": "video/quicktime",
}
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
# The bytes of a path in a sealed version never change, but who may read them does.
CACHE = "private, max-age=31536000, immutable"
# A label moves, so what it names is asked for again; mostly the answer is 304.
LABEL_CACHE = "private, no-cache"


class EntryAnswer(Answer):
    """A file or a directory. `size` is in bytes; of a directory, like `file_count`, that of everything below it.

    `damaged`: its stored bytes, or those of something in it, were found to be lost or changed.
    """

    type: Literal["directory", "file"]
    name: str
    path: str
    size: int
    file_count: int
    digest: str
    damaged: bool

    @classmethod
    def of(cls, entry: Entry) -> EntryAnswer:
        """Render one line of a listing."""
        return cls(
            type=entry.kind,
            name=entry.name,
            path=entry.path,
            size=entry.size,
            file_count=entry.file_count,
            digest=f"sha256:{entry.sha256}",
            damaged=entry.damaged,
        )


class ChangeAnswer(Answer):
    """A file that the two versions do not share, or with `folders` a whole folder (`type`).

    Sizes in bytes and SHA-256 in hex, null on the side that lacks it. `old_path` is where a renamed one was before.
    """

    change: Literal["added", "removed", "changed", "renamed"]
    type: Literal["directory", "file"]
    path: str
    old_path: str | None
    file_count: int
    old_size: int | None
    new_size: int | None
    old_sha256: str | None
    new_sha256: str | None

    @classmethod
    def of(cls, change: Change) -> ChangeAnswer:
        """Render one difference."""
        return cls(
            change=change.kind,
            type=change.type,
            path=change.path,
            old_path=change.old_path,
            file_count=change.file_count,
            old_size=change.old_size,
            new_size=change.new_size,
            old_sha256=change.old_sha256,
            new_sha256=change.new_sha256,
        )


class TallyAnswer(Answer):
    """How many files, and their bytes: those of the new version, of removed files those of the old one."""

    files: int
    size: int


class DiffAnswer(Page[ChangeAnswer]):
    """One page of the differences in tree order. `counts` has all of them by kind; null when they are too many.

    Then a page may have fewer items than `limit`, even none, before the last one: go on while there is a next cursor.
    `truncated` is true when there is a next page.
    """

    counts: dict[str, TallyAnswer] | None
    truncated: bool


@router.get("/{number}/tree", response=Page[EntryAnswer], operation_id="list_root", summary="List the root directory")
def list_root(  # noqa: PLR0913 - one argument for each part of the URL and its query
    request: ApiRequest,
    team: Path[str],
    name: Path[str],
    number: Path[str],
    cursor: str | None = None,
    limit: int = 200,
) -> Page[EntryAnswer]:
    """Return one page of the root: directories first, then files, by name."""
    return list_tree(request, team, name, number, "", cursor, limit)


@router.get(
    "/{number}/tree/{path:path}", response=Page[EntryAnswer], operation_id="list_tree", summary="List a directory"
)
def list_tree(  # noqa: PLR0913
    request: ApiRequest,
    team: Path[str],
    name: Path[str],
    number: Path[str],
    path: Path[str],
    cursor: str | None = None,
    limit: int = 200,
) -> Page[EntryAnswer]:
    """Return one page of a directory: directories first, then files, by name."""
    version = _find(request, team, name, number)
    page = list_directory(request.auth, version=version, path=path, cursor=cursor, limit=limit)
    return Page[EntryAnswer](items=[EntryAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.api_operation(
    ["GET", "HEAD"],
    "/{number}/files/{path:path}",
    operation_id="read_file",
    summary="Read a file",
    url_name="read_file",
    response={200: None, 206: None, 302: None, 304: None, 416: None},
)
def read_file(  # noqa: PLR0913
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], path: Path[str], *, inline: bool = False
) -> HttpResponse | StreamingHttpResponse:
    """Send a file's bytes; understands Range, If-Range and If-None-Match. ETag is the SHA-256.

    With `inline`, pictures and plain text may be shown by a browser; everything else is always a download.
    Where raw bytes have an origin of their own, a session is sent there by 302; a token never is.
    """
    version = _find(request, team, name, number)
    file = find_file(request.auth, version=version, path=path)
    if raw_addresses.is_separate() and request.auth.access_token is None:
        # A browser: untrusted bytes come from an origin that has no cookies.
        address = raw_addresses.make_address(request.auth, version=version, path=path, inline=inline)
        return HttpResponse(status=302, headers={"Location": address, "Cache-Control": "no-store"})
    return send_file(request, file, inline=inline, cache=CACHE if number.isdecimal() else LABEL_CACHE)


@router.get(
    "/{number}/members/{path:path}",
    operation_id="read_member",
    summary="Read a file inside an archive",
    url_name="read_member",
    response={200: None, 302: None},
)
def read_member(  # noqa: PLR0913
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], path: Path[str], member: str
) -> HttpResponse | StreamingHttpResponse:
    """Send the file `member` of the ZIP or TAR at `path`, unpacked while it is sent; always a download.

    Where raw bytes have an origin of their own, a session is sent there by 302; a token never is.
    """
    version = _find(request, team, name, number)
    file = find_file(request.auth, version=version, path=path)
    if raw_addresses.is_separate() and request.auth.access_token is None:
        address = raw_addresses.make_address(request.auth, version=version, path=path, member=member)
        return HttpResponse(status=302, headers={"Location": address, "Cache-Control": "no-store"})
    return send_member(file, member)


@router.post(
    "/{number}/files",
    operation_id="read_files",
    summary="Read many small files",
    url_name="read_files",
    response={200: None},
)
def read_files(
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: PathList
) -> StreamingHttpResponse:
    """Send up to 1000 files back to back, in the order of `paths`; the manifest tells their sizes and digests.

    404 names the paths that are no files of the version.
    """
    version = _find(request, team, name, number)
    found = downloads.read_files(request.auth, version=version, paths=payload.paths)
    response = _send(found.parts, f"{_stem(version)}.bin", "application/octet-stream", size=found.size)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = SANDBOX
    return response


@router.get(
    "/{number}/manifest",
    operation_id="read_manifest",
    summary="Manifest",
    url_name="read_manifest",
    response={200: None},
)
def manifest(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> StreamingHttpResponse:
    """Stream one JSON object a line for each file, in tree order: path, size (bytes), sha256 (hex)."""
    version = _find(request, team, name, number)
    downloads.sealed_root(request.auth, version=version)
    return _send(manifest_lines(version), f"{_stem(version)}.ndjson", "application/x-ndjson")


@router.get(
    "/{number}/archive.tar", operation_id="read_archive", summary="Tar", url_name="read_archive", response={200: None}
)
def archive(
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], path: str = ""
) -> StreamingHttpResponse:
    """Stream the whole version, or the folder `path`, as a tar archive; the same folder always gives the same bytes."""
    version = _find(request, team, name, number)
    download = downloads.tar_stream(request.auth, version=version, path=path)
    return _send(download.parts, f"{_stem(version, path)}.tar", "application/x-tar", size=download.size)


@router.get("/{number}/archive.zip", operation_id="read_zip", summary="Zip", url_name="read_zip", response={200: None})
def zip_archive(
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], path: str = ""
) -> StreamingHttpResponse:
    """Stream the whole version, or the folder `path`, as a zip archive without compression."""
    version = _find(request, team, name, number)
    download = downloads.zip_stream(request.auth, version=version, path=path)
    return _send(download.parts, f"{_stem(version, path)}.zip", "application/zip", size=download.size)


@router.get(
    "/{number}/files.csv",
    operation_id="read_file_list",
    summary="List of files",
    url_name="read_file_list",
    response={200: None},
)
def file_list(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> StreamingHttpResponse:
    """Stream the paths, sizes (bytes) and SHA-256 (hex) of all files as CSV."""
    version = _find(request, team, name, number)
    return _send(downloads.csv_lines(request.auth, version=version), f"{_stem(version)}.csv", "text/csv; charset=utf-8")


@router.get(
    "/{number}/croissant.json",
    operation_id="read_croissant",
    summary="Croissant metadata",
    url_name="read_croissant",
    response={200: None},
)
def croissant(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> HttpResponse:
    """Describe the version in Croissant 1.1 (JSON-LD): files with their SHA-256, and the columns of its tables.

    Versions of more than 5,000 files are described by their manifest and by sets of files.
    """
    version = _find(request, team, name, number)
    # A proxy may have told this request another host or port than people use.
    here = urlsplit(settings.PUBLIC_URL or request.build_absolute_uri("/"))
    document = describe_as_croissant(request.auth, version=version, origin=f"{here.scheme}://{here.netloc}")
    response = HttpResponse(json.dumps(document, indent=2), content_type="application/ld+json")
    return _name(response, f"{_stem(version)}.croissant.json")


@router.get("/{number}/diff/{other}", response=DiffAnswer, operation_id="diff_versions", summary="Compare two versions")
def diff(  # noqa: PLR0913 - one argument for each part of the URL and its query
    request: ApiRequest,
    *,
    team: Path[str],
    name: Path[str],
    number: Path[str],
    other: Path[str],
    folders: bool = False,
    kind: str = "",
    other_team: str = "",
    cursor: str | None = None,
    limit: int = MOST_ROWS,
) -> DiffAnswer:
    """Return what changed from version `number` to `other`; directories with equal digests are not looked into.

    `other` is a number or label, or `evaluation@3` of another dataset of the team, or of `other_team`.

    With `folders`, a folder that was added, removed or renamed as a whole is one item. `kind` keeps one of added,
    removed, changed, renamed.
    """
    old = _find(request, team, name, number)
    new = find_named_version(request.auth, team=other_team or team, dataset=name, wanted=other)
    found = compare_versions(request.auth, old=old, new=new, kind=kind, cursor=cursor, limit=limit, expand=not folders)
    counts = found.tallies
    return DiffAnswer(
        items=[ChangeAnswer.of(change) for change in found.changes],
        next_cursor=found.next_cursor,
        truncated=found.next_cursor is not None,
        counts=None
        if counts is None
        else {name: TallyAnswer(files=tally.files, size=tally.size) for name, tally in counts.items()},
    )


def send_member(file: File, member: str) -> StreamingHttpResponse:
    """Answer with a member of an archive that the caller may read, as a download whose length is told."""
    stream = open_member(file, member=member)
    response = StreamingHttpResponse(stream.blocks)
    _describe(response, member.rstrip("/").rpartition("/")[2] or "member", inline=False)
    response.headers["Content-Length"] = str(stream.size)
    response.headers["Cache-Control"] = LABEL_CACHE
    return response


def send_file(request: HttpRequest, file: File, *, inline: bool, cache: str) -> HttpResponse | StreamingHttpResponse:
    """Answer GET or HEAD with a file that the caller may read: its bytes, a range of them, or 304."""
    etag = f'"{file.blob.hex}"'
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if etag in known or f"W/{etag}" in known or known == ["*"]:
        return HttpResponse(status=304, headers={"ETag": etag, "Cache-Control": cache})
    # A range is asked of GET alone, and only while If-Range names these very bytes.
    ranged = request.method == "GET" and request.headers.get("If-Range", etag) == etag
    wanted = request.headers.get("Range", "") if ranged else ""
    start, end, status = _range(wanted, file.blob.size)
    response: HttpResponse | StreamingHttpResponse
    if status == 416:  # noqa: PLR2004 - range not satisfiable
        response = HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.blob.size}"})
    elif request.method == "HEAD":
        response = HttpResponse(status=status)
        response.headers["Content-Length"] = str(end - start)
    else:
        response = StreamingHttpResponse(downloads.read_file(file, offset=start, length=end - start), status=status)
        response.headers["Content-Length"] = str(end - start)
    if status == 206:  # noqa: PLR2004 - partial content
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.blob.size}"
    _describe(response, file.name, inline=inline)
    response.headers["ETag"] = etag
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = cache
    return response


def _find(request: ApiRequest, team: str, name: str, number: str) -> Version:
    return find_version(request.auth, team=team, dataset=name, number=number)


def _stem(version: Version, path: str = "") -> str:
    folder = path.strip("/").rpartition("/")[2]
    return f"{version.dataset.name}-{version.number}{f'-{folder}' if folder else ''}"


def _send(
    parts: Iterable[bytes | str], name: str, media_type: str, *, size: int | None = None
) -> StreamingHttpResponse:
    """Answer with a download called `name`; `size` in bytes, where it is known before."""
    response = _name(StreamingHttpResponse(parts, content_type=media_type), name)
    if size is not None:
        response.headers["Content-Length"] = str(size)
    return response


def _name(response: Response, name: str, *, inline: bool = False) -> Response:
    """Say what to call the file that is answered with, and that it is to be kept, not shown, unless `inline`."""
    response.headers["Content-Disposition"] = content_disposition_header(not inline, name) or "attachment"
    return response


def _range(header: str, size: int) -> tuple[int, int, int]:
    """Return start, end (exclusive) and status for one range; several ranges, or none we know, mean the whole file."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return 0, size, 200
    first, last = match.groups()
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1 if last else size, size)
    return (start, end, 206) if start < end else (0, 0, 416)


def _describe(response: HttpResponse | StreamingHttpResponse, name: str, *, inline: bool) -> None:
    kind = INLINE_TYPES.get(name.rpartition(".")[2].lower()) if inline else None
    response.headers["Content-Type"] = kind or "application/octet-stream"
    _name(response, name, inline=kind is not None)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = SANDBOX
