"""The header `Idempotency-Key` on requests that make something."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from django.http import HttpRequest, HttpResponse

from datasets_app.models import User
from datasets_app.services.idempotency import Answer, answer_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http.response import HttpResponseBase

PREFIX: Final = "/api/v1/"
HEADER: Final = "Idempotency-Key"
# Operations that write rows and do nothing slow. Tokens are not among them: their text must be stored nowhere.
REPEATABLE: Final = {
    "create_dataset": "teams/{team}/datasets",
    "create_version": "teams/{team}/datasets/{name}/versions",
    "start_import": "teams/{team}/datasets/{name}/versions/{number}/import",
    "compose_version": "teams/{team}/compose",
    "create_job": "teams/{team}/jobs",
    "create_connection": "teams/{team}/connections",
}
# Written out: to find them in the API's document, all of it would be made, for 0.2 s of the first such request.
_ADDRESSES: Final = [re.compile(PREFIX + re.sub(r"\{[a-z]+\}", "[^/]+", path)) for path in REPEATABLE.values()]
KEPT_HEADERS: Final = ("Content-Type", "Location")


def answer_repeatable(
    request: HttpRequest, get_response: Callable[[HttpRequest], HttpResponseBase]
) -> HttpResponseBase:
    """Answer a request; one with a key that was answered before gets the same answer again, and changes nothing."""
    key = request.headers.get(HEADER)
    user = getattr(request, "user", None)
    if key is None or request.method != "POST" or not isinstance(user, User) or not _is_repeatable(request):
        return get_response(request)

    def act() -> Answer:
        response = get_response(request)
        if not isinstance(response, HttpResponse):
            raise TypeError("what is repeatable does not stream")
        headers = dict(response.headers)
        return Answer(response.status_code, headers, response.content)

    fingerprint = hashlib.sha256(f"{request.path_info}?{request.GET.urlencode()}\n".encode() + request.body).hexdigest()
    found = answer_once(user, key=key, fingerprint=fingerprint, act=act)
    response = HttpResponse(found.body, status=found.status)
    for name, value in found.headers.items():
        if not found.is_repeated or name in KEPT_HEADERS:
            response.headers[name] = value
    if found.is_repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _is_repeatable(request: HttpRequest) -> bool:
    """Whether a POST to the address is one that may be repeated."""
    return any(pattern.fullmatch(request.path_info) for pattern in _ADDRESSES)
