"""The first visit: /setup/."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from datasets_app.errors import Conflict
from datasets_app.models import Membership, Role, Team, User
from datasets_app.services.accounts import create_first_account
from tests.factories import PASSWORD, make_user, page_client

FORM = {"username": "ada", "password": PASSWORD, "again": PASSWORD, "team": "vision"}


@pytest.mark.django_db
def test_it_works(client: Client) -> None:
    response = client.get("/", follow=True)
    assert response.redirect_chain[-1][0] == "/setup/"
    response = client.post("/setup/", FORM, follow=True)
    assert response.status_code == 200
    assert response.redirect_chain[-1][0] == "/teams/vision/datasets/"
    user = User.objects.get()
    assert (user.username, user.is_superuser, user.is_staff) == ("ada", True, True)
    assert Membership.objects.get().role == Role.ADMIN


@pytest.mark.django_db
def test_once_there_is_an_account_it_is_closed(client: Client) -> None:
    user = make_user()
    assert client.get("/setup/", follow=True).redirect_chain[-1][0] == "/sign-in/?next=/"
    client.post("/setup/", FORM)
    page_client(user).post("/setup/", FORM)
    assert list(User.objects.all()) == [user]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"team": "x"}, "team"),
        ({"team": "new"}, "team"),
        ({"username": "a b"}, "username"),
        ({"again": "another"}, "again"),
        ({"password": "short", "again": "short"}, "password"),
        ({"password": "password1", "again": "password1"}, "password"),
    ],
)
def test_bad_input_makes_nothing(client: Client, changed: dict[str, str], field: str) -> None:
    response = client.post("/setup/", FORM | changed)
    assert response.status_code == 422
    assert field in response.context["form"].errors
    assert not User.objects.exists()
    assert not Team.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.data_layer
def test_of_many_at_the_same_moment_one_wins() -> None:
    def try_it(number: int) -> bool:
        try:
            create_first_account(username=f"user{number}", password=PASSWORD, team=f"team{number}")
        except Conflict:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(try_it, range(6)))
    assert outcomes.count(True) == 1
    assert User.objects.count() == Team.objects.count() == 1
