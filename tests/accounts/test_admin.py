"""The operator's view at /admin/."""

from __future__ import annotations

import pytest
from django.db.models import Model
from django.test import Client

from datasets_app.models import ApiToken, AuditEvent, Connection, Dataset, Import, Job, Team, User, Version
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_token,
    make_user,
    page_client,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator() -> Client:
    return page_client(User.objects.create_superuser("root"))


@pytest.mark.parametrize("model", [User, Team, Dataset, Version, Job, Connection, Import, ApiToken, AuditEvent])
def test_every_list_and_form_can_be_opened(operator: Client, model: type[Model]) -> None:
    team = make_team("vision")
    make_available_version(make_dataset(team, "images"))
    make_token(make_member(team))
    url = f"/admin/datasets_app/{model.__name__.lower()}/"
    assert operator.get("/admin/").status_code == 200
    assert operator.get(f"{url}?q=a").status_code == 200
    assert operator.get(f"{url}1/change/").status_code in {200, 302}


@pytest.mark.parametrize("model", [Dataset, Version])
def test_data_is_only_looked_at(operator: Client, model: type[Dataset | Version]) -> None:
    make_available_version(make_dataset(make_team()))
    row = model.objects.get()
    url = f"/admin/datasets_app/{model.__name__.lower()}/{row.pk}/"
    assert operator.get(f"{url}change/").status_code == 200
    assert operator.post(f"{url}change/", {"name": "x"}).status_code == 403
    assert operator.post(f"{url}delete/", {"post": "yes"}).status_code == 403
    assert model.objects.get() == row


def test_the_operator_revokes_tokens(operator: Client) -> None:
    text = make_token(make_user())
    body = {"action": "revoke", "_selected_action": [ApiToken.objects.get().pk]}
    operator.post("/admin/datasets_app/apitoken/", body)
    assert Client(headers={"Authorization": f"Bearer {text}"}).get("/api/v1/teams").status_code == 401


def test_others_stay_out(client: Client) -> None:
    make_user()
    assert client.get("/admin/", follow=True).redirect_chain[-1][0] == "/sign-in/?next=/admin/"
    assert page_client(make_user()).get("/admin/", follow=True).status_code == 403
