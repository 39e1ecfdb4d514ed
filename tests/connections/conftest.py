"""A team, its admin, and a kind of store that needs no network."""

from __future__ import annotations

import pytest

from datasets_app.models import Connection, Role, Team, User
from datasets_app.services.connections import create_connection
from tests.connections.shelf import VALUES, install_shelf
from tests.factories import make_member, make_team


@pytest.fixture(autouse=True)
def _shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the shelf into the registry."""
    install_shelf(monkeypatch)


@pytest.fixture
def team(db: None) -> Team:
    return make_team("vision")


@pytest.fixture
def admin(team: Team) -> User:
    return make_member(team, Role.ADMIN, "ada")


@pytest.fixture
def connection(team: Team, admin: User) -> Connection:
    """A connection to the shelf."""
    return create_connection(admin, team=team.name, name="my-shelf", provider="shelf", values=VALUES)
