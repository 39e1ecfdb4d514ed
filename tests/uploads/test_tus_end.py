"""How uploads end other than well: terminated, expired, lost, or with bytes that are not what was declared."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import pytest
from django.conf import LazySettings
from django.utils import timezone

from datasets_app import tasks
from datasets_app.errors import Gone
from datasets_app.models import Blob, Import, ImportPart, Pack, StagedFile, Upload
from datasets_app.services import content, uploads, versions
from tests.uploads.sender import OCTETS, TUS, Sender, metadata

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

BODY = b"0123456789"


@pytest.fixture
def url(sender: Sender) -> str:
    """Give an upload of which four bytes have arrived."""
    url = sender.create_upload(length=len(BODY), path="a")["Location"]
    assert sender.patch(url, 0, BODY[:4]).status_code == 204
    return url


def is_gone(sender: Sender, url: str) -> bool:
    """Tell whether the upload is gone, its bytes too, and its path is asked for again."""
    upload = Upload.objects.get(pk=url.rpartition("/")[2])
    statuses = {
        sender.head(url).status_code,
        sender.patch(url, 4, BODY[4:]).status_code,
        sender.client.delete(url, headers=TUS).status_code,
    }
    planned = sender.plan({"a": BODY}, hashed=False)["a"]["state"]
    return statuses == {410} and not content.staging().path(upload.pk).exists() and planned == "needed"


def test_termination(sender: Sender, url: str) -> None:
    assert sender.client.delete(url, headers=TUS).status_code == 204
    assert is_gone(sender, url)


def test_a_finished_upload_cannot_be_terminated(sender: Sender, url: str) -> None:
    assert sender.patch(url, 4, BODY[4:]).status_code == 204
    assert sender.client.delete(url, headers=TUS).status_code == 409
    assert StagedFile.objects.get().state == "stored"


def test_the_end_of_its_time_is_told(sender: Sender, url: str, settings: LazySettings) -> None:
    expires = parsedate_to_datetime(sender.head(url)["Upload-Expires"])
    hours = (expires - timezone.now()) / timedelta(hours=1)
    assert settings.UPLOAD_EXPIRY_HOURS - 0.1 < hours < settings.UPLOAD_EXPIRY_HOURS + 0.1
    assert "Upload-Expires" in sender.patch(url, 4, b"4")


def test_expired_before_the_reaper_came(sender: Sender, url: str) -> None:
    Upload.objects.update(expires_at=timezone.now())
    assert sender.head(url).status_code == 410
    assert sender.patch(url, 4, BODY[4:]).status_code == 410


def test_the_reaper_ends_what_expired(sender: Sender, url: str) -> None:
    other = sender.create_upload(length=1, path="other")["Location"]
    Upload.objects.exclude(pk=other.rpartition("/")[2]).update(expires_at=timezone.now())
    tasks.reap()
    tasks.reap()
    assert sender.head(other).status_code == 200
    assert is_gone(sender, url)


def test_an_upload_in_use_lives_on(sender: Sender, url: str) -> None:
    Upload.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    assert sender.patch(url, 4, b"4").status_code == 204
    assert Upload.objects.get().expires_at > timezone.now() + timedelta(hours=100)


def test_a_finished_upload_does_not_expire(sender: Sender, url: str) -> None:
    assert sender.patch(url, 4, BODY[4:]).status_code == 204
    Upload.objects.update(expires_at=timezone.now())
    tasks.reap()
    assert sender.head(url).status_code == 200
    assert StagedFile.objects.get().state == "stored"


def test_bytes_lost_on_the_server_are_asked_for_again(sender: Sender, url: str) -> None:
    content.staging().remove(Upload.objects.get().pk)
    assert sender.head(url).status_code == 410
    assert sender.patch(url, 4, BODY[4:]).status_code == 410
    (file,) = StagedFile.objects.all()
    assert (file.state, "lost" in file.error) == ("failed", True)
    assert sender.plan({"a": BODY})["a"]["state"] == "needed"


def test_ended_in_the_midst_of_a_request(sender: Sender, url: str) -> None:
    """The request writes into a file that has no name any more; nothing of it comes back."""
    upload = uploads.find_upload(sender.user, Upload.objects.get().pk)

    def read(_size: int) -> bytes:
        assert sender.client.delete(url, headers=TUS).status_code in {204, 410}
        return BODY[4:]

    with pytest.raises(Gone):
        uploads.append(sender.user, upload=upload, offset=4, read=read, length=6)
    assert is_gone(sender, url)
    assert not Pack.objects.exists()


def test_an_abandoned_version_takes_its_uploads_with_it(sender: Sender, url: str) -> None:
    upload = Upload.objects.get()
    assert sender.post("abandon").status_code == 204
    assert sender.head(url).status_code == 404
    assert sender.patch(url, 4, BODY[4:]).status_code == 404
    assert not content.staging().path(upload.pk).exists()


def test_an_abandoned_version_takes_what_an_import_brought_so_far(sender: Sender) -> None:
    body = uuid.uuid4()
    content.staging().create(body)
    run = Import.objects.create(version=sender.version, connection_name="store", provider="minio", source_path="big")
    ImportPart.objects.create(run=run, file_count=1, size=100, files=b"", staged_as=body, staged_size=50)
    assert sender.post("abandon").status_code == 204
    assert not content.staging().path(body).exists()


@pytest.mark.parametrize("dies", [False, True])
def test_a_seal_ends_what_is_still_under_way(sender: Sender, monkeypatch: pytest.MonkeyPatch, *, dies: bool) -> None:
    """A bundle whose files were all replaced: nothing can be sent to a sealed version, and its bytes take room."""
    sender.send({"here": BODY})
    sender.plan({"a": b"one", "b": b"two"})
    left = sender.post("bundles", {"paths": ["a", "b"]})["Location"]
    assert sender.patch(left, 0, b"on").status_code == 204
    upload = left.rpartition("/")[2]
    assert {item["state"] for item in sender.plan({"a": BODY, "b": BODY}).values()} == {"stored"}
    if dies:
        with monkeypatch.context() as dying:
            dying.setattr(versions, "clear_staged", lambda _version_id: None)
            sender.seal()
        assert Upload.objects.get(pk=upload).status == "receiving"
        sender.version.staged.all().delete()
        tasks.reap()
    else:
        sender.seal()
    assert Upload.objects.get(pk=upload).status == "removed"
    assert not content.staging().path(uuid.UUID(upload)).exists()


@pytest.mark.parametrize("way", ["one request", "two requests", "with the creation", "head", "worker"])
def test_declared_digest_wrong(sender: Sender, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    declared, actual = hashlib.sha256(b"declared").hexdigest(), hashlib.sha256(BODY).hexdigest()
    if way == "with the creation":
        answer = _create(sender, declared, data=BODY, content_type=OCTETS)
    else:
        answer = _create(sender, declared)
    upload = Upload.objects.get()
    url = f"/api/v1/tus/{upload.pk}"
    match way:
        case "one request":
            answer = sender.patch(url, 0, BODY)
        case "two requests":
            assert sender.patch(url, 0, BODY[:5]).status_code == 204
            answer = sender.patch(url, 5, BODY[5:])
        case "head":
            # The request that brought the last byte died before it could look.
            content.staging().path(upload.pk).write_bytes(BODY)
            assert sender.head(url).status_code == 410
        case "worker":
            monkeypatch.setattr("django.conf.settings.FINISHED_IN_REQUEST_BYTES", 1)
            content.staging().path(upload.pk).write_bytes(BODY)
            assert sender.head(url)["Upload-Offset"] == "10"
            tasks.finish_upload(upload_id=str(upload.pk))
    if way not in {"head", "worker"}:
        assert answer.status_code == 460
        assert declared in answer.json()["errors"][0]["detail"]
        assert actual in answer.json()["errors"][0]["detail"]
    file = StagedFile.objects.get()
    assert file.state == "failed"
    assert declared in file.error
    assert actual in file.error
    assert not Blob.objects.exists()
    assert sender.head(url).status_code == 410
    assert not content.staging().path(upload.pk).exists()
    refused = sender.post("seal")
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (409, "a")
    # Leaving the file out is an act of its own; so is sending it again.
    assert sender.create_upload(length=len(BODY), path="a", sha256=actual, headers={}).status_code == 201


def _create(sender: Sender, declared: str, *, data: bytes = b"", content_type: str = "text/plain") -> Answer:
    about = metadata(team=sender.team.name, dataset="images", version=1, path="a", sha256=declared)
    headers = TUS | {"Upload-Length": str(len(BODY)), "Upload-Metadata": about}
    return sender.client.post("/api/v1/tus", data, content_type=content_type, headers=headers)
