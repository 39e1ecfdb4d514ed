"""A dataset's page."""

from __future__ import annotations

import pytest

from datasets_app.models import Role
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
    page_client,
)

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/"


def test_it_works() -> None:
    team = make_team("vision")
    dataset = make_dataset(team, "images", description="Line one\n\n<script>alert(1)</script>")
    version = make_available_version(dataset)
    page = page_client(make_member(team)).get(URL).content.decode()
    assert "images@1" in page
    assert version.digest in page
    assert 'data-copy="/input/images/"' in page
    assert "<p>Line one</p>" in page
    assert "<script>alert" not in page
    assert "/teams/vision/jobs/new/?dataset=images" in page
    assert "every 3s" not in page


def test_stranger() -> None:
    make_dataset(make_team("vision"), "images")
    assert page_client(make_user()).get(URL).status_code == 404


def test_reader_is_not_offered_what_is_refused() -> None:
    team = make_team("vision")
    make_available_version(make_dataset(team, "images"))
    page = page_client(make_member(team, Role.READER)).get(URL).content.decode()
    assert "/edit/" not in page
    assert "/upload/" not in page
    assert "jobs/new" not in page


def test_polls_while_a_version_is_under_way() -> None:
    team = make_team("vision")
    make_version(make_dataset(team, "images"))
    client = page_client(make_member(team))
    assert 'hx-trigger="every 3s"' in client.get(URL).content.decode()
    part = client.get(URL, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert 'id="versions"' in part


def test_a_new_latest_version_loads_the_whole_page_anew() -> None:
    team = make_team("vision")
    dataset = make_dataset(team, "images")
    make_available_version(dataset)
    make_version(dataset)
    client = page_client(make_member(team))
    assert f'hx-get="{URL}?latest=1"' in client.get(URL).content.decode()
    htmx = {"HX-Request": "true"}
    part = client.get(f"{URL}?latest=1", headers=htmx)
    assert "HX-Refresh" not in part.headers
    assert f'hx-get="{URL}?latest=1"' in part.content.decode()
    make_available_version(dataset)
    assert client.get(f"{URL}?latest=1", headers=htmx).headers["HX-Refresh"] == "true"
    assert "HX-Refresh" not in client.get(f"{URL}?latest=3", headers=htmx).headers


def test_empty_state_leads_to_the_upload() -> None:
    team = make_team("vision")
    make_dataset(team, "images")
    page = page_client(make_member(team)).get(URL).content.decode()
    assert "No version yet" in page
    assert "/teams/vision/datasets/images/upload/" in page
