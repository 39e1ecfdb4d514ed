"""Errors as pages: AppError from a service, and Django's own 400, 403, 404 and 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse
from django.shortcuts import render, resolve_url
from django.template.loader import get_template
from django.urls import reverse

from datasets_app.errors import AppError, Forbidden, NotFound, Unauthorized
from flexai_site.logs import request_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

MOVED = 302


def wants_part(request: HttpRequest) -> bool:
    """Tell whether htmx asks for a part of a page, which an error page must not be put into."""
    return "HX-Request" in request.headers and "HX-History-Restore-Request" not in request.headers


def render_error(request: HttpRequest, error: AppError) -> HttpResponse:
    """Answer with the error's status: a page, or for htmx a toast that leaves the page as it is."""
    # People need not be told the same sentence twice, for the whole and for its one field.
    errors = [item for item in error.errors if item.get("detail") != error.detail]
    if wants_part(request):
        response = HttpResponse(status=error.status)
        words = " ".join([error.detail, *(item.get("detail", "") for item in errors[:3])])
        response.headers["HX-Trigger"] = json.dumps({"toast": {"level": "bad", "text": words}})
        return response
    context = {
        "status": error.status,
        "title": error.title,
        "detail": error.detail,
        "errors": errors,
        "request_id": request_id.get(),
    }
    return render(request, "errors/error.html", context, status=error.status)


class ErrorPagesMiddleware:
    """Render AppError raised by a page's view, and keep the sign-in page out of htmx's targets."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Pass the request on; an expired session makes htmx load the whole page again."""
        response = self.get_response(request)
        to_sign_in = response.status_code == MOVED and response.headers.get("Location", "").startswith(
            resolve_url("sign_in")
        )
        if to_sign_in and wants_part(request):
            return HttpResponse(headers={"HX-Refresh": "true"})
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Render errors that users can understand; all others stay bugs."""
        if isinstance(exception, Unauthorized) and not wants_part(request):
            return redirect_to_login(request.get_full_path())
        return render_error(request, exception) if isinstance(exception, AppError) else None


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400."""
    del exception
    return render_error(
        request, AppError("The request was damaged or too large. Go back, reload the page and try again.")
    )


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403."""
    return render_error(request, Forbidden(str(exception) or "Your role in this team does not include this."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 to a form whose secret is missing or old, mostly after signing in again in another tab."""
    del reason
    return render_error(
        request, Forbidden("This page was open for too long. Go back, reload it and send it once more.")
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404."""
    del exception
    detail = "The address may be mistyped, what it named may be deleted, or it belongs to a team that you are not in."
    return render_error(request, NotFound(detail))


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer 500 with a page that needs nothing but its template."""
    if wants_part(request):
        text = "Something broke on the server; it was written to the log."
        return HttpResponse(status=500, headers={"HX-Trigger": json.dumps({"toast": {"level": "bad", "text": text}})})
    context = {"home": reverse("home"), "request_id": request_id.get()}
    return HttpResponse(get_template("errors/500.html").render(context), status=500)
