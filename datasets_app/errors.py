"""The errors that users see.

Each carries an HTTP status, a stable code and a sentence that says what, where and what to do. One handler
turns them into problem+json (API, tus), another into pages. Anything else that is raised is a bug.
"""

from __future__ import annotations

from typing import TypedDict


class ErrorItem(TypedDict, total=False):
    """One thing that is wrong: the `field` or `path` it concerns, and why (`detail`)."""

    field: str
    path: str
    detail: str


class AppError(Exception):
    """Something that the caller can understand and mend.

    `errors` names single fields or paths; `headers` are for the answer over HTTP, where a protocol asks for some.
    """

    status = 400
    code = "bad-request"
    title = "Bad request"

    def __init__(self, detail: str, *, errors: list[ErrorItem] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = errors or []
        self.headers: dict[str, str] = {}


class Unauthorized(AppError):
    """Nobody is signed in, or the token is unknown, expired or revoked."""

    status = 401
    code = "unauthorized"
    title = "Sign in first"


class Forbidden(AppError):
    """The actor may see the object but not do this to it."""

    status = 403
    code = "forbidden"
    title = "Not allowed"


class NotFound(AppError):
    """There is no such object, or it belongs to a team that the actor is not in."""

    status = 404
    code = "not-found"
    title = "Not found"


class Conflict(AppError):
    """The object's present state does not allow this."""

    status = 409
    code = "conflict"
    title = "Conflict"


class Gone(AppError):
    """It was here, and has expired or was removed."""

    status = 410
    code = "gone"
    title = "Gone"


class UnsupportedVersion(AppError):
    """The tus version that the client speaks is not ours."""

    status = 412
    code = "unsupported-version"
    title = "Unsupported protocol version"


class TooLarge(AppError):
    """More bytes than declared, or than this server takes."""

    status = 413
    code = "too-large"
    title = "Too large"


class UnsupportedMedia(AppError):
    """The request's content type is not the one this endpoint takes."""

    status = 415
    code = "unsupported-media-type"
    title = "Unsupported media type"


class Invalid(AppError):
    """Well-formed, but its values break a rule."""

    status = 422
    code = "invalid"
    title = "Invalid input"


class Locked(AppError):
    """Another request is writing to the same upload."""

    status = 423
    code = "locked"
    title = "Locked"


class ChecksumMismatch(AppError):
    """The bytes are not those that the client announced; they were discarded (status of tus's checksum extension)."""

    status = 460
    code = "checksum-mismatch"
    title = "Checksum mismatch"


class TooManyAttempts(AppError):
    """Guessing is slowed down: wait before the next try."""

    status = 429
    code = "too-many-attempts"
    title = "Too many attempts"


class TooManyRequests(AppError):
    """The caller asks faster than this server lets anybody."""

    status = 429
    code = "too-many-requests"
    title = "Too many requests"


class Unavailable(AppError):
    """A part of the installation that this needs is missing or does not answer."""

    status = 503
    code = "unavailable"
    title = "Not available"


class OutOfSpace(TooLarge):
    """The server's disk cannot take this."""

    status = 413
    code = "out-of-space"
    title = "Not enough disk space"
