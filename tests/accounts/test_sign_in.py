"""Signing in and out."""

from __future__ import annotations

import pytest
from django.test import Client

from datasets_app.services.sign_in import MOST_FOR_NAME
from tests.factories import PASSWORD, make_member, make_team, make_user, page_client

pytestmark = pytest.mark.django_db


def test_it_works(client: Client) -> None:
    make_member(make_team("vision"), username="ada")
    response = client.post("/sign-in/", {"username": "ada", "password": PASSWORD}, follow=True)
    assert response.redirect_chain[-1][0] == "/teams/vision/datasets/"
    assert client.get("/account/").status_code == 200
    client.post("/sign-out/")
    assert client.get("/account/").headers["Location"] == "/sign-in/?next=/account/"


def test_it_leads_to_the_page_that_was_wanted(client: Client) -> None:
    make_user("ada")
    body = {"username": "ada", "password": PASSWORD, "next": "/account/"}
    assert client.post("/sign-in/", body).headers["Location"] == "/account/"


@pytest.mark.parametrize("url", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/\\evil.example"])
def test_it_leads_to_no_other_server(client: Client, url: str) -> None:
    make_user("ada")
    body = {"username": "ada", "password": PASSWORD, "next": url}
    assert client.post("/sign-in/", body).headers["Location"] == "/"


def test_wrong_password(client: Client) -> None:
    make_user("ada")
    response = client.post("/sign-in/", {"username": "ada", "password": "wrong"})
    assert response.status_code == 422
    assert "is wrong" in response.content.decode()
    # The answer to an unknown name is the same.
    unknown = client.post("/sign-in/", {"username": "bob", "password": "wrong"})
    assert unknown.context["form"].errors == response.context["form"].errors


def test_a_disabled_account_stays_out(client: Client) -> None:
    user = make_user("ada")
    user.is_active = False
    user.save()
    assert client.post("/sign-in/", {"username": "ada", "password": PASSWORD}).status_code == 422


def test_guessing_is_slowed_down(client: Client) -> None:
    make_user("ada")
    make_user("bob")
    for _ in range(MOST_FOR_NAME):
        assert client.post("/sign-in/", {"username": "ada", "password": "wrong"}).status_code == 422
    right = {"username": "ada", "password": PASSWORD}
    assert client.post("/sign-in/", right).status_code == 429
    # Neither another name nor another address is locked out.
    assert client.post("/sign-in/", right, REMOTE_ADDR="10.0.0.9").status_code == 302
    assert Client().post("/sign-in/", {"username": "bob", "password": PASSWORD}).status_code == 302


def test_sign_out_needs_a_post() -> None:
    client = page_client(make_user())
    assert client.get("/sign-out/").status_code == 405
    assert client.get("/account/").status_code == 200


def test_forms_need_the_csrf_secret() -> None:
    make_user("ada")
    client = Client(enforce_csrf_checks=True)
    assert client.post("/sign-in/", {"username": "ada", "password": PASSWORD}).status_code == 403


def test_an_expired_session_reloads_the_page_instead_of_filling_a_part(client: Client) -> None:
    make_user()
    response = client.get("/account/", headers={"HX-Request": "true"})
    assert response.status_code == 200
    assert response.headers["HX-Refresh"] == "true"
    assert response.content == b""
