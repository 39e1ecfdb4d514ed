"""The page at /api/v1/docs: the calls to read, and with `?try` Swagger UI, to send them from the browser.

Swagger UI alone is heavier than a page may be, so it comes when it is asked for. It is from this server's own static
files, so that it works without a network.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase

from datasets_app.api.reference import Subject, read_reference


class ReferencePage(DocsBase):
    """Both under the same strict content security policy as every other page."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        """Render the page; Swagger UI's settings travel as JSON in an inert script element."""
        address = self.get_openapi_url(api, kwargs)
        if "try" in request.GET:
            settings = {"url": address, "layout": "BaseLayout", "deepLinking": True}
            return render(request, "api/docs.html", {"api": api, "swagger_settings": settings})
        subjects = _read(api, api.get_root_path(kwargs))
        return render(request, "api/reference.html", {"api": api, "subjects": subjects, "document": address})


@cache
def _read(api: NinjaAPI, prefix: str) -> list[Subject]:
    """Read the document once: it is the same for everybody, and takes longer to make than the page."""
    return read_reference(api.get_openapi_schema(path_prefix=prefix))
