"""Folders that whoever sends can't read: no version is sealed without their files, unless somebody says so."""

from __future__ import annotations

import hashlib

import pytest

from datasets_app.models import StagedFile
from tests.uploads.sender import Sender

pytestmark = pytest.mark.data_layer


def unread(sender: Sender, *folders: str) -> None:
    """Declare folders that can't be read, beside a file that has come."""
    sender.send({"fine": b"fine"})
    answer = sender.post("plan", {"files": [{"path": folder, "size": 0} for folder in folders]})
    assert answer.status_code == 200, answer.content
    assert [(item["path"], item["state"]) for item in answer.json()["files"]] == [(one, "unread") for one in folders]


def test_it_works(sender: Sender) -> None:
    unread(sender, "a/locked/", "many/")
    refused = sender.post("seal")
    assert refused.status_code == 409
    assert [error["path"] for error in refused.json()["errors"]] == ["a/locked/", "many/"]
    assert "could not be read" in refused.json()["errors"][0]["detail"]
    # The files of one have come; the other is left out.
    sender.send({"a/locked/1": b"1"})
    assert [error["path"] for error in sender.post("seal").json()["errors"]] == ["many/"]
    assert sender.post("leave-out", {"paths": ["many/"]}).json() == {"left_out": 1}
    sender.seal()
    assert sender.paths() == {"a/locked/1": 1, "fine": 4}


def test_a_folder_that_is_read_at_last_holds_others_that_are_not(sender: Sender) -> None:
    unread(sender, "a/")
    unread(sender, "a/b/")
    assert set(StagedFile.objects.values_list("path", flat=True)) == {"a/b/", "fine"}
    unread(sender, "a/b/")
    assert sender.post("leave-out", {"count": 1}).json() == {"left_out": 1}
    sender.seal()


def test_the_upload_of_one_file_makes_way_too(sender: Sender) -> None:
    unread(sender, "a/")
    assert sender.create_upload(length=0, path="a/empty").status_code == 201
    sender.seal()
    assert sender.paths() == {"a/empty": 0, "fine": 4}


@pytest.mark.parametrize("paths", [["a/"], ["a/", "fine"]])
def test_it_can_be_removed_and_undone(sender: Sender, paths: list[str]) -> None:
    for call in ("remove", "undo"):
        unread(sender, "a/")
        (change, _) = sender.client.get(f"{sender.base}/1/changes").json()["items"]
        assert (change["path"], change["type"], change["state"]) == ("a", "directory", "failed")
        assert sender.post(call, {"paths": paths}).status_code == 200
        assert not StagedFile.objects.filter(path="a/").exists()


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ({"path": "a/", "size": 1}, "has the size 0"),
        (
            {"path": "a/", "size": 0, "sha256": hashlib.sha256().hexdigest()},
            "digest",
        ),
        ({"path": "/", "size": 0}, "is empty"),
        ({"path": "a//", "size": 0}, "empty part"),
        ({"path": "fine/", "size": 0}, "both a file and a folder"),
    ],
)
def test_what_is_no_folder(sender: Sender, file: dict[str, object], reason: str) -> None:
    sender.send({"fine": b"fine"})
    answer = sender.post("plan", {"files": [file]})
    assert answer.status_code == 422
    assert reason in answer.content.decode()
    assert StagedFile.objects.count() == 1


def test_it_is_no_file(sender: Sender) -> None:
    """No bytes can be sent for it: a tree has files."""
    unread(sender, "a/")
    assert sender.create_upload(length=0, path="a/").status_code == 422
    assert sender.post("bundles", {"paths": ["a/"]}).status_code == 422
    assert sender.post("seal").status_code == 409
