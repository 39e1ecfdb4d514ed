"""What many wait for is asked of a worker once, and again only when the worker has died."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import DjangoCaptureOnCommitCallbacks
from pytest_django.fixtures import Settings

from datasets_app.models import Directory, Role, Team
from datasets_app.previews.base import Ask
from datasets_app.services import folders, overlaps
from datasets_app.services.awaited import ask_worker, work_at
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team, page_client

pytestmark = pytest.mark.django_db

OVERLAP = "/api/v1/teams/vision/datasets/train/versions/1/overlap?other=eval@1"
TYPES = "/teams/vision/datasets/train/versions/1/types/"
PAGE = "/teams/vision/datasets/train/versions/1/overlap/?with=eval@1"


@pytest.fixture
def team(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    # Elsewhere than what other tests have kept.
    settings.PREVIEWS_DIR = tmp_path
    monkeypatch.setattr(overlaps, "COMPARED_AT_ONCE", 0)
    monkeypatch.setattr(folders, "COUNTED_AT_ONCE", 0)
    team = make_team("vision")
    make_available_version(make_dataset(team, "train"), {"a": b"one", "b": b"two"})
    make_available_version(make_dataset(team, "eval"), {"c": b"one"})
    return team


def clients(team: Team) -> tuple[Client, Client]:
    reader = make_member(team, Role.READER)
    return api_client(reader), page_client(reader)


def root_of(team: Team, name: str) -> Directory:
    root = team.datasets.get(name=name).versions.get().root
    assert root is not None
    return root


def grow_stale(folder: Path) -> None:
    (note,) = folder.glob("*/*.asked")
    long_ago = time.time() - 3600
    os.utime(note, (long_ago, long_ago))


def test_polling_asks_once(
    team: Team, tmp_path: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    api, pages = clients(team)
    with django_capture_on_commit_callbacks() as asked:
        assert api.get(OVERLAP).json()["state"] == "comparing"
    assert len(asked) == 1
    with django_capture_on_commit_callbacks() as asked:
        for _ in range(3):
            assert api.get(OVERLAP).json()["state"] == "comparing"
        assert "every 2s" in pages.get(PAGE).content.decode()
        assert "every 2s" in pages.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert asked == []
    overlaps.compare_blobs(root_of(team, "train").pk, root_of(team, "eval").pk)
    with django_capture_on_commit_callbacks() as asked:
        assert api.get(OVERLAP).json()["files"] == 1
    assert asked == []
    assert list(tmp_path.glob("*/*.asked")) == []


def test_a_page_that_waits_asks_again_when_the_worker_has_died(
    team: Team, tmp_path: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    _, pages = clients(team)
    pages.get(PAGE)
    for _ in range(2):
        grow_stale(tmp_path)
        with django_capture_on_commit_callbacks() as asked:
            for _ in range(3):
                pages.get(PAGE, headers={"HX-Request": "true"})
        assert len(asked) == 1


def test_a_folder_is_asked_for_once_too(
    team: Team, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    _, pages = clients(team)
    with django_capture_on_commit_callbacks() as asked:
        for _ in range(3):
            assert "every 2s" in pages.get(TYPES).content.decode()
    assert len(asked) == 1
    folders.count_folder(root_of(team, "train").pk)
    assert "2 files" in pages.get(TYPES).content.decode()


@pytest.mark.usefixtures("team")
def test_a_worker_that_takes_long_is_not_doubled_and_one_that_fails_is_given_time(
    settings: Settings, tmp_path: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    settings.LEASE_SECONDS = 1.6

    def ask() -> int:
        with django_capture_on_commit_callbacks() as asked:
            ask_worker(overlaps.OVERLAP_TASK, digest="ab", kind="overlap", ask=Ask("cd"))
        return len(asked)

    def fail_late() -> None:
        with work_at(digest="ab", kind="overlap", ask=Ask("cd")):
            for _ in range(4):
                time.sleep(0.5)
                assert ask() == 0
            raise LookupError

    assert ask() == 1
    with pytest.raises(LookupError):
        fail_late()
    assert ask() == 0
    time.sleep(1.7)
    assert ask() == 1
    assert len(list(tmp_path.glob("*/*.asked"))) == 1
