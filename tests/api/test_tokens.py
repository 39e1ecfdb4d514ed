"""Tokens by the API: made, listed, used, revoked; none is wider than what makes it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from datasets_app.models import ApiToken, Role
from tests.factories import api_client, make_member, make_team, make_token, page_client

pytestmark = pytest.mark.django_db

TOKENS = "/api/v1/tokens"


def bearer(text: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {text}"})


def test_it_works() -> None:
    team = make_team()
    user = make_member(team, Role.ADMIN)
    client = api_client(user)
    made = client.post(
        TOKENS,
        {"name": "cluster", "scope": "reader", "team": team.name, "expires_in_days": 90},
        content_type="application/json",
    )
    assert made.status_code == 201
    body = made.json()
    assert made.headers["Cache-Control"] == "no-store"
    assert body["token"].startswith(body["prefix"])
    assert (body["scope"], body["team"], body["last_used_at"]) == ("reader", team.name, None)

    theirs = bearer(body["token"])
    me = theirs.get("/api/v1/me").json()
    assert (me["username"], me["token"]["name"]) == (user.username, "cluster")
    assert theirs.get("/api/v1/teams").json()["items"][0]["role"] == "reader"
    listed = {row["name"]: row for row in client.get(TOKENS).json()["items"]}
    assert listed["cluster"]["last_used_at"] is not None
    assert "token" not in listed["cluster"]
    # Only its hash is kept.
    assert not ApiToken.objects.filter(token_hash=body["token"]).exists()

    assert client.delete(f"{TOKENS}/{body['id']}").status_code == 204
    assert client.delete(f"{TOKENS}/{body['id']}").status_code == 204
    assert theirs.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize("scope", ["reader", "writer"])
def test_a_narrow_token_makes_none_and_sees_itself_alone(scope: str) -> None:
    user = make_member(make_team(), Role.ADMIN)
    make_token(user)
    client = api_client(user, scope=scope)
    refused = client.post(TOKENS, {"name": "more", "scope": "reader"}, content_type="application/json")
    assert refused.status_code == 403
    assert len(client.get(TOKENS).json()["items"]) == 1
    other = ApiToken.objects.exclude(scope=scope).get()
    assert client.delete(f"{TOKENS}/{other.pk}").status_code == 404


def test_a_token_for_one_team_makes_tokens_for_that_team_alone() -> None:
    team, other = make_team(), make_team()
    user = make_member(team, Role.ADMIN)
    other.memberships.create(user=user, role=Role.ADMIN)
    client = api_client(user, team=team)
    for wanted, status in (("", 403), (other.name, 404), (team.name, 201)):
        answer = client.post(TOKENS, {"name": "more", "team": wanted}, content_type="application/json")
        assert answer.status_code == status


def test_no_token_outlives_the_one_that_made_it() -> None:
    user = make_member(make_team(), Role.ADMIN)
    text = make_token(user)
    ApiToken.objects.update(expires_at=timezone.now() + timedelta(days=10))
    client = bearer(text)
    answers = []
    for days in (None, 11, 9):
        asked = {"name": "more", "scope": "admin", "expires_in_days": days}
        answers.append(client.post(TOKENS, asked, content_type="application/json"))
    assert [answer.status_code for answer in answers] == [403, 403, 201]
    child = bearer(answers[-1].json()["token"])
    asked = {"name": "grandchild", "scope": "reader", "expires_in_days": 1}
    grandchild = bearer(child.post(TOKENS, asked, content_type="application/json").json()["token"])
    assert grandchild.get("/api/v1/me").status_code == 200
    first = ApiToken.objects.get(parent=None)
    assert page_client(user).post(f"/account/tokens/{first.pk}/revoke/").status_code == 302
    assert [each.get("/api/v1/me").status_code for each in (client, child, grandchild)] == [401, 401, 401]


def test_a_stranger_finds_no_tokens_of_others() -> None:
    mine = make_token(make_member(make_team()))
    assert mine
    stranger = api_client(make_member(make_team()))
    assert stranger.delete(f"{TOKENS}/{ApiToken.objects.order_by('pk').first().pk}").status_code == 404  # type: ignore[union-attr]
    assert len(stranger.get(TOKENS).json()["items"]) == 1


def test_bad_input() -> None:
    client = api_client(make_member(make_team()))
    for wrong in ({"name": ""}, {"name": "a", "scope": "owner"}, {"name": "a", "expires_in_days": 0}, {}):
        assert client.post(TOKENS, wrong, content_type="application/json").status_code == 422
    assert Client().get("/api/v1/me").status_code == 401
