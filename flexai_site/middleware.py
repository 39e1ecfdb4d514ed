"""Middleware about HTTP itself: the request id, its log line, and compression of pages."""

import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Final

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from typing_extensions import override

from flexai_site.logs import request_id

logger = logging.getLogger("flexai.requests")

_ACCEPTED_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_QUIET_PATHS: Final = ("/healthz", "/readyz")
_COMPRESSED_TYPES: Final = ("text/html", "application/json", "application/problem+json")


class RequestIdMiddleware:
    """Name each request by `X-Request-ID`, taken from the client when well-formed, and log one line for it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Run the request under its id."""
        given = request.headers.get("X-Request-ID", "")
        # Anything else could forge log lines.
        current = given if _ACCEPTED_ID.fullmatch(given) else secrets.token_hex(8)
        token = request_id.set(current)
        started = time.perf_counter()
        try:
            response = self.get_response(request)
            response.headers["X-Request-ID"] = current
            level = logging.DEBUG if request.path_info in _QUIET_PATHS else logging.INFO
            logger.log(
                level,
                "%s %s %s",
                request.method,
                request.path,
                response.status_code,
                extra={"milliseconds": round((time.perf_counter() - started) * 1000, 1)},
            )
            return response
        finally:
            request_id.reset(token)


class PageCompressionMiddleware(GZipMiddleware):
    """Compress pages and small JSON answers; never streams and files, whose length and ranges must stay exact."""

    @override
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        kind = response.headers.get("Content-Type", "").partition(";")[0]
        if isinstance(response, HttpResponse) and kind in _COMPRESSED_TYPES and response.status_code != 206:  # noqa: PLR2004
            return super().process_response(request, response)
        return response


class RefuseNulMiddleware:
    """Refuse addresses that hold a NUL: no name here does, and PostgreSQL breaks off a query that does.

    Place it last, so that the refusal is rendered like every other error.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer 400."""
        if "\0" in request.path_info or "%00" in request.META.get("QUERY_STRING", ""):
            raise SuspiciousOperation("The address holds a NUL.")
        return self.get_response(request)
