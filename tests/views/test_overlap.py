"""What two versions share, and the warning on the job form."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from datasets_app.models import Membership, Role, Team
from datasets_app.services import overlaps
from datasets_app.services.overlaps import compare_blobs
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_user, page_client

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]

URL = "/teams/vision/datasets/train/versions/1/overlap/"


@pytest.fixture
def team() -> Team:
    team = make_team("vision")
    make_available_version(make_dataset(team, "train"), {"a/1": b"one", "a/2": b"two", "again/1": b"one", "none": b""})
    make_available_version(make_dataset(team, "eval"), {"x/one": b"one", "x/copy": b"one", "y": b"other", "none": b""})
    make_available_version(make_dataset(team, "apart"), {"z": b"apart", "none": b""})
    return team


@pytest.fixture
def client(team: Team) -> Client:
    return page_client(make_member(team, Role.WRITER))


def test_it_works(client: Client) -> None:
    page = client.get(f"{URL}?with=eval").content.decode()
    assert "2 files of train@1" in page
    assert "a/1" in page
    assert "x/copy" in page
    assert "a/2" not in page


def test_nothing_is_shared(client: Client) -> None:
    assert "Nothing is shared" in client.get(f"{URL}?with=apart@1").content.decode()


def test_large_versions_are_compared_by_a_worker(
    client: Client, team: Team, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    # Elsewhere than what other tests have kept.
    settings.PREVIEWS_DIR = tmp_path
    monkeypatch.setattr(overlaps, "COMPARED_AT_ONCE", 0)
    assert "every 2s" in client.get(f"{URL}?with=eval@1").content.decode()
    first, second = (team.datasets.get(name=name).versions.get().root for name in ("train", "eval"))
    assert first is not None
    assert second is not None
    compare_blobs(first.pk, second.pk)
    part = client.get(f"{URL}?with=eval@1", headers={"HX-Request": "true"}).content.decode()
    assert "2 files of train@1" in part
    assert "<html" not in part


@pytest.mark.parametrize("wanted", ["nothing", "eval@9", "eval@x y", "@", "train@1"])
def test_bad_input(client: Client, wanted: str) -> None:
    assert client.get(URL, {"with": wanted}).status_code == 200


def test_stranger(team: Team) -> None:
    assert page_client(make_user()).get(f"{URL}?with=eval").status_code == 404


def test_the_other_may_not_be_another_team_s(client: Client) -> None:
    make_available_version(make_dataset(make_team("other"), "secret"), {"1": b"one"})
    page = client.get(f"{URL}?with=secret").content.decode()
    assert 'role="alert"' in page
    assert "2 files" not in page


def test_the_job_form_warns(client: Client) -> None:
    page = client.get("/teams/vision/jobs/new/?dataset=train&dataset=eval").content.decode()
    assert "share 2 files" in page
    assert "share" not in client.get("/teams/vision/jobs/new/?dataset=train&dataset=apart").content.decode()


def test_the_job_form_says_what_is_not_compared_yet(
    client: Client, team: Team, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    settings.PREVIEWS_DIR = tmp_path
    monkeypatch.setattr(overlaps, "COMPARED_AT_ONCE", 0)
    form = "/teams/vision/jobs/new/?dataset=train&dataset=eval"
    page = client.get(form).content.decode()
    assert "Whether train@1 and eval@1 share files is not compared yet" in page
    assert f'href="{URL}?with=eval%401"' in page
    first, second = (team.datasets.get(name=name).versions.get().root for name in ("train", "eval"))
    assert first is not None
    assert second is not None
    compare_blobs(first.pk, second.pk)
    page = client.get(form).content.decode()
    assert "share 2 files" in page
    assert "not compared yet" not in page


def test_datasets_of_two_teams_of_mine(client: Client, team: Team) -> None:
    other = make_team("audio")
    make_available_version(make_dataset(other, "theirs"), {"d/1": b"one"})
    wanted = f"{URL}?with=audio/theirs@1"
    assert "2 files" not in client.get(wanted).content.decode()
    both = make_member(team, Role.READER)
    Membership.objects.create(team=other, user=both, role=Role.READER)
    page = page_client(both).get(wanted).content.decode()
    assert "2 files of train@1" in page
    assert "are in audio/theirs@1" in page
    assert "/teams/audio/datasets/theirs/versions/1/files/d/1" in page
