"""Many small files travel as one body and rest as one pack."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from datasets_app.models import Blob, Pack, StagedFile
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
