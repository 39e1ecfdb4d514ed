"""What Google Cloud Storage refuses, told in plain words.

https://cloud.google.com/storage/docs/json_api/v1/status-codes
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.network_errors import read_retry_after

if TYPE_CHECKING:
    from google.auth.exceptions import GoogleAuthError

    from datasets_app.sources.web import Reply

STORE: Final = "Google Cloud Storage"
_TOLD_LENGTH: Final = 300
DENIED: Final = (
    "{who} may not read {what}: it needs storage.objects.list and storage.objects.get (role Storage Object Viewer)."
)
NOT_PUBLIC: Final = "{what} is not public, or does not exist. Sign in with a service account that may read it."
PAYER: Final = "{what} wants the requester to pay. Enter a billing project in the connection."
PAYER_DENIED: Final = "{who} may not bill requests to the billing project: it needs serviceusage.services.use there."
CHANGED: Final = "{what} is not what was listed any more."
BUSY: Final = "Google Cloud Storage asks to slow down."
TROUBLE: Final = "Google Cloud Storage has trouble of its own ({status})."
# Reasons that come with several statuses; the others are judged by their status.
BY_REASON: Final = {
    "rateLimitExceeded": (Cause.BUSY, BUSY),
    "userRateLimitExceeded": (Cause.BUSY, BUSY),
    "quotaExceeded": (Cause.BUSY, BUSY),
    "dailyLimitExceeded": (Cause.BUSY, BUSY),
    "UserProjectMissing": (Cause.DENIED, PAYER),
    "UserProjectAccessDenied": (Cause.DENIED, PAYER_DENIED),
    "UserProjectAccountProblem": (Cause.DENIED, "There is a problem with the billing of the billing project."),
    "UserProjectInvalid": (Cause.INVALID, "There is no such billing project."),
    "accountDisabled": (Cause.DENIED, "The billing account of the project that {what} belongs to is closed."),
    "backendError": (Cause.UNREACHABLE, TROUBLE),
    "internalError": (Cause.UNREACHABLE, TROUBLE),
}
BY_STATUS: Final = {
    401: (Cause.CREDENTIALS, "{who} is not accepted any more: it may have been disabled, or its key deleted."),
    403: (Cause.DENIED, DENIED),
    404: (Cause.MISSING, "There is no such bucket or object: {what}."),
    408: (Cause.UNREACHABLE, TROUBLE),
    412: (Cause.CHANGED, CHANGED),
    416: (Cause.CHANGED, "{what} is shorter than it was when it was listed."),
    429: (Cause.BUSY, BUSY),
    500: (Cause.UNREACHABLE, TROUBLE),
    502: (Cause.UNREACHABLE, TROUBLE),
    503: (Cause.BUSY, BUSY),
    504: (Cause.UNREACHABLE, TROUBLE),
}


class Heard(NamedTuple):
    """What an answer says of itself."""

    message: str
    reason: str


def explain(reply: Reply, *, what: str, who: str) -> SourceError:
    """Return the error to raise for an answer that is no success.

    `what` is the bucket or object that was asked for, `who` the service account's e-mail, empty for a stranger.
    """
    heard = _hear(reply)
    cause, words = BY_REASON.get(heard.reason) or BY_STATUS.get(reply.status) or (Cause.INVALID, "")
    if "requester pays" in heard.message:
        cause, words = Cause.DENIED, PAYER
    elif not who and reply.status in {401, 403} and words is not PAYER_DENIED and cause != Cause.BUSY:
        cause, words = Cause.DENIED, NOT_PUBLIC
    if not words:
        told = f"{reply.status}: {heard.message}".rstrip(": ").rstrip(".")
        words = f"{STORE} refused to give {{what}} ({told.replace('{', '(').replace('}', ')')})."
    detail = words.format(what=what, who=who, status=reply.status)
    return SourceError(cause, detail, retry_after=read_retry_after(reply.headers.get("Retry-After", "")))


def explain_sign_in(error: GoogleAuthError, who: str) -> SourceError:
    """Return the error to raise when no token is given for the service account."""
    told = " ".join(str(part) for part in error.args if isinstance(part, str))
    if "expire" in told or "iat" in told or "short-lived" in told:
        detail = "Google refuses the time of the request to sign in. Set the clock of this server."
    elif "not found" in told:
        detail = f"Google does not know the service account {who} (any more)."
    elif "disabled" in told:
        detail = f"The service account {who} is disabled."
    elif "invalid_grant" in told:
        detail = f"The key is not one of {who}: it was deleted, or changed on its way. Enter a new one."
    else:
        return SourceError(Cause.UNREACHABLE, "Google does not sign the service account in at present.")
    return SourceError(Cause.CREDENTIALS, detail)


def _hear(reply: Reply) -> Heard:
    try:
        error = json.loads(reply.data)["error"]
        first = (error.get("errors") or [{}])[0]
        return Heard(str(error.get("message", ""))[:_TOLD_LENGTH], str(first.get("reason", "")))
    except (ValueError, KeyError, TypeError, AttributeError):
        # Downloads answer in plain text.
        is_text = reply.headers.get("Content-Type", "").startswith("text/plain")
        return Heard(reply.data.decode(errors="replace")[:_TOLD_LENGTH].strip() if is_text else "", "")
