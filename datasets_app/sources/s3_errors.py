"""What stores that speak S3 refuse, told in plain words, whichever library heard it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    ParamValidationError,
)
from botocore.parsers import ResponseParserError

from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.guard import find_refusal
from datasets_app.sources.network_errors import explain_network_error, read_retry_after
from datasets_app.sources.s3_answers import LargeAnswerError, SlowAnswerError
from datasets_app.sources.s3_listing import CutListingError

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS: Final = re.compile(r"non-2xx status code: (\d{3})")
_CODE: Final = re.compile(r"<Code>([A-Za-z0-9._-]{1,80})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,300})</Message>")
_REGION: Final = re.compile(r"<Region>([a-z0-9-]{2,40})</Region>|expecting '([a-z0-9-]{2,40})'")


class Heard(NamedTuple):
    """What a store answered: HTTP status, S3's code and message, the region where the bucket is if it said that."""

    status: int
    code: str
    message: str = ""
    region: str = ""
    retry_after: float | None = None


class Where(NamedTuple):
    """What was asked: the store as users call it, its host, and the bucket or object."""

    store: str
    host: str
    what: str


KEY: Final = "The access key is not known to {store}. Check that it was copied whole, and that it was not deleted."
SECRET: Final = "The secret key does not fit the access key. Enter both again."  # noqa: S105
EXPIRED: Final = "The temporary credentials have expired. Enter new ones, with their session token."
TOKEN: Final = (
    "The session token is not valid. Enter access key, secret key and session token of one and the same kind."  # noqa: S105
)
CLOCK: Final = "The clock of this server and the clock of {store} differ too much for a signature. Set this server's."
DENIED: Final = (
    "These credentials may not read {what}. They need s3:ListBucket on the bucket and s3:GetObject on its objects."
)
ARCHIVED: Final = "{what} is archived. Restore it (Glacier), then try again."
BUSY: Final = "{store} asks to slow down."
BROKEN: Final = "{store} has trouble of its own ({status} {code})."

# Code: cause, and what to say. Codes that are not here are judged by their status.
KNOWN: Final[dict[str, tuple[Cause, str]]] = {
    "InvalidAccessKeyId": (Cause.CREDENTIALS, KEY),
    "SignatureDoesNotMatch": (Cause.CREDENTIALS, SECRET),
    "ExpiredToken": (Cause.CREDENTIALS, EXPIRED),
    "ExpiredTokenException": (Cause.CREDENTIALS, EXPIRED),
    "TokenRefreshRequired": (Cause.CREDENTIALS, EXPIRED),
    "InvalidToken": (Cause.CREDENTIALS, TOKEN),
    "InvalidClientTokenId": (Cause.CREDENTIALS, TOKEN),
    "InvalidSecurity": (Cause.CREDENTIALS, SECRET),
    "Unauthorized": (Cause.CREDENTIALS, KEY),
    "RequestTimeTooSkewed": (Cause.CREDENTIALS, CLOCK),
    "AccessDenied": (Cause.DENIED, DENIED),
    "AllAccessDisabled": (Cause.DENIED, "{what} was closed by its owner or by {store}."),
    "AccountProblem": (Cause.DENIED, "There is a problem with the account that {what} belongs to."),
    "InvalidObjectState": (Cause.DENIED, ARCHIVED),
    "KMS.DisabledException": (Cause.DENIED, "The key that {what} is encrypted with is disabled."),
    "NoSuchBucket": (Cause.MISSING, "There is no bucket of this name: {what}."),
    "NoSuchKey": (Cause.MISSING, "There is no such object: {what}."),
    "NoSuchVersion": (Cause.CHANGED, "{what} is not what was listed any more."),
    "PreconditionFailed": (Cause.CHANGED, "{what} is not what was listed any more."),
    "InvalidRange": (Cause.CHANGED, "{what} is shorter than it was when it was listed."),
    "InvalidBucketName": (Cause.INVALID, "{what} can't be the name of a bucket."),
    "KeyTooLongError": (Cause.INVALID, "The key is too long: {what}."),
    "SlowDown": (Cause.BUSY, BUSY),
    "ServiceUnavailable": (Cause.BUSY, BUSY),
    "Throttling": (Cause.BUSY, BUSY),
    "ThrottlingException": (Cause.BUSY, BUSY),
    "RequestLimitExceeded": (Cause.BUSY, BUSY),
    "BandwidthLimitExceeded": (Cause.BUSY, BUSY),
    "TooManyRequests": (Cause.BUSY, BUSY),
    "RequestTimeout": (Cause.UNREACHABLE, "{store} waited too long for the request."),
    "OperationAborted": (Cause.BUSY, BUSY),
    "InternalError": (Cause.UNREACHABLE, BROKEN),
}
BY_STATUS: Final[dict[int, tuple[Cause, str]]] = {
    401: (Cause.CREDENTIALS, KEY),
    403: (Cause.DENIED, DENIED),
    404: (Cause.MISSING, "There is no such bucket or object: {what}."),
    408: (Cause.UNREACHABLE, "{store} waited too long for the request."),
    412: (Cause.CHANGED, "{what} is not what was listed any more."),
    416: (Cause.CHANGED, "{what} is shorter than it was when it was listed."),
    429: (Cause.BUSY, BUSY),
    503: (Cause.BUSY, BUSY),
}
# Of botocore's errors: those that tell what came instead of an answer. The first that fits counts.
BAD_ANSWERS: Final[tuple[tuple[type[Exception], Cause, str], ...]] = (
    (CutListingError, Cause.DAMAGED, "The listing of {what} broke off before its end."),
    (LargeAnswerError, Cause.INVALID, "{host} answers with more than S3 ever does: it was not read on."),
    (SlowAnswerError, Cause.UNREACHABLE, "{host} sends too slowly: it was given up."),
    (
        ResponseParserError,
        Cause.INVALID,
        "What {host} answers is not S3. Check the endpoint: it must be that of the S3 API.",
    ),
)
REGION_CODES: Final = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
)


