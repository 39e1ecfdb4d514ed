"""PATCH appends. Whatever is refused leaves the upload as it was, ready to go on, or gone: never damaged."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError

from datasets_app.errors import Locked
from datasets_app.models import StagedFile, Upload
from datasets_app.services import content, finishing, uploads
from datasets_app.services.versions import run_seal
from tests.uploads.sender import OCTETS, TUS, Sender

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

BODY = random.Random(7).randbytes(3_000)
HALF = len(BODY) // 2


@pytest.fixture
def url(sender: Sender) -> str:
    """Give an upload whose first half has arrived."""
    url = sender.create_upload(length=len(BODY), path="a.bin", sha256=hashlib.sha256(BODY).hexdigest())["Location"]
    assert sender.patch(url, 0, BODY[:HALF]).status_code == 204
    return url


def goes_on(sender: Sender, url: str, *, at: int = HALF) -> None:
    """Check that the upload stands at this offset, and ends with the right bytes."""
    asked = sender.head(url)
    assert (asked.status_code, asked["Upload-Offset"], asked["Upload-Length"]) == (200, str(at), str(len(BODY)))
    assert sender.patch(url, at, BODY[at:]).status_code == 204
    blob = StagedFile.objects.select_related("blob__pack").get().blob
    assert blob is not None
    assert b"".join(content.read_blob(blob)) == BODY


def checksum(algorithm: str, data: bytes) -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def test_it_works(sender: Sender, url: str) -> None:
    goes_on(sender, url)


def test_many_small_requests(sender: Sender, url: str) -> None:
    for offset in range(HALF, len(BODY), 500):
        answer = sender.patch(url, offset, BODY[offset : offset + 500])
        assert (answer.status_code, answer["Upload-Offset"]) == (204, str(offset + 500))
    assert StagedFile.objects.get().state == "stored"


def test_the_last_answer_may_be_lost(sender: Sender, url: str) -> None:
    goes_on(sender, url)
    asked = sender.head(url)
    assert (asked.status_code, asked["Upload-Offset"]) == (200, str(len(BODY)))
    assert sender.patch(url, len(BODY), b"").status_code == 204
    assert sender.patch(url, HALF, BODY[HALF:]).status_code == 409
    assert StagedFile.objects.get().state == "stored"


@pytest.mark.parametrize("offset", [0, HALF - 1, HALF + 1, len(BODY), 10**15])
def test_offset_mismatch(sender: Sender, url: str, offset: int) -> None:
    answer = sender.patch(url, offset, BODY[offset : offset + 10])
    assert answer.status_code == 409
    assert str(HALF) in answer.json()["detail"]
    goes_on(sender, url)


@pytest.mark.parametrize("offset", ["", "x", "-1", "9" * 5000])
def test_malformed_offset(sender: Sender, url: str, offset: str) -> None:
    answer = sender.patch(url, 0, BODY[HALF:], Upload_Offset=offset)
    assert answer.status_code == 400
    goes_on(sender, url)


def test_locked_by_another_request(sender: Sender, url: str) -> None:
    with content.staging().lock(Upload.objects.get().pk):
        assert sender.patch(url, HALF, BODY[HALF:]).status_code == 423
        assert sender.head(url)["Upload-Offset"] == str(HALF)
    goes_on(sender, url)


def test_a_head_while_the_last_request_is_finishing_waits_for_nobody(sender: Sender, url: str) -> None:
    upload = Upload.objects.get()
    content.staging().append(upload.pk, offset=HALF, read=_reader(BODY[HALF:]), total=len(BODY))
    with content.staging().lock(upload.pk):
        assert sender.head(url)["Upload-Offset"] == str(len(BODY))
        assert StagedFile.objects.get().state == "partial"
    # Should the request die over it, a worker was told.
    finishing.run_finish(upload.pk)
    assert sender.head(url)["Upload-Offset"] == str(len(BODY))
    assert StagedFile.objects.get().state == "stored"


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_checksum(sender: Sender, url: str, algorithm: str) -> None:
    wrong = sender.patch(url, HALF, BODY[HALF:], Upload_Checksum=checksum(algorithm, b"other"))
    assert wrong.status_code == 460
    assert sender.head(url)["Upload-Offset"] == str(HALF)
    part = BODY[HALF : HALF + 100]
    assert sender.patch(url, HALF, part, Upload_Checksum=checksum(algorithm, part)).status_code == 204
    goes_on(sender, url, at=HALF + 100)


def test_a_checksum_of_the_first_request(sender: Sender) -> None:
    url = sender.create_upload(length=len(BODY), path="b")["Location"]
    assert sender.patch(url, 0, BODY, Upload_Checksum=checksum("sha256", b"other")).status_code == 460
    assert sender.head(url)["Upload-Offset"] == "0"
    assert sender.patch(url, 0, BODY, Upload_Checksum=checksum("sha256", BODY)).status_code == 204


@pytest.mark.parametrize("header", ["md5 AAAA", "sha256", "sha256 not base64", "sha256 =", "crc32 AAAA", ""])
def test_malformed_checksum(sender: Sender, url: str, header: str) -> None:
    answer = sender.patch(url, HALF, BODY[HALF:], Upload_Checksum=header)
    assert answer.status_code in {400, 460}
    goes_on(sender, url)


def test_more_than_declared(sender: Sender, url: str) -> None:
    assert sender.patch(url, HALF, BODY[HALF:] + b"!").status_code == 413
    goes_on(sender, url)


@pytest.mark.parametrize("kind", ["application/octet-stream", "application/json", ""])
def test_wrong_content_type(sender: Sender, url: str, kind: str) -> None:
    answer = sender.client.patch(url, BODY[HALF:], content_type=kind, headers=TUS | {"Upload-Offset": str(HALF)})
    assert answer.status_code == 415
    goes_on(sender, url)


def test_wrong_method(sender: Sender, url: str) -> None:
    answer = sender.client.put(url, BODY, content_type=OCTETS, headers=TUS)
    assert answer.status_code == 405
    assert "PATCH" in answer["Allow"]
    assert sender.client.get("/api/v1/tus", headers=TUS).status_code == 405
    goes_on(sender, url)


def test_method_override(sender: Sender, url: str) -> None:
    """For clients behind proxies that let only GET and POST pass."""

    def post(method: str, data: bytes = b"", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return sender.client.post(
            url, data, content_type=OCTETS, headers=TUS | {"X-HTTP-Method-Override": method} | named
        )

    assert post("HEAD")["Upload-Offset"] == str(HALF)
    assert post("PATCH", BODY[HALF:-1], Upload_Offset=str(HALF)).status_code == 204
    goes_on(sender, url, at=len(BODY) - 1)
    other = sender.create_upload(length=2, path="other")["Location"]
    url = other
    assert post("DELETE").status_code == 204
    assert sender.head(other).status_code == 410


def test_a_get_changes_nothing(sender: Sender, url: str) -> None:
    """A GET needs no CSRF header: overriding it would let other sites act."""
    answer = sender.client.get(url, headers=TUS | {"X-HTTP-Method-Override": "DELETE"})
    assert answer.status_code == 405
    goes_on(sender, url)


def test_a_broken_connection_keeps_what_arrived(sender: Sender, url: str) -> None:
    upload = uploads.find_upload(sender.user, Upload.objects.get().pk)
    reached = uploads.append(
        sender.user, upload=upload, offset=HALF, read=_reader(BODY[HALF : HALF + 10]), length=len(BODY) - HALF
    )
    assert reached == HALF + 10
    goes_on(sender, url, at=HALF + 10)


def test_a_busy_database_asks_to_try_again(sender: Sender, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_arguments: object, **_named: object) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(finishing, "finish_upload", busy)
        answer = sender.patch(url, HALF, BODY[HALF:])
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert sender.head(url)["Upload-Offset"] == str(len(BODY))
    assert StagedFile.objects.get().state == "stored"


def test_a_large_file_that_another_process_began_is_finished_by_a_worker(
    sender: Sender, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To hash all of it again would let the last request wait for too long."""
    monkeypatch.setattr("django.conf.settings.FINISHED_IN_REQUEST_BYTES", 10)
    content.staging.cache_clear()
    assert sender.patch(url, HALF, BODY[HALF:]).status_code == 204
    assert sender.head(url)["Upload-Offset"] == str(len(BODY))
    upload = Upload.objects.get()
    assert upload.status == "received"
    assert sender.patch(url, len(BODY), b"").status_code == 204
    assert finishing.wake_received() == 1
    assert sender.plan({"a.bin": BODY})["a.bin"]["state"] == "partial"
    # Two workers were woken; the other one is at it.
    with content.staging().lock(upload.pk), pytest.raises(Locked):
        finishing.run_finish(upload.pk)
    finishing.run_finish(upload.pk)
    finishing.run_finish(upload.pk)
    assert StagedFile.objects.get().state == "stored"


