"""Invitation links: made by admins, used once, in time."""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from datasets_app.errors import AppError
from datasets_app.models import Invitation, Membership, Role, Team, User
from datasets_app.services.invitations import accept_invitation, create_invitation
from tests.factories import PASSWORD, make_member, make_team, make_user, page_client

URL = "/teams/vision/invitations/"
FORM = {"role": "writer", "note": "Grace", "expires_in_days": "7"}
JOIN = {"username": "grace", "password": PASSWORD, "again": PASSWORD}


@pytest.fixture
def team() -> Team:
    team = make_team("vision")
    make_member(team, Role.ADMIN, "ada")
    return team


def make_link(**changed: str) -> str:
    admin = page_client(User.objects.get(username="ada"))
    response = admin.post(URL, FORM | changed)
    assert response.status_code == 200
    found = re.search(r'id="new-link">http://testserver(/invitations/[\w-]{43}/)<', response.content.decode())
    assert found is not None
    assert found[1] not in admin.get("/teams/vision/").content.decode()
    return found[1]


@pytest.mark.django_db
def test_a_new_person_joins(team: Team, client: Client) -> None:
    link = make_link()
    assert "ada invites you as writer" in client.get(link).content.decode()
    response = client.post(link, JOIN, follow=True)
    assert response.redirect_chain[-1][0] == "/teams/vision/datasets/"
    assert Membership.objects.get(user__username="grace").role == "writer"
    assert not User.objects.get(username="grace").is_staff


@pytest.mark.django_db
def test_somebody_with_an_account_joins(team: Team) -> None:
    user = make_user("grace")
    client = page_client(user)
    link = make_link()
    assert "Join as grace" in client.get(link).content.decode()
    assert client.post(link).status_code == 302
    assert Invitation.objects.get().accepted_by == user


@pytest.mark.django_db
def test_it_serves_one_person(team: Team) -> None:
    link = make_link()
    Client().post(link, JOIN)
    assert Client().get(link).status_code == 410
    assert Client().post(link, JOIN | {"username": "eve"}).status_code == 410
    assert page_client(make_user()).post(link).status_code == 410
    assert Membership.objects.filter(team=team).count() == 2
    assert not User.objects.filter(username="eve").exists()


@pytest.mark.django_db
def test_it_expires(team: Team, client: Client) -> None:
    link = make_link()
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.post(link, JOIN).status_code == 410
    assert not User.objects.filter(username="grace").exists()


@pytest.mark.django_db
def test_it_is_revoked(team: Team, client: Client) -> None:
    link = make_link()
    admin = page_client(User.objects.get(username="ada"))
    for _ in range(2):
        assert admin.post(f"{URL}{Invitation.objects.get().pk}/revoke/").status_code == 302
    assert client.get(link).status_code == 410
    assert admin.get("/teams/vision/").context["invitations"] == []


@pytest.mark.django_db
def test_one_that_was_accepted_cannot_be_revoked(team: Team, client: Client) -> None:
    client.post(make_link(), JOIN)
    admin = page_client(User.objects.get(username="ada"))
    assert admin.post(f"{URL}{Invitation.objects.get().pk}/revoke/").status_code == 409


@pytest.mark.django_db
def test_a_guessed_link(client: Client) -> None:
    make_user()
    assert client.get("/invitations/guess/").status_code == 404


@pytest.mark.django_db
def test_a_member_does_not_use_it_up(team: Team) -> None:
    link = make_link()
    assert page_client(User.objects.get(username="ada")).post(link).status_code == 409
    assert Client().post(link, JOIN).status_code == 302


@pytest.mark.django_db
def test_a_bad_account_does_not_use_it_up(team: Team) -> None:
    link = make_link()
    for changed in ({"username": "ada"}, {"password": "short", "again": "short"}, {"again": "other"}):
        assert Client().post(link, JOIN | changed).status_code == 422
    assert Client().post(link, JOIN).status_code == 302


@pytest.mark.django_db
@pytest.mark.parametrize("role", [Role.READER, Role.WRITER])
def test_others_neither_make_nor_see_nor_revoke(team: Team, role: Role) -> None:
    make_link()
    client = page_client(make_member(team, role))
    assert client.post(URL, FORM).status_code == 403
    assert client.post(f"{URL}{Invitation.objects.get().pk}/revoke/").status_code == 403
    assert "Invite somebody" not in client.get("/teams/vision/").content.decode()
    assert page_client(make_user()).post(URL, FORM).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(
    "changed", [{"role": "owner"}, {"expires_in_days": "365"}, {"expires_in_days": "x"}, {"note": "x" * 201}]
)
def test_bad_input(team: Team, changed: dict[str, str]) -> None:
    assert page_client(User.objects.get(username="ada")).post(URL, FORM | changed).status_code == 422
    assert not Invitation.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.data_layer
def test_of_many_at_the_same_moment_one_joins() -> None:
    team = make_team("vision")
    _, secret = create_invitation(make_member(team, Role.ADMIN), team="vision", role="reader")
    people = [make_user() for _ in range(5)]

    def accept(number: int) -> bool:
        try:
            accept_invitation(people[number], secret=secret)
        except AppError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(5) as pool:
        outcomes = list(pool.map(accept, range(5)))
    assert outcomes.count(True) == 1
    assert Membership.objects.filter(team=team).count() == 2


@pytest.mark.django_db
def test_the_secret_is_not_logged(team: Team, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    link = make_link()
    log = StringIO()
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler:
            monkeypatch.setattr(handler, "stream", log)
    client.get(link)
    client.post(link, JOIN | {"again": "other"})
    assert log.getvalue().count("/invitations/") == 3
    assert link not in log.getvalue()