def explain(heard: Heard, where: Where) -> SourceError:
    """Return the error to raise for an answer that is no success."""
    if heard.code in REGION_CODES or heard.status in {301, 307}:
        found = f"in the region {heard.region}" if heard.region else "in another region"
        return SourceError(
            Cause.INVALID, f"{where.what} is {found}. Say so in the connection, or leave its region empty."
        )
    cause, words = KNOWN.get(heard.code) or BY_STATUS.get(heard.status) or (None, "")
    if cause is None and heard.status >= 500:  # noqa: PLR2004
        cause, words = Cause.UNREACHABLE, BROKEN
    if cause is None:
        told = f"{heard.status} {heard.code}: {heard.message}".rstrip(": ")
        return SourceError(Cause.INVALID, f"{where.store} refused to give {where.what} ({told}).")
    store = where.store[:1].upper() + where.store[1:] if words.startswith("{store}") else where.store
    detail = words.format(store=store, what=where.what, status=heard.status, code=heard.code)
    return SourceError(cause, detail, retry_after=heard.retry_after)


def explain_boto(error: Exception, where: Where) -> SourceError:
    """Return the error to raise for one of botocore's."""
    if isinstance(error, ClientError):
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        # Of a HEAD request there is no body.
        if refusal := find_refusal(f"{error} {headers.get('x-source-guard')}"):
            return refusal
        return explain(_hear(error), where)
    if isinstance(error, NoCredentialsError):
        return SourceError(
            Cause.CREDENTIALS, "This server's machine has no role that could be used. Enter an access key."
        )
    if isinstance(error, ParamValidationError):
        return SourceError(Cause.INVALID, f"{where.what} can't be a bucket or an object.")
    for kind, cause, words in BAD_ANSWERS:
        if isinstance(error, kind):
            return SourceError(cause, words.format(host=where.host, what=where.what))
    return explain_network_error(error, host=where.host, store=where.store)


def explain_obstore(error: Exception, where: Where) -> SourceError:
    """Return the error to raise for one of obstore's: all that it tells is in its text."""
    text = str(error)
    if refusal := find_refusal(text):
        return refusal
    if status := _STATUS.search(text):
        code, message, region = _CODE.search(text), _MESSAGE.search(text), _REGION.search(text)
        heard = Heard(
            int(status[1]),
            code[1] if code else "",
            message[1] if message else "",
            (region[1] or region[2]) if region else "",
        )
        return explain(heard, where)
    if "redirect without LOCATION" in text:
        return explain(Heard(301, "PermanentRedirect"), where)
    if "timed out" in text or "TimedOut" in text:
        return SourceError(Cause.UNREACHABLE, f"{where.host} was silent for too long.")
    if "body" in text or "IncompleteMessage" in text:
        return SourceError(
            Cause.DAMAGED, f"{where.host} broke off before the end: fewer bytes came than were promised."
        )
    return SourceError(Cause.UNREACHABLE, f"The connection to {where.host} broke off.")


def is_connecting(error: Exception) -> bool:
    """Whether obstore got no connection; it does not tell why."""
    text = str(error)
    return "HTTP error" in text and "kind: Connect" in text


def is_certificate(error: Exception) -> bool:
    """Whether obstore got no connection because of the server's certificate."""
    return "InvalidCertificate" in str(error)


def _hear(error: ClientError) -> Heard:
    answer = error.response
    metadata = answer.get("ResponseMetadata", {})
    headers: Mapping[str, str] = metadata.get("HTTPHeaders", {})
    told = answer.get("Error", {})
    message = told.get("Message", "")
    region = _REGION.search(message)
    return Heard(
        status=metadata.get("HTTPStatusCode", 0),
        # Of a HEAD request, all there is of the code is the status.
        code=told.get("Code", "") if not told.get("Code", "").isdecimal() else "",
        message=message[:300],
        region=headers.get("x-amz-bucket-region") or (region[2] if region else ""),
        retry_after=read_retry_after(headers.get("retry-after", "")),
    )


# Everything that botocore raises.
BOTO_ERRORS: Final = (BotoCoreError, ClientError, ResponseParserError)
