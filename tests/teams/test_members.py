"""Members: roles, removal, leaving, and the last admin."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from datasets_app.errors import AppError, Conflict
from datasets_app.models import AuditEvent, Membership, Role, Team, User
from datasets_app.services.teams import change_role, remove_member
from tests.factories import make_member, make_team, make_user, page_client

ROLE, REMOVE, LEAVE = "/teams/vision/members/role/", "/teams/vision/members/remove/", "/teams/vision/leave/"


@pytest.fixture
def team() -> Team:
    team = make_team("vision")
    make_member(team, Role.ADMIN, "ada")
    make_member(team, Role.READER, "grace")
    return team


def user(name: str) -> User:
    return User.objects.get(username=name)


def role(name: str) -> str | None:
    return Membership.objects.filter(user__username=name).values_list("role", flat=True).first()


@pytest.mark.django_db
def test_an_admin_changes_a_role(team: Team) -> None:
    response = page_client(user("ada")).post(ROLE, {"username": "grace", "role": "writer"}, follow=True)
    assert "grace is now writer in vision." in response.content.decode()
    assert role("grace") == "writer"
    event = AuditEvent.objects.get(verb="changed role of")
    assert (event.actor_name, event.subject, event.details) == ("ada", "grace", {"old": "reader", "new": "writer"})


@pytest.mark.django_db
def test_an_admin_removes_a_member(team: Team) -> None:
    page_client(user("ada")).post(REMOVE, {"username": "grace"})
    assert role("grace") is None
    assert page_client(user("grace")).get("/teams/vision/").status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize(("url", "body"), [(ROLE, {"role": "admin"}), (REMOVE, {})])
def test_others_may_not(team: Team, url: str, body: dict[str, str]) -> None:
    make_member(team, Role.WRITER, "will")
    assert page_client(user("will")).post(url, {"username": "grace", **body}).status_code == 403
    assert page_client(make_user()).post(url, {"username": "grace", **body}).status_code == 404
    assert role("grace") == "reader"


@pytest.mark.django_db
def test_nobody_raises_their_own_role(team: Team) -> None:
    assert page_client(user("grace")).post(ROLE, {"username": "grace", "role": "admin"}).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{"username": "grace", "role": "owner"}, {"username": "grace"}])
def test_bad_role(team: Team, body: dict[str, str]) -> None:
    assert page_client(user("ada")).post(ROLE, body).status_code == 422


@pytest.mark.django_db
def test_unknown_member(team: Team) -> None:
    assert page_client(user("ada")).post(ROLE, {"username": "nobody", "role": "reader"}).status_code == 404


@pytest.mark.django_db
def test_the_last_admin_stays(team: Team) -> None:
    client = page_client(user("ada"))
    tries = [(ROLE, {"username": "ada", "role": "reader"}), (REMOVE, {"username": "ada"}), (LEAVE, {})]
    for url, body in tries:
        assert "last admin" in client.post(url, body, follow=True).content.decode()
    assert role("ada") == "admin"
    make_member(team, Role.ADMIN)
    client.post(LEAVE)
    assert role("ada") is None


@pytest.mark.django_db
def test_a_reader_leaves(team: Team) -> None:
    client = page_client(user("grace"))
    response = client.post(LEAVE, follow=True)
    assert "You are in no team yet" in response.content.decode()
    assert role("grace") is None
    assert client.post(LEAVE).status_code == 404


@pytest.mark.django_db(transaction=True)
@pytest.mark.data_layer
def test_two_admins_who_demote_each_other_at_the_same_moment() -> None:
    team = make_team("vision")
    admins = [make_member(team, Role.ADMIN, name) for name in ("ada", "grace")]

    def demote(number: int) -> bool:
        try:
            change_role(admins[number], team="vision", username=admins[1 - number].username, role="reader")
        except AppError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(demote, [0, 1]))
    assert outcomes.count(True) == 1
    assert Membership.objects.filter(role=Role.ADMIN).count() == 1


@pytest.mark.django_db
def test_removing_the_last_admin_by_the_service(team: Team) -> None:
    with pytest.raises(Conflict):
        remove_member(user("ada"), team="vision", username="ada")
