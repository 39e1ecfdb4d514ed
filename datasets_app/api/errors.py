"""The one way from errors to `application/problem+json` (RFC 9457), for API routes and the tus endpoint."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from datasets_app.errors import AppError, ErrorItem, Forbidden, Invalid, NotFound, TooLarge, Unauthorized, Unavailable
from flexai_site.logs import request_id

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:flexai:problem:"


class UnexpectedError(AppError):
    """A bug."""

    status = 500
    code = "unexpected"
    title = "Unexpected error"


_KNOWN: dict[type[Exception], AppError] = {
    Http404: NotFound("There is nothing at this address."),
    PermissionDenied: Forbidden("You may not do this."),
    RequestDataTooBig: TooLarge("The request's body is larger than this address takes. Send fewer items at once."),
    HttpError: AppError("The request's body is not JSON, or a text in it holds a NUL."),
    UnreadablePostError: AppError("The connection broke before the whole request was here."),
    OperationalError: Unavailable("The database is busy or away. Try again in a moment."),
}


def problem_body(*, status: int, code: str, title: str, detail: str, errors: list[ErrorItem] | None = None) -> bytes:
    """Return the JSON of a problem; `request_id` finds it in the server's log."""
    problem = {
        "type": TYPE_PREFIX + code,
        "title": title,
        "status": status,
        "detail": detail,
        "errors": errors or [],
        "request_id": request_id.get(),
    }
    return orjson.dumps(problem)


def problem_response(request: HttpRequest, error: AppError) -> HttpResponse:
    """Render `error` for a program. The request is not looked at, but every exception handler is given it."""
    del request
    body = problem_body(
        status=error.status, code=error.code, title=error.title, detail=error.detail, errors=error.errors
    )
    response = HttpResponse(body, status=error.status, content_type=CONTENT_TYPE)
    if isinstance(error, Unauthorized):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable):
        response.headers["Retry-After"] = "5"
    for name, value in error.headers.items():
        response.headers[name] = value
    return response


def describe(error: Exception) -> AppError:
    """Translate what Django, ninja and the database raise; what is unknown is a bug, and is logged as one."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, ValidationError):
        return _invalid(error)
    for kind, described in _KNOWN.items():
        if isinstance(error, kind):
            if isinstance(described, Unavailable):
                logger.warning("The database refused", exc_info=error)
            return described
    logger.error("Unexpected error", exc_info=error)
    return UnexpectedError("Something broke on the server; it was written to the log under this request's id.")


def add_exception_handlers(api: NinjaAPI) -> None:
    """Answer every exception of the API's routes as a problem."""

    def handle(request: HttpRequest, error: Exception | type[Exception]) -> HttpResponse:
        return problem_response(request, describe(error if isinstance(error, Exception) else error()))

    for kind in (Exception, AppError, Http404, HttpError, ValidationError):
        api.add_exception_handler(kind, handle)


@csrf_exempt
def no_such_address(request: HttpRequest, **_named: str) -> HttpResponse:
    """Answer every other address under /api/."""
    return problem_response(request, NotFound("There is nothing at this address. /api/v1/docs lists what there is."))


def replace_page_by_problem(response: HttpResponse) -> None:
    """Turn an error page into a problem with the same status and headers, in place."""
    status = HTTPStatus(response.status_code)
    code = status.name.lower().replace("_", "-")
    detail = f"{status.description or status.phrase}."
    response.content = problem_body(status=response.status_code, code=code, title=status.phrase, detail=detail)
    response.headers["Content-Type"] = CONTENT_TYPE
    response.headers["Content-Length"] = str(len(response.content))


def _invalid(error: ValidationError) -> Invalid:
    """Name each wrong field as it is written in JSON, for instance `files.3.path`."""
    items: list[ErrorItem] = [{"field": _field(found["loc"]), "detail": str(found["msg"])} for found in error.errors]
    named = [f"{item['field']}: {item['detail']}" if item["field"] else item["detail"] for item in items[:3]]
    return Invalid("; ".join(named) + ("; …" if len(items) > len(named) else ""), errors=items)


def _field(location: tuple[Any, ...]) -> str:
    """Drop where the field was (body, query) and, for a body, the name of the route's argument."""
    return ".".join(str(part) for part in location[2 if location[0] == "body" else 1 :])
