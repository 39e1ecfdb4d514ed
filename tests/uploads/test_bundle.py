"""Many small files travel as one body and rest as one pack."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest
from django.conf import LazySettings

from datasets_app.models import Blob, Pack, StagedFile, Upload
from datasets_app.services import content
from tests.uploads.sender import Sender

pytestmark = pytest.mark.data_layer
FILES = {"a.txt": b"alpha", "dir/b.txt": b"beta" * 100, "dir/empty": b"", "é/ü.bin": bytes(range(256))}


def test_it_works(sender: Sender) -> None:
    planned = sender.plan(FILES)
    assert {item["state"] for item in planned.values()} == {"needed"}
    answer = sender.bundle(FILES)
    assert (answer.status_code, answer["Upload-Offset"]) == (204, str(sum(map(len, FILES.values()))))
    assert Pack.objects.count() == 1
    for path, data in FILES.items():
        blob = StagedFile.objects.select_related("blob__pack").get(path=path).blob
        assert blob is not None
        assert bytes(blob.sha256) == hashlib.sha256(data).digest()
        assert b"".join(content.read_blob(blob)) == data


def bundled_plan(sender: Sender, files: Mapping[str, bytes], **more: object) -> dict[str, Any]:
    """Plan the files and ask for their bundle; return the whole answer."""
    rows = [{"path": p, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for p, data in files.items()]
    answer = sender.post("plan", {"files": rows, "bundle": True} | more)
    assert answer.status_code == 200, answer.content
    return dict(answer.json())


def test_a_plan_starts_the_bundle_of_what_is_needed(sender: Sender) -> None:
    sender.send({"old": b"old"})
    # One that is declared already, with another size, one that is stored, and one that others send.
    sender.plan({"dir/b.txt": b"another", "sent alone": b"12345678"})
    sent_alone = sender.create_upload(length=8, path="sent alone")["Location"]
    sender.patch(sent_alone, 0, b"1234")
    answer = bundled_plan(sender, FILES | {"copy of old": b"old", "sent alone": b"12345678"})
    states = {item["path"]: item["state"] for item in answer["files"]}
    assert states == dict.fromkeys(FILES, "needed") | {"copy of old": "stored", "sent alone": "partial"}
    assert answer["bundle"]["size"] == sum(map(len, FILES.values()))
    assert sender.patch(answer["bundle"]["upload"], 0, b"".join(FILES.values())).status_code == 204
    assert sender.patch(sent_alone, 4, b"5678").status_code == 204
    sender.seal()
    assert sender.paths() == {p: len(data) for p, data in FILES.items()} | {"old": 3, "copy of old": 3, "sent alone": 8}
    for path, data in FILES.items():
        blob = Blob.objects.get(sha256=hashlib.sha256(data).digest())
        assert b"".join(content.read_blob(blob)) == data, path


def test_a_plan_asked_again_starts_another_bundle_of_what_is_still_needed(sender: Sender) -> None:
    first = bundled_plan(sender, FILES)["bundle"]["upload"]
    second = bundled_plan(sender, FILES)["bundle"]["upload"]
    body = b"".join(FILES.values())
    assert sender.patch(second, 0, body).status_code == 204
    assert StagedFile.objects.stored().count() == len(FILES)
    # Its bytes are nobody's now, and known.
    assert sender.patch(first, 0, body).status_code == 204
    sender.seal()
    assert sender.paths() == {path: len(data) for path, data in FILES.items()}


def test_a_plan_of_nothing_needed_has_no_bundle(sender: Sender) -> None:
    sender.send(FILES)
    assert bundled_plan(sender, FILES)["bundle"] is None
    assert set(Upload.objects.values_list("status", flat=True)) == {"finished"}


def test_a_bundled_plan_of_empty_files_needs_no_bytes(sender: Sender) -> None:
    answer = bundled_plan(sender, {"x": b"", "y": b""})
    assert answer["bundle"]["size"] == 0
    assert StagedFile.objects.stored().count() == 2
    assert sender.patch(answer["bundle"]["upload"], 0, b"").status_code == 204


def test_a_bundled_plan_of_more_than_a_pack_declares_nothing(sender: Sender, settings: LazySettings) -> None:
    settings.PACK_BYTES = 100
    before = {file.upload for file in content.staging().staged()}
    rows = [{"path": "a", "size": 60}, {"path": "b", "size": 60}]
    answer = sender.post("plan", {"files": rows, "bundle": True})
    assert (answer.status_code, answer.json()["detail"][:30]) == (413, "A bundle holds at most 100 byt")
    assert StagedFile.objects.count() == 0
    assert {file.upload for file in content.staging().staged()} == before
    assert sender.post("plan", {"files": rows}).status_code == 200


def test_files_already_stored_are_not_asked_for(sender: Sender) -> None:
    sender.send(FILES)
    assert {item["state"] for item in sender.plan(FILES).values()} == {"stored"}
    assert sender.plan({"copy.txt": FILES["a.txt"]})["copy.txt"]["state"] == "stored"


def test_a_wrong_digest_fails_that_file_alone_and_names_both_digests(sender: Sender) -> None:
    sender.plan(FILES)
    changed = FILES | {"a.txt": b"ALPHA"}
    answer = sender.bundle(changed)
    assert answer.status_code == 460
    (error,) = answer.json()["errors"]
    assert error["path"] == "a.txt"
    for data in (b"alpha", b"ALPHA"):
        assert hashlib.sha256(data).hexdigest() in error["detail"]
    states = {row.path: row.state for row in StagedFile.objects.all()}
    assert states == {"a.txt": "failed", "dir/b.txt": "stored", "dir/empty": "stored", "é/ü.bin": "stored"}
    assert not Blob.objects.filter(sha256=hashlib.sha256(b"ALPHA").digest()).exists()
    refused = sender.post("seal")
    assert refused.status_code == 409
    assert refused.json()["errors"][0]["path"] == "a.txt"
    sender.send({"a.txt": b"alpha"})
    assert sender.post("seal").status_code == 202


def test_equal_files_in_one_bundle_are_one_blob(sender: Sender) -> None:
    files = {"one": b"same", "two": b"same"}
    sender.send(files)
    assert Blob.objects.count() == 1
    assert StagedFile.objects.stored().count() == 2


def test_only_planned_paths_can_be_bundled(sender: Sender) -> None:
    answer = sender.post("bundles", {"paths": ["nowhere"]})
    assert answer.status_code == 409
    assert answer.json()["errors"][0]["path"] == "nowhere"


def test_a_file_planned_anew_while_its_bundle_travels_takes_nothing_from_it(sender: Sender) -> None:
    sender.plan(FILES)
    created = sender.post("bundles", {"paths": list(FILES)})
    sender.plan({"a.txt": b"another"})
    assert sender.patch(created["Location"], 0, b"".join(FILES.values())).status_code == 204
    assert StagedFile.objects.get(path="a.txt").state == "needed"
    assert StagedFile.objects.stored().count() == 3


def test_a_file_planned_anew_while_its_bundle_is_stored_takes_nothing_from_it(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender.plan(FILES)
    store = content.store_upload

    def meanwhile(**named: Any) -> bool:
        sender.plan({"a.txt": b"another"})
        return store(**named)

    monkeypatch.setattr(content, "store_upload", meanwhile)
    assert sender.bundle(FILES).status_code == 204
    assert StagedFile.objects.get(path="a.txt").state == "needed"
    assert StagedFile.objects.stored().count() == 3


def test_a_bundle_of_empty_files_needs_no_bytes(sender: Sender) -> None:
    sender.plan({"x": b"", "y": b""})
    created = sender.post("bundles", {"paths": ["x", "y"]})
    assert created["Upload-Length"] == "0"
    assert StagedFile.objects.stored().count() == 2


def test_a_bundle_may_come_in_pieces_or_be_cut_off(sender: Sender) -> None:
    body = b"".join(FILES.values())
    upload = bundled_plan(sender, FILES)["bundle"]["upload"]
    for at in range(0, len(body), 100):
        assert sender.patch(upload, at, body[at : at + 100]).status_code == 204
    assert StagedFile.objects.stored().count() == len(FILES)
    sender.seal()
    for data in FILES.values():
        blob = Blob.objects.get(sha256=hashlib.sha256(data).digest())
        assert b"".join(content.read_blob(blob)) == data


def test_a_bundle_that_comes_whole_is_not_read_again(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content.staging(), "hash_slices", lambda *_: pytest.fail("it was read again"))
    sender.send(FILES)
    assert StagedFile.objects.stored().count() == len(FILES)
