"""Giving up declared files, so that a version can be sealed without them: what the base has there stays."""

from __future__ import annotations

import pytest

from datasets_app.models import Role, StagedFile, Upload
from tests.factories import api_client, make_member, make_team
from tests.uploads.sender import Sender

pytestmark = pytest.mark.data_layer


@pytest.fixture
def based(sender: Sender) -> Sender:
    """Give a sender with a sealed version 1 and an open version 2 that starts with it."""
    sender.send({"kept": b"old", "gone": b"old too", "d/moved": b"moved"})
    sender.seal()
    sender.number = sender.post_new(base=1)
    return sender


def test_it_works(sender: Sender) -> None:
    sender.send({"fine": b"fine"})
    sender.plan({"a": b"?", "b": b"?"})
    half = sender.create_upload(length=4, path="half")["Location"]
    sender.patch(half, 0, b"ha")
    assert sender.post("leave-out", {"paths": ["a", "half", "never declared", "no//path"]}).json() == {"left_out": 2}
    assert Upload.objects.get(size=4, kind="file").status == "removed"
    assert set(StagedFile.objects.values_list("path", flat=True)) == {"fine", "b"}


def test_the_file_of_the_base_stays(based: Sender) -> None:
    based.plan({"kept": b"newer", "new": b"?"})
    assert based.post("leave-out", {"paths": ["kept", "new"]}).json() == {"left_out": 2}
    based.seal()
    assert based.paths() == {"kept": 3, "gone": 7, "d/moved": 5}


def test_what_the_user_removed_does_not_come_back(based: Sender) -> None:
    based.post("remove", {"paths": ["gone"]})
    based.plan({"gone": b"a new one"})
    assert based.post("leave-out", {"count": 1}).json() == {"left_out": 1}
    based.seal()
    assert based.paths() == {"kept": 3, "d/moved": 5}


@pytest.mark.parametrize("which", [{"paths": ["here"]}, {"count": 1}])
def test_a_moved_file_that_was_to_be_replaced_is_there_again(based: Sender, which: dict[str, object]) -> None:
    based.post("move", {"moves": [{"from": "d/moved", "to": "here"}]})
    based.plan({"here": b"other bytes"})
    assert based.post("leave-out", which).json() == {"left_out": 1}
    based.seal()
    assert based.paths() == {"kept": 3, "gone": 7, "here": 5}


def test_all_that_is_missing_goes_in_one_call_if_the_number_is_right(sender: Sender) -> None:
    sender.send({"fine": b"fine"})
    for start in (0, 1000):
        sender.plan({f"{number:04}": b"?" for number in range(start, start + 1000)})
    assert sender.post("seal").json()["detail"].startswith("2000 files")
    refused = sender.post("leave-out", {"count": 1999})
    assert (refused.status_code, refused.json()["detail"][:10]) == (409, "2000 files")
    assert sender.post("leave-out", {"count": 2000}).json() == {"left_out": 2000}
    sender.seal()
    assert sender.paths() == {"fine": 4}


def test_a_stored_file_that_is_named_goes_too(sender: Sender) -> None:
    """It was sent in an earlier session, can't be read now, and the user wants the version without it."""
    sender.send({"fine": b"fine", "earlier": b"other"})
    assert sender.post("leave-out", {"paths": ["earlier"]}).json() == {"left_out": 1}
    sender.seal()
    assert sender.paths() == {"fine": 4}


def test_strangers_readers_and_wrong_requests(sender: Sender) -> None:
    address = f"{sender.base}/1/leave-out"
    body = {"paths": ["a"]}
    stranger = api_client(make_member(make_team(), Role.WRITER))
    assert stranger.post(address, body, content_type="application/json").status_code == 404
    reader = api_client(make_member(sender.team, Role.READER))
    assert reader.post(address, body, content_type="application/json").status_code == 403
    assert sender.post("leave-out", {"paths": []}).status_code == 422
    assert sender.post("leave-out", {"paths": ["a"] * 1001}).status_code == 422
    sender.send({"a": b"a"})
    assert sender.post("leave-out", {"count": 0}).json() == {"left_out": 0}
    sender.seal()
    assert sender.post("leave-out", body).status_code == 409
