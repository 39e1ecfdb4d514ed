"""The origin of raw bytes: signed addresses and nothing else, without sessions, pages or API."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpResponse

from datasets_app.api.files import send_file, send_member
from datasets_app.errors import AppError
from datasets_app.services.raw_addresses import PREFIX, open_address

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

# The address is good for some minutes only, and says who may read.
CACHE = "private, max-age=300"


class RawOriginMiddleware:
    """Answer everything that is asked of the origin RAW_ORIGIN. Place it before static files and sessions."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Send the bytes of a signed address, or refuse; requests to other hosts go on."""
        if not settings.RAW_ORIGIN or not _is_raw(request):
            return self.get_response(request)
        response = _answer(request)
        response.headers["Referrer-Policy"] = "no-referrer"
        # Pages of the main origin show pictures and play films from here.
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        response.headers["X-Frame-Options"] = "DENY"
        return response


def _is_raw(request: HttpRequest) -> bool:
    try:
        host = request.get_host()
    except DisallowedHost:
        return False
    return host.lower() == urlsplit(settings.RAW_ORIGIN).netloc.lower()


def _answer(request: HttpRequest) -> HttpResponseBase:
    if request.method not in {"GET", "HEAD"}:
        return _refuse(405, "Bytes are only read here.")
    if not request.path_info.startswith(PREFIX):
        return _refuse(404, "There is nothing but signed addresses of files here.")
    try:
        found = open_address(request.path_info)
        if found.member:
            return send_member(found.file, found.member)
        return send_file(request, found.file, inline=found.inline, cache=CACHE)
    except AppError as error:
        return _refuse(error.status, error.detail)


def _refuse(status: int, words: str) -> HttpResponse:
    response = HttpResponse(words + "\n", status=status, content_type="text/plain; charset=utf-8")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response
