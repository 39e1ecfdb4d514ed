"""Errors as pages, and as toasts for htmx."""

from __future__ import annotations

import json

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import include, path

from datasets_app.errors import Conflict, Invalid, Unauthorized
from flexai_site.urls import handler404, handler500
from tests.factories import make_user, page_client

pytestmark = pytest.mark.django_db

__all__ = ["handler404", "handler500", "urlpatterns"]


def conflict(request: HttpRequest) -> HttpResponse:
    raise Conflict("Größe <b> is taken.", errors=[{"path": "a/b", "detail": "is a file"}])


def one_field(request: HttpRequest) -> HttpResponse:
    raise Invalid("The cursor is odd.", errors=[{"field": "cursor", "detail": "The cursor is odd."}])


def unauthorized(request: HttpRequest) -> HttpResponse:
    raise Unauthorized("Sign in.")


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("secret detail")


urlpatterns = [
    path("conflict/", conflict),
    path("one-field/", one_field),
    path("unauthorized/", unauthorized),
    path("broken/", broken),
    path("", include("flexai_site.urls")),
]
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def _own_urls() -> object:
    with override_settings(ROOT_URLCONF=__name__):
        yield


def test_it_works() -> None:
    response = page_client(make_user()).get("/conflict/")
    page = response.content.decode()
    assert response.status_code == 409
    assert "Größe &lt;b&gt; is taken." in page
    assert "a/b" in page


def test_htmx_gets_a_toast_and_keeps_its_page() -> None:
    response = page_client(make_user()).get("/conflict/", headers=HTMX)
    assert (response.status_code, response.content) == (409, b"")
    toast = json.loads(response.headers["HX-Trigger"])["toast"]
    assert toast == {"level": "bad", "text": "Größe <b> is taken. is a file"}


def test_one_sentence_is_said_once() -> None:
    client = page_client(make_user())
    assert client.get("/one-field/").content.decode().count("The cursor is odd.") == 1
    toast = json.loads(client.get("/one-field/", headers=HTMX).headers["HX-Trigger"])["toast"]
    assert toast["text"] == "The cursor is odd."


def test_unauthorized_leads_to_sign_in() -> None:
    response = Client().get("/unauthorized/?a=1")
    assert response.status_code == 302
    assert "next=/unauthorized/" in response.headers["Location"]


def test_an_expired_session_reloads_the_page_of_htmx() -> None:
    response = Client().get("/account/", headers=HTMX)
    assert (response.status_code, response.headers["HX-Refresh"]) == (200, "true")


def test_not_found() -> None:
    response = Client().get("/nowhere/")
    assert response.status_code == 404
    assert "<h1>Not found</h1>" in response.content.decode()
    assert Client().get("/nowhere/", headers=HTMX).status_code == 404


@pytest.mark.parametrize("headers", [{}, HTMX])
def test_a_bug_says_nothing_of_itself(headers: dict[str, str]) -> None:
    client = Client(raise_request_exception=False)
    response = client.get("/broken/", headers=headers)
    assert response.status_code == 500
    assert b"secret" not in response.content
    assert "secret" not in response.headers.get("HX-Trigger", "")


def test_a_form_without_its_secret_is_refused_kindly() -> None:
    response = Client(enforce_csrf_checks=True).post("/sign-in/", {"username": "a", "password": "b"})
    assert response.status_code == 403
    assert "open for too long" in response.content.decode()
