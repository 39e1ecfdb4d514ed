"""Home, new teams, switching, and what a team page shows."""

from __future__ import annotations

import pytest

from datasets_app.models import Membership, Role, Team
from tests.factories import make_dataset, make_member, make_team, make_user, page_client

pytestmark = pytest.mark.django_db


def test_a_new_team() -> None:
    user = make_user("ada")
    response = page_client(user).post("/teams/new/", {"name": "vision"}, follow=True)
    assert response.redirect_chain[-1][0] == "/teams/vision/"
    assert Membership.objects.get().role == Role.ADMIN
    assert "created team" in response.content.decode()


@pytest.mark.parametrize("name", ["ab", "new", "a b c", "x" * 64, ""])
def test_a_new_team_with_a_bad_name(name: str) -> None:
    response = page_client(make_user()).post("/teams/new/", {"name": name})
    assert response.status_code == 422
    assert not Team.objects.exists()


def test_a_new_team_with_a_name_that_is_taken() -> None:
    make_team("vision")
    response = page_client(make_user()).post("/teams/new/", {"name": "vision"})
    assert response.status_code == 422
    assert "already a team called vision" in response.content.decode()


def test_home_opens_the_team_last_visited() -> None:
    user = make_user()
    make_team("alpha", admin=user)
    make_team("beta", admin=user)
    client = page_client(user)
    assert client.get("/").headers["Location"] == "/teams/alpha/datasets/"
    client.post("/teams/beta/switch/")
    assert client.get("/").headers["Location"] == "/teams/beta/datasets/"
    client.get("/teams/alpha/")
    assert client.get("/").headers["Location"] == "/teams/alpha/datasets/"


def test_home_after_leaving_the_team_last_visited() -> None:
    user = make_user()
    make_team("alpha", admin=user)
    beta = make_team("beta", admin=user)
    client = page_client(user)
    client.post("/teams/beta/switch/")
    Membership.objects.filter(team=beta).delete()
    assert client.get("/").headers["Location"] == "/teams/alpha/datasets/"


def test_activity_is_shown_to_members() -> None:
    team = make_team("vision")
    make_dataset(team, "images")
    text = page_client(make_member(team, Role.READER)).get("/teams/vision/").content.decode()
    assert "created dataset" in text
    assert "images" in text


def test_activity_is_escaped() -> None:
    team = make_team("vision")
    admin = make_member(team, Role.ADMIN)
    page_client(admin).post(
        "/teams/vision/invitations/", {"role": "reader", "note": "<script>", "expires_in_days": "7"}
    )
    assert "<script>" not in page_client(admin).get("/teams/vision/").content.decode()
