"""`manage.py bootstrap`."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from datasets_app.models import Membership, Role, User
from tests.factories import make_member, make_team

pytestmark = pytest.mark.django_db


def bootstrap(*, password: str = "pw", team: str = "vision") -> str:  # noqa: S107 - a made-up password
    out = StringIO()
    call_command("bootstrap", username="ada", password=password, team=team, stdout=out)
    return out.getvalue().splitlines()[-1]


def status(token: str) -> int:
    return Client(headers={"Authorization": f"Bearer {token}"}).get("/api/v1/teams").status_code


def test_it_works() -> None:
    token = bootstrap()
    user = User.objects.get()
    assert user.is_superuser
    assert user.check_password("pw")
    assert Membership.objects.get().role == Role.ADMIN
    assert status(token) == 200


def test_twice_keeps_the_account_and_replaces_the_token() -> None:
    first = bootstrap()
    second = bootstrap(password="other")
    assert User.objects.get().check_password("pw")
    assert Membership.objects.count() == 1
    assert (status(first), status(second)) == (401, 200)


def test_an_existing_member_becomes_admin() -> None:
    user = make_member(make_team("vision"), Role.READER, "ada")
    bootstrap()
    assert Membership.objects.get(user=user).role == Role.ADMIN


def test_bad_team_name_is_one_clear_line() -> None:
    with pytest.raises(CommandError, match="3 to 63"):
        bootstrap(team="x")
    assert not User.objects.exists()
