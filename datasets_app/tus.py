"""The tus 1.0 upload protocol (https://tus.io/protocols/resumable-upload): headers in, headers out.

Extensions: creation, creation-with-upload, checksum, termination, expiration. What an upload is, and where its bytes
go, is decided by `services.uploads` and `services.finishing`.
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.urls import path, reverse
from django.utils.http import http_date

from datasets_app.errors import AppError, Invalid, Unauthorized, UnsupportedMedia, UnsupportedVersion
from datasets_app.models import User
from datasets_app.services import finishing, uploads
from datasets_app.services.versions import find_version
from datasets_app.store.digest import parse_digest
from datasets_app.store.staging import CHECKSUM_ALGORITHMS, Checksum

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from datasets_app.models import Upload

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,checksum,termination,expiration"
HEADERS = {"Tus-Resumable": VERSION, "Cache-Control": "no-store"}
CONTENT_TYPE = "application/offset+octet-stream"
# A refused request's body is read up to here, so that clients which send first and listen later get the answer.
DRAINED_BYTES = 64 * 2**20
BLOCK_BYTES = 2**20
MOST_DIGITS = 19


def collection(request: HttpRequest) -> HttpResponse:
    """OPTIONS tells what this server can do; POST creates an upload, and may bring its first bytes."""
    return _answer(request, {"OPTIONS": _options, "POST": _create})


def resource(request: HttpRequest, upload_id: uuid.UUID) -> HttpResponse:
    """HEAD asks for the offset, PATCH appends, DELETE ends the upload."""

    def with_upload(verb: Callable[[HttpRequest, User, Upload], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
        def run(request: HttpRequest) -> HttpResponse:
            actor = _actor(request)
            return verb(request, actor, uploads.find_upload(actor, upload_id))

        return run

    verbs = {"HEAD": _head, "PATCH": _patch, "DELETE": _delete}
    return _answer(request, {"OPTIONS": _options} | {name: with_upload(verb) for name, verb in verbs.items()})


urlpatterns = [
    path("tus", collection, name="tus"),
    path("tus/<uuid:upload_id>", resource, name="tus_upload"),
]


def _answer(request: HttpRequest, verbs: dict[str, Callable[[HttpRequest], HttpResponse]]) -> HttpResponse:
    """Run the verb that the client means; every answer says which tus version it speaks."""
    method = request.method or ""
    if method == "POST":
        # For clients behind proxies that let only GET and POST pass. A GET is no request to change anything:
        # nobody has looked at its CSRF header.
        method = request.headers.get("X-HTTP-Method-Override", method).upper()
    try:
        if method not in verbs:
            response = HttpResponse(status=405, headers={"Allow": ", ".join(verbs)})
        elif method != "OPTIONS" and request.headers.get("Tus-Resumable") != VERSION:
            raise UnsupportedVersion(f"Send the header Tus-Resumable: {VERSION}; this server speaks no other version.")
        else:
            response = verbs[method](request)
    except UnreadablePostError as error:
        raise AppError("The connection broke. What has arrived is kept: ask for the offset and go on.") from error
    except AppError as error:
        # The API's middleware makes the answer, as for every address under /api/.
        _drain(request)
        error.headers = HEADERS | ({"Tus-Version": VERSION} if isinstance(error, UnsupportedVersion) else {})
        raise
    for name, value in HEADERS.items():
        response.headers[name] = value
    return response


def _actor(request: HttpRequest) -> User:
    """Return who is calling: the middleware has judged token, session and CSRF header already."""
    if not isinstance(request.user, User):
        raise Unauthorized("Send an API token as `Authorization: Bearer <token>`, or sign in.")
    return request.user


def _options(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(
        status=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(settings.UPLOAD_MAX_BYTES),
            "Tus-Checksum-Algorithm": ",".join(CHECKSUM_ALGORITHMS),
        },
    )


def _create(request: HttpRequest) -> HttpResponse:
    actor = _actor(request)
    if "Upload-Defer-Length" in request.headers:
        raise AppError("This server needs Upload-Length; it does not take uploads of unknown length.")
    size = _number(request, "Upload-Length")
    about = parse_metadata(request.headers.get("Upload-Metadata", ""))
    version = find_version(
        actor, team=_word(about, "team"), dataset=_word(about, "dataset"), number=_version_number(about)
    )
    name = about.get("path") or _word(about, "filename", said="path")
    upload = uploads.create_upload(actor, version=version, path=name, size=size, sha256=_digest(about))
    response = HttpResponse(status=201)
    response.headers["Location"] = reverse("tus_upload", args=[upload.pk])
    # Set by hand: the body of a request without this type is of no interest.
    if request.headers.get("Content-Type") == CONTENT_TYPE and size:
        reached = _append(request, actor, upload, 0)
        response.headers["Upload-Offset"] = str(reached)
    return _with_expiry(response, upload)


def _head(_request: HttpRequest, _actor: User, upload: Upload) -> HttpResponse:
    response = HttpResponse(status=200)
    response.headers["Upload-Offset"] = str(finishing.upload_offset(upload))
    response.headers["Upload-Length"] = str(upload.size)
    return _with_expiry(response, upload)


def _patch(request: HttpRequest, actor: User, upload: Upload) -> HttpResponse:
    if request.headers.get("Content-Type") != CONTENT_TYPE:
        raise UnsupportedMedia(f"Send the bytes with Content-Type: {CONTENT_TYPE}.")
    reached = _append(request, actor, upload, _number(request, "Upload-Offset"))
    response = HttpResponse(status=204)
    response.headers["Upload-Offset"] = str(reached)
    return _with_expiry(response, upload)


def _delete(_request: HttpRequest, actor: User, upload: Upload) -> HttpResponse:
    uploads.terminate_upload(actor, upload=upload)
    return HttpResponse(status=204)


def _append(request: HttpRequest, actor: User, upload: Upload, offset: int) -> int:
    """Hand the body over as a stream; without Content-Length (chunked) the server says where it ends."""
    length = _number(request, "Content-Length") if request.META.get("CONTENT_LENGTH") else None
    read: Callable[[int], bytes] = request.META["wsgi.input"].read if length is None else request.read
    return uploads.append(
        actor,
        upload=upload,
        offset=offset,
        read=read,
        length=length,
        checksum=_checksum(request),
    )


def _drain(request: HttpRequest) -> None:
    """Read what the client still sends, within reason."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if length.isdigit() and len(length) <= MOST_DIGITS and int(length) <= DRAINED_BYTES:
        with suppress(OSError):
            while request.read(BLOCK_BYTES):
                pass