def test_a_version_waits_for_the_worker_that_finishes_its_files(
    sender: Sender, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.conf.settings.FINISHED_IN_REQUEST_BYTES", 10)
    content.staging.cache_clear()
    assert sender.patch(url, HALF, BODY[HALF:]).status_code == 204
    assert sender.post("seal").status_code == 202
    run_seal(sender.version.pk)
    assert sender.version.status == "available"
    assert sender.version.size == len(BODY)


def test_a_seal_takes_a_large_file_whose_last_request_died(
    sender: Sender, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All bytes are on disk, and nobody asks for its offset again."""
    monkeypatch.setattr("django.conf.settings.FINISHED_IN_REQUEST_BYTES", 10)
    content.staging.cache_clear()
    upload = Upload.objects.get()
    content.staging().path(upload.pk).write_bytes(BODY)
    assert sender.post("seal").status_code == 202
    upload.refresh_from_db()
    assert upload.status == "received"
    sender.work()
    assert (sender.version.status, sender.version.size) == ("available", len(BODY))


def test_a_large_file_whose_last_request_died_after_it_was_moved_into_the_store(
    sender: Sender, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.conf.settings.FINISHED_IN_REQUEST_BYTES", 10)
    upload = Upload.objects.get()
    content.staging().path(upload.pk).write_bytes(BODY)
    content.store_upload(upload_id=upload.pk, slices=[], always=True)
    content.staging.cache_clear()
    asked = sender.head(url)
    assert (asked.status_code, asked["Upload-Offset"]) == (200, str(len(BODY)))
    finishing.run_finish(upload.pk)
    assert StagedFile.objects.get().state == "stored"
    assert sender.post("seal").status_code == 202
    sender.work()
    assert (sender.version.status, sender.version.size) == ("available", len(BODY))


def test_a_seal_waits_for_a_worker_that_is_just_finishing_a_file(
    sender: Sender, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("django.conf.settings.FINISHED_IN_REQUEST_BYTES", 10)
    content.staging.cache_clear()
    assert sender.patch(url, HALF, BODY[HALF:]).status_code == 204
    assert sender.post("seal").status_code == 202
    waits = iter(range(3))
    worker = content.staging().lock(Upload.objects.get().pk)
    worker.__enter__()

    def wait(_seconds: float) -> None:
        if next(waits) == 2:
            worker.__exit__(None, None, None)

    monkeypatch.setattr("datasets_app.services.finishing.time.sleep", wait)
    sender.work()
    assert (sender.version.status, sender.version.size) == ("available", len(BODY))
    assert next(waits, None) is None


def _reader(data: bytes) -> Callable[[int], bytes]:
    waiting = [data]
    return lambda _size: waiting.pop() if waiting else b""
