"""A team with a writer, for every test of a dataset's life."""

from __future__ import annotations

import pytest

from datasets_app.models import Role, Team, User
from tests.factories import make_member, make_team


@pytest.fixture
def team(db: None) -> Team:
    """Make a team."""
    return make_team("vision")


@pytest.fixture
def writer(team: Team) -> User:
    """Make a writer of the team."""
    return make_member(team, Role.WRITER, "wren")
