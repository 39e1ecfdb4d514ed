"""A small version is sealed by the request that asks for it; whatever happens there, a worker brings it to its end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.utils import timezone

from datasets_app.models import Dataset, StagedFile, Version
from datasets_app.services import manifests, versions
from datasets_app.services.versions import create_version, run_seal, seal_version
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, stage_files
from tests.store.naive import digest_of
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]
FILES = {f"folder{number % 3}/file{number}": str(number).encode() for number in range(6)}


class KilledError(BaseException):
    """The web server's end by SIGKILL: nothing of it is handled."""


@pytest.fixture(autouse=True)
def few_files(settings: LazySettings) -> None:
    settings.SEALED_IN_REQUEST_FILES = len(FILES)


def make_filled(files: Mapping[str, bytes] = FILES, dataset: Dataset | None = None) -> Version:
    version = make_version(dataset or make_dataset(make_team()))
    stage_files(version, files)
    return version


def seal(version: Version) -> Version:
    return seal_version(make_member(version.dataset.team), version=version)


def test_it_works() -> None:
    version = seal(make_filled())
    assert (version.status, version.digest) == ("available", digest_of(FILES))
    # The worker is asked to clear up.
    assert StagedFile.objects.count() == len(FILES)
    run_seal(version.pk)
    assert not StagedFile.objects.exists()
    assert Version.objects.get().digest == digest_of(FILES)


def test_the_answer_of_the_api_says_so() -> None:
    sender = Sender.create()
    sender.send(FILES)
    answer = sender.post("seal")
    assert (answer.status_code, answer.json()["status"]) == (202, "available")
    assert answer.json()["digest"] == digest_of(FILES)


def test_what_is_larger_waits_for_a_worker(settings: LazySettings) -> None:
    one_more = FILES | {"another": b"."}
    assert seal(make_filled(one_more)).status == "pending"
    settings.SEALED_IN_REQUEST_FILES = 0
    assert seal(make_filled()).status == "pending"


def test_the_files_of_the_base_count(settings: LazySettings) -> None:
    dataset = make_dataset(make_team())
    make_available_version(dataset, FILES)
    actor = make_member(dataset.team)
    for most, status in ((len(FILES), "pending"), (len(FILES) + 1, "available")):
        settings.SEALED_IN_REQUEST_FILES = most
        version = create_version(actor, dataset=dataset, base=1)
        stage_files(version, {"another": b"."})
        assert seal_version(actor, version=version).status == status
        run_seal(version.pk)
        version.refresh_from_db()
        assert version.digest == digest_of(FILES | {"another": b"."})


def test_a_refused_tree_is_told_at_once() -> None:
    version = seal(make_filled({"a": b"1", "a/b": b"2"}))
    assert version.status == "error"
    assert "'a'" in version.error


def test_a_web_server_that_dies_meanwhile_leaves_it_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_filled()

    def die(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as dying:
        dying.setattr(manifests, "store_manifest", die)
        with pytest.raises(KilledError):
            seal(version)
    assert Version.objects.get().status == "pending"
    Version.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert versions.wake_pending() == 1
    run_seal(version.pk)
    assert Version.objects.get().digest == digest_of(FILES)


def test_an_error_leaves_it_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_filled()

    def fail(*_: object, **__: object) -> None:
        raise OSError("The disk is away")

    queued: list[int] = []
    monkeypatch.setattr(versions, "enqueue", lambda _task, version_id=0, **_: queued.append(version_id))
    with monkeypatch.context() as failing:
        failing.setattr(manifests, "store_manifest", fail)
        assert seal(version).status == "pending"
    assert version.pk in queued
    run_seal(version.pk)
    assert Version.objects.get().digest == digest_of(FILES)
