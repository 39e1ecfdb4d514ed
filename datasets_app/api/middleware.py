"""What holds for every address under /api/, whether ninja or another view answers there."""

from __future__ import annotations

from collections.abc import Callable

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from datasets_app.api.auth import user_of_token
from datasets_app.api.errors import describe, problem_response, replace_page_by_problem
from datasets_app.api.idempotency import answer_repeatable
from datasets_app.api.limits import limit_requests
from datasets_app.errors import AppError
from datasets_app.models import User

PREFIX = "/api/"
FIRST_ERROR = 400


class ApiMiddleware:
    """Set `request.user` from the bearer token, and answer every error as a problem, also those of Django itself.

    A token is not sent by browsers on their own, so requests with one need no CSRF header. Place it after the
    middleware for sessions, authentication and error pages.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Authenticate a token before the view, and look at errors after it."""
        if not request.path_info.startswith(PREFIX):
            return self.get_response(request)
        try:
            user = user_of_token(request)
        except AppError as error:
            return problem_response(request, error)
        if user is not None:
            request.user = user
            request._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # noqa: SLF001 - Django's own switch
        try:
            if isinstance(request.user, User):
                limit_requests(request.user)
            response = answer_repeatable(request, self.get_response)
        except AppError as error:
            return problem_response(request, error)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if response.status_code >= FIRST_ERROR and is_page and isinstance(response, HttpResponse):
            replace_page_by_problem(response)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Answer an AppError, or a busy database, in a plain view; all others stay bugs."""
        if request.path_info.startswith(PREFIX) and isinstance(exception, AppError | OperationalError):
            return problem_response(request, describe(exception))
        return None
