"""A version is never partial: sealing names what is missing, and the way on stays open."""

from __future__ import annotations

import hashlib

import pytest

from datasets_app.models import Role, StagedFile, Version
from datasets_app.services import manifests, versions
from tests.factories import api_client, make_dataset, make_member, make_team, make_version, stage_files
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db]


@pytest.fixture
def sender(db: None) -> Sender:
    """Give a writer's client with one dataset and one open version."""
    return Sender.create()


def test_missing_partial_and_failed_files_are_named(sender: Sender) -> None:
    sender.send({"fine": b"fine"})
    sender.plan({"missing": b"?"})
    half = sender.create_upload(length=4, path="half")["Location"]
    sender.patch(half, 0, b"ha")
    wrong = sender.create_upload(length=1, path="wrong", sha256=hashlib.sha256(b"right").hexdigest())["Location"]
    assert sender.patch(wrong, 0, b"w").status_code == 460
    answer = sender.post("seal")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("3 files of images@1")
    named = {item["path"]: item["detail"] for item in answer.json()["errors"]}
    assert set(named) == {"missing", "half", "wrong"}
    assert "Declared as sha256" in named["wrong"]
    assert sender.version.status == "uploading"
    # All of it can be mended: send, go on, or leave out by an act of one's own.
    sender.send({"missing": b"?"})
    assert sender.patch(half, 2, b"lf").status_code == 204
    sender.post("remove", {"paths": ["wrong"]})
    sender.seal()
    assert sender.paths() == {"fine": 4, "half": 4, "missing": 1}


def test_many_missing_files_are_counted_and_the_first_hundred_named(sender: Sender) -> None:
    sender.plan({f"{number:03}": b"?" for number in range(150)})
    answer = sender.post("seal").json()
    assert answer["detail"].startswith("150 files")
    assert [item["path"] for item in answer["errors"]] == [f"{number:03}" for number in range(100)]


def test_nothing_changes_while_it_is_sealed_and_after(sender: Sender) -> None:
    sender.send({"a": b"a"})
    half = sender.create_upload(length=2, path="half")["Location"]
    sender.post("remove", {"paths": ["half"]})
    assert sender.post("seal").status_code == 202
    for _ in range(2):
        for what, body in {
            "plan": {"files": [{"path": "b", "size": 0}]},
            "remove": {"paths": ["a"]},
            "bundles": {"paths": ["a"]},
            "seal": None,
            "abandon": None,
        }.items():
            assert sender.post(what, body).status_code == 409, what
        assert sender.patch(half, 0, b"ha").status_code in {409, 410}
        sender.work()
    assert sender.version.status == "available"
    assert sender.paths() == {"a": 1}


def test_a_file_lost_between_asking_and_sealing_ends_in_an_error_that_names_it(sender: Sender) -> None:
    """It can't happen through the API; if it did, the version would not be sealed without the file."""
    sender.send({"a": b"a", "b": b"b"})
    assert sender.post("seal").status_code == 202
    StagedFile.objects.filter(path="b").update(blob=None)
    sender.work()
    assert (sender.version.status, sender.version.error[:2]) == ("error", "b:")
    sender.send({"b": b"b"})
    assert sender.version.status == "uploading"
    sender.seal()


def test_an_abandoned_version_is_gone_and_its_number_is_not_used_again(sender: Sender) -> None:
    sender.send({"a": b"a"})
    assert sender.post("abandon").status_code == 204
    assert sender.post("abandon").status_code == 404
    assert not Version.objects.exists()
    answer = sender.client.post(sender.base, {}, content_type="application/json")
    assert answer.json()["number"] == 2


def test_strangers_and_readers_see_no_more_than_they_may(sender: Sender) -> None:
    sender.send({"a": b"a"})
    sender.seal()
    reader, stranger = api_client(make_member(sender.team, Role.READER)), api_client(make_member(make_team()))
    assert reader.get(f"{sender.base}/1").json()["digest"] == sender.version.digest
    for what in ("", "/tree", "/files/a", "/manifest", "/archive.tar", "/diff/1"):
        assert reader.get(f"{sender.base}/1{what}").status_code == 200, what
        assert stranger.get(f"{sender.base}/1{what}").status_code == 404, what


def test_nothing_inside_can_be_read_before_it_is_sealed(sender: Sender) -> None:
    sender.send({"a": b"a"})
    for status in ("uploading", "pending"):
        assert sender.version.status == status
        for what in ("/tree", "/files/a", "/manifest", "/archive.tar", "/diff/1"):
            assert sender.client.get(f"{sender.base}/1{what}").status_code in {404, 409}, what
        answer = sender.client.get(f"{sender.base}/1").json()
        assert (answer["digest"], answer["file_count"]) == (None, 0)
        sender.post("seal")


def test_an_error_of_ours_is_tried_again_then_told(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, {"a": b"a"})
    versions.seal_version(make_member(version.dataset.team), version=version)

    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError("the disk is on fire")

    with monkeypatch.context() as broken:
        broken.setattr(manifests, "store_manifest", fail)
        for _ in range(2):
            with pytest.raises(OSError, match="on fire"):
                versions.run_seal(version.pk)
            version.refresh_from_db()
            assert version.status == "pending"
        versions.run_seal(version.pk)
    version.refresh_from_db()
    assert (version.status, "OSError" in version.error) == ("error", True)
    versions.seal_version(make_member(version.dataset.team), version=version)
    versions.run_seal(version.pk)
    version.refresh_from_db()
    assert version.status == "available"


def test_a_version_that_kills_its_workers_is_given_up() -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, {"a": b"a"})
    versions.seal_version(make_member(version.dataset.team), version=version)
    Version.objects.update(attempts=versions.MOST_DEATHS)
    versions.run_seal(version.pk)
    version.refresh_from_db()
    assert (version.status, "died" in version.error) == ("error", True)
