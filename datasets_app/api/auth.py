"""Who is calling: an API token, or the browser's session with the CSRF header."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest
from ninja.security import HttpBearer
from ninja.utils import check_csrf

from datasets_app.errors import Forbidden, Unauthorized
from datasets_app.models import User
from datasets_app.services.tokens import authenticate_token

SCHEME = "bearer"


class ApiRequest(HttpRequest):
    """A request to an API route: `auth` is the user. Only a type; ninja sets the attribute."""

    auth: User


def user_of_token(request: HttpRequest) -> User | None:
    """Return the user of the request's bearer token; None when it has no Authorization header."""
    header = request.headers.get("Authorization", "")
    if not header:
        return None
    scheme, _, text = header.partition(" ")
    if scheme.lower() != SCHEME:
        raise Unauthorized("The Authorization header must be: Bearer, a space, and an API token.")
    return authenticate_token(text.strip())


def authenticate(request: HttpRequest) -> User:
    """Return the caller. Raise Unauthorized for nobody, Forbidden for a session without its CSRF header.

    A request with an Authorization header is judged by that alone: a bad token doesn't fall back to the session.
    """
    user = getattr(request, "user", None)
    if not isinstance(user, User) or not user.is_authenticated:
        raise Unauthorized("Send an API token as `Authorization: Bearer <token>`, or sign in.")
    if user.access_token is None and check_csrf(request) is not None:
        raise Forbidden("The X-CSRFToken header is missing or old. Reload the page, or use an API token.")
    return user


class TokenOrSession(HttpBearer):
    """`authenticate` as ninja and the OpenAPI document want it."""

    openapi_description = "An API token from the account page. Browsers may use their session instead."
    # Read by the documentation page, which then sends the CSRF header.
    csrf = True

    def __call__(self, request: HttpRequest) -> User:
        """Return the caller, whom the middleware has found already when there is a token."""
        return authenticate(request)

    def authenticate(self, request: HttpRequest, token: str) -> User:
        """Unused: `__call__` does it all."""
        del token
        return cast("User", request.user)


auth = TokenOrSession()
