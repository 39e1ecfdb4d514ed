"""POST makes an upload, and may bring its first bytes."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from django.conf import LazySettings
from django.test import Client

from datasets_app.models import StagedFile, Upload
from datasets_app.services import content
from tests.uploads.sender import OCTETS, TUS, Sender, metadata

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

BODY = b"some bytes"


def post_with_bytes(sender: Sender, data: bytes, *, length: int, **headers: str) -> Answer:
    about = metadata(team=sender.team.name, dataset="images", version=1, path="a")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sender.client.post(
        "/api/v1/tus",
        data,
        content_type=OCTETS,
        headers=TUS | {"Upload-Length": str(length), "Upload-Metadata": about} | named,
    )


def nothing_was_made() -> bool:
    """Tell whether a refusal left neither row nor file."""
    return not (Upload.objects.exists() or StagedFile.objects.exists() or list(content.staging().staged()))


@pytest.fixture(autouse=True)
def _empty_staging(sender: Sender) -> None:
    for staged in list(content.staging().staged()):
        content.staging().remove(staged.upload)


def test_it_works(sender: Sender) -> None:
    answer = sender.create_upload(length=len(BODY), path="folder/a")
    assert (answer.status_code, answer["Tus-Resumable"]) == (201, "1.0.0")
    assert answer["Upload-Expires"].endswith("GMT")
    url = answer["Location"]
    assert url.startswith("/api/v1/tus/")
    asked = sender.head(url)
    assert (asked.status_code, asked["Upload-Offset"], asked["Upload-Length"]) == (200, "0", "10")
    assert asked["Cache-Control"] == "no-store"
    sent = sender.patch(url, 0, BODY)
    assert (sent.status_code, sent["Upload-Offset"]) == (204, "10")
    file = StagedFile.objects.get(path="folder/a")
    assert file.blob is not None
    assert b"".join(content.read_blob(file.blob)) == BODY
    assert "Upload-Expires" not in sender.head(url)


def test_options_tell_what_the_server_can_do(sender: Sender, settings: LazySettings) -> None:
    for url in ("/api/v1/tus", f"/api/v1/tus/{'0' * 8}-0000-0000-0000-{'0' * 12}"):
        answer = Client().options(url)
        assert answer.status_code == 204
        assert answer["Tus-Version"] == answer["Tus-Resumable"] == "1.0.0"
        assert answer["Tus-Max-Size"] == str(settings.UPLOAD_MAX_BYTES)
        assert set(answer["Tus-Checksum-Algorithm"].split(",")) == {"sha256", "sha1"}
        named = {"creation", "creation-with-upload", "checksum", "termination", "expiration"}
        assert set(answer["Tus-Extension"].split(",")) == named


def test_creation_may_bring_all_bytes(sender: Sender) -> None:
    answer = post_with_bytes(sender, BODY, length=len(BODY))
    assert (answer.status_code, answer["Upload-Offset"]) == (201, "10")
    assert StagedFile.objects.get().state == "stored"


def test_creation_may_bring_some_bytes(sender: Sender) -> None:
    answer = post_with_bytes(sender, BODY[:4], length=len(BODY))
    assert (answer.status_code, answer["Upload-Offset"]) == (201, "4")
    assert sender.patch(answer["Location"], 4, BODY[4:]).status_code == 204


def test_bytes_that_come_with_the_creation_may_have_a_checksum(sender: Sender) -> None:
    wrong = post_with_bytes(sender, BODY, length=len(BODY), Upload_Checksum="sha1 " + "A" * 27 + "=")
    assert wrong.status_code == 460
    upload = Upload.objects.get()
    assert sender.head(f"/api/v1/tus/{upload.pk}")["Upload-Offset"] == "0"
    assert sender.patch(f"/api/v1/tus/{upload.pk}", 0, BODY).status_code == 204


def test_more_bytes_than_declared_are_not_taken(sender: Sender) -> None:
    assert post_with_bytes(sender, BODY, length=4).status_code == 413
    assert sender.head(f"/api/v1/tus/{Upload.objects.get().pk}")["Upload-Offset"] == "0"


def test_a_body_of_another_type_is_not_taken_for_bytes(sender: Sender) -> None:
    answer = sender.create_upload(length=len(BODY), path="a")
    assert "Upload-Offset" not in answer


def test_an_empty_file_is_stored_at_once(sender: Sender) -> None:
    answer = sender.create_upload(length=0, path="empty", sha256=hashlib.sha256(b"").hexdigest())
    assert answer.status_code == 201
    assert StagedFile.objects.get().state == "stored"
    asked = sender.head(answer["Location"])
    assert (asked["Upload-Offset"], asked["Upload-Length"]) == ("0", "0")
    assert sender.patch(answer["Location"], 0, b"").status_code == 204


def test_an_empty_file_with_another_digest_fails(sender: Sender) -> None:
    answer = sender.create_upload(length=0, path="empty", sha256=hashlib.sha256(BODY).hexdigest())
    assert answer.status_code == 460
    assert StagedFile.objects.get().state == "failed"


def test_filename_does_for_path(sender: Sender) -> None:
    assert sender.create_upload(length=1, filename="a.bin").status_code == 201
    assert StagedFile.objects.get().path == "a.bin"


def test_the_path_is_kept_in_nfc(sender: Sender) -> None:
    assert sender.create_upload(length=1, path="u\u0308.txt").status_code == 201
    assert StagedFile.objects.get().path == "\u00fc.txt"


@pytest.mark.parametrize(
    ("about", "status", "field"),
    [
        ({"team": ""}, 422, "team"),
        ({"dataset": ""}, 422, "dataset"),
        ({"version": ""}, 422, "version"),
        ({"version": "one"}, 422, "version"),
        ({"version": "9" * 40}, 422, "version"),
        ({"version": "-1"}, 422, "version"),
        ({}, 422, "path"),
        ({"path": "a", "sha256": "abc"}, 422, "sha256"),
        ({"path": "a", "dataset": "none"}, 404, None),
        ({"path": "a", "team": "no\0body"}, 422, "team"),
        ({"path": "a", "version": 999_999_999}, 404, None),
    ],
)
def test_wrong_metadata(sender: Sender, about: dict[str, str], status: int, field: str | None) -> None:
    answer = sender.create_upload(length=1, headers=None, **about)
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    if field is not None:
        assert answer.json()["errors"][0]["field"] == field
    assert nothing_was_made()


@pytest.mark.parametrize("path", ["/a", "a//b", "../a", "a\\b", "a\nb", "x" * 256, "a\0b", "."])
def test_illegal_paths_are_refused_with_the_reason(sender: Sender, path: str) -> None:
    answer = sender.create_upload(length=1, path=path)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"]
    assert answer.json()["errors"][0]["detail"]
    assert nothing_was_made()


@pytest.mark.parametrize(
    "headers",
    [
        {"Upload-Metadata": "path"},
        {"Upload-Metadata": "path not-base64!"},
        {"Upload-Metadata": "path //79"},
        {"Upload-Metadata": ""},
        {"Upload-Metadata": ",,,"},
        {"Upload-Length": ""},
        {"Upload-Length": "-1"},
        {"Upload-Length": "1.5"},
        {"Upload-Length": "\u0663"},
        {"Upload-Length": "9" * 5000},
        {"Upload-Defer-Length": "1"},
    ],
)
def test_wrong_headers(sender: Sender, headers: dict[str, str]) -> None:
    answer = sender.create_upload(length=1, path="a", headers=headers)
    assert answer.status_code in {400, 422}, answer.content
    assert answer.json()["detail"]
    assert nothing_was_made()


@pytest.mark.parametrize("version", ["", "0.2.2", "2.0.0"])
def test_another_tus_version_is_told_ours(sender: Sender, version: str) -> None:
    answer = sender.create_upload(length=1, path="a", headers={"Tus-Resumable": version})
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")
    assert nothing_was_made()
    url = sender.create_upload(length=1, path="a")["Location"]
    for method in ("head", "patch", "delete"):
        refused = getattr(sender.client, method)(url, headers={"Tus-Resumable": version})
        assert (refused.status_code, refused["Tus-Version"]) == (412, "1.0.0")
    assert sender.head(url)["Upload-Offset"] == "0"


def test_a_file_beyond_the_greatest_size_is_refused(sender: Sender, settings: LazySettings) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    assert sender.create_upload(length=1001, path="a").status_code == 413
    assert sender.create_upload(length=10**18, path="a").status_code == 413
    assert nothing_was_made()
    assert sender.create_upload(length=1000, path="a").status_code == 201


def test_a_file_without_room_on_the_disk_is_refused(sender: Sender, settings: LazySettings) -> None:
    settings.DISK_RESERVE_BYTES = 2**60
    answer = sender.create_upload(length=1, path="a")
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:flexai:problem:out-of-space")
    assert nothing_was_made()
    sender.plan({"a": b"a"})
    assert sender.post("bundles", {"paths": ["a"]}).status_code == 413
    assert not Upload.objects.exists()


def test_room_that_other_uploads_still_need_is_not_given_twice(sender: Sender, settings: LazySettings) -> None:
    mib = 2**20
    # Other programs use this disk, too: so much more or less does not matter.
    settings.DISK_RESERVE_BYTES = content.staging().free_bytes() - 20_000 * mib
    size = 14_000 * mib
    first = sender.create_upload(length=size, path="first")
    assert first.status_code == 201
    refused = sender.create_upload(length=size, path="second")
    assert (refused.status_code, refused.json()["type"]) == (413, "urn:flexai:problem:out-of-space")
    # The same file again takes the room of the upload that it ends.
    again = sender.create_upload(length=size, path="first")
    assert again.status_code == 201
    # One that nobody has sent to for long is not waited for.
    idle = content.staging().path(Upload.objects.get(status="receiving").pk)
    long_ago = idle.stat().st_mtime - 3600
    os.utime(idle, (long_ago, long_ago))
    assert sender.create_upload(length=size, path="second").status_code == 201


def test_starting_again_ends_the_earlier_upload_of_the_path(sender: Sender) -> None:
    first = sender.create_upload(length=5, path="a")["Location"]
    assert sender.patch(first, 0, b"ab").status_code == 204
    second = sender.create_upload(length=3, path="a")["Location"]
    assert sender.head(first).status_code == 410
    assert sender.patch(first, 2, b"cde").status_code == 410
    assert sender.patch(second, 0, b"xyz").status_code == 204
    assert StagedFile.objects.get().size == 3


def test_another_file_of_the_same_size_replaces_one_whose_digest_was_declared(sender: Sender) -> None:
    url = sender.create_upload(length=3, path="a", sha256=hashlib.sha256(b"old").hexdigest())["Location"]
    assert sender.patch(url, 0, b"old").status_code == 204
    url = sender.create_upload(length=3, path="a")["Location"]
    assert sender.patch(url, 0, b"new").status_code == 204
    blob = StagedFile.objects.select_related("blob").get().blob
    assert blob is not None
    assert blob.hex == hashlib.sha256(b"new").hexdigest()


def test_a_planned_digest_counts_for_an_upload_without_one(sender: Sender) -> None:
    sender.plan({"a": b"old"})
    url = sender.create_upload(length=3, path="a")["Location"]
    assert sender.patch(url, 0, b"new").status_code == 460


def test_a_sealed_version_takes_no_uploads(sender: Sender) -> None:
    sender.send({"a": b"a"})
    assert sender.post("seal").status_code == 202
    answer = sender.create_upload(length=1, path="b")
    assert answer.status_code == 409
    assert "pending" in answer.json()["detail"]


def test_two_names_cannot_be_file_and_folder(sender: Sender) -> None:
    assert sender.create_upload(length=1, path="a").status_code == 201
    answer = sender.create_upload(length=1, path="a/b")
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "a")
