"""What a page's view may rely on: somebody is signed in, and htmx says whether it asks for a part."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Concatenate, ParamSpec, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.utils.cache import patch_vary_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http.response import HttpResponseBase
    from django_htmx.middleware import HtmxDetails

    from datasets_app.models import User

P = ParamSpec("P")


class SignedInRequest(HttpRequest):
    """A request whose user is a real one. Only a type: the decorator below makes it true."""

    user: User
    htmx: HtmxDetails


def signed_in(
    view: Callable[Concatenate[SignedInRequest, P], HttpResponseBase],
) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Send strangers to the sign-in page; tell caches that htmx may get another answer than a browser."""

    @functools.wraps(view)
    def checked(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        response = view(cast("SignedInRequest", request), *args, **kwargs)
        patch_vary_headers(response, ["HX-Request"])
        return response

    return cast("Callable[Concatenate[HttpRequest, P], HttpResponseBase]", login_required(checked))


def is_part(request: SignedInRequest) -> bool:
    """Tell whether htmx asks for a part of the page; when it restores the history it wants the whole."""
    return bool(request.htmx) and not request.htmx.history_restore_request
