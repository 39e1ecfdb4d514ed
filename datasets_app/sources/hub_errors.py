"""What the Hugging Face Hub refuses, told in plain words: whether token, gate, name or revision is the reason.

Which kind of refusal it is, is judged by huggingface_hub. https://huggingface.co/docs/hub/datasets-gated
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx2
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import hf_raise_for_status, parse_ratelimit_headers

from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.network_errors import read_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets_app.sources.hub_paths import Place
    from datasets_app.sources.web import Reply

BAD_TOKEN: Final = "Invalid credentials in Authorization header"  # noqa: S105
# What the library looks at; the body is not for users.
_TELLING: Final = ("x-error-code", "x-error-message")


class RepositoryMissing(SourceError):
    """The repository can't be seen: whether that is its name's fault or the token's is worth another question."""


def explain(reply: Reply, place: Place | None, *, endpoint: str, has_token: bool) -> SourceError:
    """Return the error to raise for an answer that is no success; `place` is what was asked for."""
    error = _judge(reply)
    message = reply.headers.get("X-Error-Message", "")
    what = place.shown if place else "the Hub"
    if message.startswith(BAD_TOKEN):
        return bad_token(endpoint)
    match error:
        case GatedRepoError():
            page = endpoint + (place.page if place else "")
            cause, detail = Cause.GATED, _explain_gate(message, what, page, has_token=has_token)
        case DisabledRepoError():
            cause, detail = Cause.DENIED, f"The Hub has disabled {what}."
        case RevisionNotFoundError():
            cause, detail = Cause.MISSING, f"There is no such revision of {what}. Pick a branch, tag or commit."
        case RemoteEntryNotFoundError():
            cause, detail = Cause.MISSING, f"There is no such file or folder in {what}."
        case RepositoryNotFoundError():
            return RepositoryMissing(Cause.MISSING, _explain_missing(what, has_token=has_token))
        case _:
            return _explain_status(reply, what, has_token=has_token)
    return SourceError(cause, detail)


def bad_token(endpoint: str) -> SourceError:
    """Return the error for a token that the Hub does not know."""
    return SourceError(
        Cause.CREDENTIALS,
        f"The access token is not valid, or not any more. Make a new one at {endpoint}/settings/tokens "
        "and enter it in the connection.",
    )


def lacks_repository(place: Place, endpoint: str) -> SourceError:
    """Return the error for a fine-grained token that was not made for this repository."""
    return SourceError(
        Cause.DENIED,
        f"The access token is fine-grained and does not include {place.shown}. Add it, with the right to read its "
        f"contents, at {endpoint}/settings/tokens; or its name is wrong.",
    )


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the Hub asks to wait, by RateLimit headers or Retry-After; None when it does not."""
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    return read_retry_after(headers.get("Retry-After", ""))


def elsewhere(reply: Reply) -> SourceError:
    """Return the error for an answer of the server that the Hub redirects to. Its addresses are signed and expire."""
    if reply.status in {429, 503}:
        return busy(wait_of(reply.headers))
    if reply.status == 416:  # noqa: PLR2004
        return SourceError(Cause.CHANGED, "The file is shorter than it was when it was listed.")
    detail = f"The server that keeps the Hub's large files did not give this one ({reply.status})."
    return SourceError(Cause.UNREACHABLE, detail)


def busy(wait: float | None) -> SourceError:
    """Return the error for too many requests."""
    return SourceError(Cause.BUSY, "The Hub asks to slow down: too many requests.", retry_after=wait)


def _judge(reply: Reply) -> HfHubHTTPError | None:
    """Let the library say which error it is."""
    headers = {name: value for name, value in reply.headers.items() if name.lower() in _TELLING}
    response = httpx2.Response(reply.status, headers=headers, request=httpx2.Request("GET", reply.url))
    try:
        hf_raise_for_status(response)
    except HfHubHTTPError as error:
        return error
    return None


def _explain_gate(message: str, what: str, page: str, *, has_token: bool) -> str:
    text = message.lower()
    if not has_token:
        detail = (
            f"Access to {what} is restricted. Give this connection the access token of an account that has "
            f"accepted its terms at {page}."
        )
    elif "awaiting" in text or "pending" in text:
        detail = f"Access to {what} was asked for, but its owners have not approved that yet. See {page}."
    elif "rejected" in text:
        detail = f"The owners of {what} have rejected the request for access. See {page}."
    elif "fine-grained" in text:
        detail = (
            f"The access token is fine-grained and may not read {what}, which is gated. Allow it to read public "
            "gated repositories, or add this one, in the settings of your tokens."
        )
    else:
        detail = f"The terms of {what} are not accepted yet. Accept them at {page} with the account of the token."
    return detail


def _explain_missing(what: str, *, has_token: bool) -> str:
    nothing = f"There is no {what.removeprefix('the ')}"
    if has_token:
        return f"{nothing}, or the account of the token may not see it."
    return f"{nothing}, or it is private: then the connection needs an access token."


def _explain_status(reply: Reply, what: str, *, has_token: bool) -> SourceError:
    message = reply.headers.get("X-Error-Message", "")[:300]
    told = f"{reply.status}: {message}" if message else f"{reply.status}"
    match reply.status:
        case 401:
            missing = "The access token is not accepted" if has_token else "The Hub asks for an access token"
            cause, detail = Cause.CREDENTIALS, f"{missing}, to give {what} ({told})."
        case 403:
            cause, detail = Cause.DENIED, f"The account of the token may not read {what} ({told})."
        case 404:
            cause, detail = Cause.MISSING, f"Nothing was found when asking for {what} ({told})."
        case 416:
            cause, detail = Cause.CHANGED, "The file is shorter than it was when it was listed."
        case 429:
            return busy(wait_of(reply.headers))
        case 503:
            cause, detail = Cause.BUSY, "The Hub is overloaded."
        case 408 | 500 | 502 | 504 | 520 | 522 | 524:
            cause, detail = Cause.UNREACHABLE, f"The Hub has trouble of its own ({told})."
        case _:
            cause, detail = Cause.INVALID, f"The Hub refused to give {what} ({told})."
    return SourceError(cause, detail, retry_after=wait_of(reply.headers) if cause == Cause.BUSY else None)
