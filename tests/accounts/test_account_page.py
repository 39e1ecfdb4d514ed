"""/account/: the password and API tokens."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from datasets_app.models import ApiToken, AuditEvent, Role
from tests.factories import PASSWORD, make_member, make_team, make_token, make_user, page_client

pytestmark = pytest.mark.django_db

TOKEN = {"name": "server", "scope": "writer", "team": "", "expires_in_days": "90"}


def new_token(client: Client, **changed: str) -> str:
    response = client.post("/account/tokens/", TOKEN | changed)
    assert response.status_code == 200
    found = re.search(r'id="new-token">(flexai_[\w-]{43})<', response.content.decode())
    assert found is not None
    return found[1]


def test_a_token_is_shown_once_and_works() -> None:
    user = make_member(make_team("vision"), Role.ADMIN)
    client = page_client(user)
    text = new_token(client)
    assert text not in client.get("/account/").content.decode()
    row = ApiToken.objects.get()
    assert text.startswith(row.prefix)
    assert text not in {row.token_hash, row.prefix, row.name}
    response = Client(headers={"Authorization": f"Bearer {text}"}).get("/api/v1/teams")
    assert response.json()["items"][0]["role"] == "writer"


def test_htmx_gets_the_tokens_alone() -> None:
    response = page_client(make_user()).post("/account/tokens/", TOKEN, headers={"HX-Request": "true"})
    text = response.content.decode()
    assert "<html" not in text
    assert 'id="new-token"' in text


def test_a_token_may_never_end() -> None:
    user = make_user()
    new_token(page_client(user), expires_in_days="")
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"scope": "owner"}, "scope"),
        ({"team": "other"}, "team"),
        ({"expires_in_days": "2"}, "expires_in_days"),
    ],
)
def test_a_token_with_bad_input(changed: dict[str, str], field: str) -> None:
    make_team("other")
    response = page_client(make_user()).post("/account/tokens/", TOKEN | changed)
    assert response.status_code == 422
    assert field in response.context["token_form"].errors
    assert not ApiToken.objects.exists()


def test_revoking_ends_it_at_once_and_twice_is_once() -> None:
    user = make_user()
    text = make_token(user)
    url = f"/account/tokens/{ApiToken.objects.get().pk}/revoke/"
    client = page_client(user)
    for _ in range(2):
        assert client.post(url).status_code == 302
    assert Client(headers={"Authorization": f"Bearer {text}"}).get("/api/v1/teams").status_code == 401
    assert AuditEvent.objects.filter(verb="revoked token").count() == 1


def test_others_cannot_revoke_it() -> None:
    make_token(make_user())
    url = f"/account/tokens/{ApiToken.objects.get().pk}/revoke/"
    assert page_client(make_user()).post(url).status_code == 404
    assert ApiToken.objects.get().revoked_at is None


def test_the_password_changes_and_other_sessions_end() -> None:
    user = make_user("ada")
    here, elsewhere = page_client(user), page_client(user)
    body = {"current": PASSWORD, "new": "a new battery staple", "again": "a new battery staple"}
    assert here.post("/account/password/", body).status_code == 302
    assert here.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    assert Client().post("/sign-in/", {"username": "ada", "password": PASSWORD}).status_code == 422
    assert Client().post("/sign-in/", {"username": "ada", "password": body["new"]}).status_code == 302


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"current": "wrong"}, "current"),
        ({"new": "12345", "again": "12345"}, "new"),
        ({"again": "another one"}, "again"),
    ],
)
def test_the_password_stays_after_bad_input(changed: dict[str, str], field: str) -> None:
    user = make_user()
    body = {"current": PASSWORD, "new": "a new battery staple", "again": "a new battery staple"} | changed
    response = page_client(user).post("/account/password/", body)
    assert response.status_code == 422
    assert field in response.context["password_form"].errors
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