def _with_expiry(response: HttpResponse, upload: Upload) -> HttpResponse:
    if upload.status == upload.Status.RECEIVING:
        response.headers["Upload-Expires"] = http_date(upload.expires_at.timestamp())
    return response


def _number(request: HttpRequest, header: str) -> int:
    text = request.headers.get(header, "")
    # No more digits than any size has: longer numbers are none that Python likes to read.
    if not text.isascii() or not text.isdigit() or len(text) > MOST_DIGITS:
        raise AppError(f"The header {header} must be a number of bytes.")
    return int(text)


def _checksum(request: HttpRequest) -> Checksum | None:
    """Read `Upload-Checksum: <algorithm> <base64 of the digest>`."""
    header = request.headers.get("Upload-Checksum")
    if header is None:
        return None
    algorithm, _, text = header.partition(" ")
    if algorithm not in CHECKSUM_ALGORITHMS:
        raise AppError(f"Upload-Checksum: use one of {', '.join(CHECKSUM_ALGORITHMS)}, not {quote(algorithm)}.")
    try:
        return Checksum(algorithm, base64.b64decode(text, validate=True))
    except binascii.Error:
        raise AppError("Upload-Checksum: the digest is not base64.") from None


def parse_metadata(header: str) -> dict[str, str]:
    """Read `Upload-Metadata: key base64,key base64`; the values are UTF-8."""
    found = {}
    for pair in filter(None, (part.strip() for part in header.split(","))):
        key, _, value = pair.partition(" ")
        try:
            found[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise AppError(f"Upload-Metadata: the value of {quote(key)} is not base64 of UTF-8 text.") from None
    return found


def _word(about: dict[str, str], key: str, *, said: str = "") -> str:
    value = about.get(key, "")
    if not value:
        said = said or key
        message = f"Upload-Metadata needs team, dataset, version and path; {said} is missing."
        raise Invalid(message, errors=[{"field": said, "detail": "missing"}])
    if "\0" in value:
        # PostgreSQL could not even look for it.
        raise Invalid(f"Upload-Metadata: {key} contains NUL.", errors=[{"field": key, "detail": "contains NUL"}])
    return value


def _version_number(about: dict[str, str]) -> int:
    text = _word(about, "version")
    if not text.isascii() or not text.isdigit() or len(text) > 9:  # noqa: PLR2004 - beyond any column
        raise Invalid(
            "Upload-Metadata: version must be a number.", errors=[{"field": "version", "detail": "not a number"}]
        )
    return int(text)


def _digest(about: dict[str, str]) -> bytes | None:
    text = about.get("sha256", "")
    if not text:
        return None
    try:
        return parse_digest(text)
    except ValueError as error:
        raise Invalid(str(error), errors=[{"field": "sha256", "detail": "not a SHA-256"}]) from None
