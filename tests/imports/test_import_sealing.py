"""An import whose worker dies between its last file and the sealed version: another worker goes on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from datasets_app import queue
from datasets_app.models import Import, Version
from datasets_app.services import importing, manifests, trees, versions
from tests.imports.bucket import Bucket, Importer, files_of

pytestmark = [pytest.mark.server, pytest.mark.django_db(transaction=True)]


class DeathError(BaseException):
    """The process is gone: nothing that would run after it runs."""


def die(*_arguments: object, **_more: object) -> None:
    """Die here."""
    raise DeathError


def die_of_sealing(task: object, _kwargs: object) -> None:
    """Die instead of sending that one task."""
    if getattr(task, "name", "") == versions.SEAL_TASK:
        raise DeathError


def take_turns() -> None:
    """Work until there is nothing left to do."""
    while importing.run_imports():
        pass


def expire(version: Version) -> None:
    """Let the time pass after which a dead worker's lease counts for nothing."""
    past = timezone.now() - timedelta(seconds=1)
    Version.objects.filter(pk=version.pk, lease_until__isnull=False).update(lease_until=past)


def run_as_reaper_would(run: Import) -> list[int]:
    """Do what the periodic tasks do, and what they wake; return the versions that were to be sealed."""
    importing.reap_imports()
    woken: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "enqueue", lambda _task, **given: woken.append(given["version_id"]))
        assert versions.wake_pending() == len(woken)
    for version_id in woken:
        versions.run_seal(version_id)
    run.refresh_from_db()
    run.version.refresh_from_db()
    return woken


@pytest.mark.parametrize(
    ("where", "what", "death"),
    [
        # All files are here, and nobody has said that the import is over.
        (importing, "conclude", die),
        # In the transaction that ends it.
        (importing, "start_sealing", die),
        # After the commit, before the queue has the message.
        (queue, "_send", die_of_sealing),
    ],
    ids=["before its end", "in its end", "after its end"],
)
def test_it_is_sealed_all_the_same(
    importer: Importer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, where: object, what: str, death: object
) -> None:
    files = {f"file{n}": b"%d" % n for n in range(20)}
    bucket.put(files)
    run = importer.start(bucket.name)
    # The listing is done by the first turn.
    importing.run_imports()
    with monkeypatch.context() as patch:
        patch.setattr(where, what, death)
        with pytest.raises(DeathError):
            take_turns()
    run.refresh_from_db()
    assert run.version.status != Version.Status.AVAILABLE

    assert run_as_reaper_would(run) == [run.version_id]

    assert (run.status, run.version.status) == (Import.Status.FINISHED, Version.Status.AVAILABLE)
    assert files_of(run.version) == files


def test_so_it_is_when_who_seals_it_dies(importer: Importer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {f"file{n}": b"%d" % n for n in range(20)}
    bucket.put(files)
    run = importer.start(bucket.name)
    take_turns()
    for where, what in ((trees, "write_tree"), (manifests, "store_manifest"), (trees, "hold_tree")):
        with monkeypatch.context() as patch:
            patch.setattr(where, what, die)
            with pytest.raises(DeathError):
                versions.run_seal(run.version_id)
        assert not transaction.get_connection().in_atomic_block
        # A living worker's lease is heeded.
        assert versions.wake_pending() == 0
        expire(run.version)

    assert run_as_reaper_would(run) == [run.version_id]

    assert run.version.status == Version.Status.AVAILABLE
    assert files_of(run.version) == files
