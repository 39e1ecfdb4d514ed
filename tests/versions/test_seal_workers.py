"""Workers die, are woken twice, and meet: a version is sealed once and whole."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.db.models import Model
from django.utils import timezone

from datasets_app import tasks
from datasets_app.errors import Conflict
from datasets_app.models import Blob, Dataset, Directory, StagedFile, Version
from datasets_app.models.bulk import insert_rows
from datasets_app.services import manifests, trees, versions
from datasets_app.services.plans import plan_files
from datasets_app.services.staged import DeclaredFile
from datasets_app.services.versions import run_seal, seal_version
from datasets_app.services.walking import walk_files
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, stage_files
from tests.store.naive import digest_of
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]
FILES = {f"folder{number % 7}/file{number}": str(number).encode() for number in range(60)}


class KilledError(BaseException):
    """A worker's end by SIGKILL: nothing of it is handled."""


def make_pending(dataset: Dataset | None = None) -> Version:
    version = make_version(dataset or make_dataset(make_team()))
    stage_files(version, FILES)
    return seal_version(make_member(version.dataset.team), version=version)


def in_threads(*work: Callable[[], object]) -> list[object]:
    """Run all at the same moment, each with a database connection of its own; return what they returned."""
    gate = threading.Barrier(len(work))

    def run(one: Callable[[], object]) -> object:
        try:
            gate.wait(10)
            return one()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(work)) as pool:
        return [future.result(60) for future in [pool.submit(run, one) for one in work]]


def test_it_works_after_a_worker_died_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Die at each step in turn; the next worker takes up what is left, once the lease is over."""
    version = make_pending()
    steps = [
        (versions, "finish_arrived"),
        (trees, "write_tree"),
        (trees, "insert_rows"),
        (manifests, "store_manifest"),
        (versions, "clear_staged"),
    ]
    for module, name in steps:
        with monkeypatch.context() as dying:
            dying.setattr(module, name, _die)
            with pytest.raises(KilledError):
                run_seal(version.pk)
        version.refresh_from_db()
        assert version.status == ("available" if name == "clear_staged" else "pending"), name
        if name != "clear_staged":
            run_seal(version.pk)
            version.refresh_from_db()
            assert version.status == "pending", "a living worker's lease was not kept"
        Version.objects.filter(status="pending").update(lease_until=timezone.now() - timedelta(seconds=1))
    assert StagedFile.objects.exists()
    tasks.reap()
    assert not StagedFile.objects.exists()
    assert Version.objects.get().digest == digest_of(FILES)
    assert not Directory.objects.filter(closed=False).exists()


def test_died_in_the_midst_of_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written stays, whole directories only, and is shared by the next attempt."""
    version = make_pending()
    calls = iter(range(100))

    def insert_some(model: type[Model], columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        if next(calls) == 5:
            raise KilledError
        insert_rows(model, columns, rows)

    with monkeypatch.context() as dying:
        dying.setattr(trees, "BATCH_ROWS", 9)
        dying.setattr(trees, "insert_rows", insert_some)
        with pytest.raises(KilledError):
            run_seal(version.pk)
    assert 0 < Directory.objects.count() < 8
    assert not Directory.objects.filter(closed=False).exists()
    Version.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    run_seal(version.pk)
    assert Version.objects.get().digest == digest_of(FILES)


def test_the_reaper_wakes_what_lost_its_worker_or_was_never_started(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(versions, "enqueue", lambda _task, *, version_id: sent.append(version_id))
    lost, held, waiting = (make_pending() for _ in range(3))
    sent.clear()
    now = timezone.now()
    Version.objects.filter(pk=lost.pk).update(lease_until=now - timedelta(seconds=1))
    Version.objects.filter(pk=held.pk).update(lease_until=now + timedelta(seconds=60))
    make_version(make_dataset(make_team()))
    assert versions.wake_pending() == 2
    assert set(sent) == {lost.pk, waiting.pk}


def test_a_worker_that_lost_its_lease_stops_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    version = make_pending()
    settings.LEASE_SECONDS = 0
    store = manifests.store_manifest
    others = iter([lambda: run_seal(version.pk)])

    def overtaken(*arguments: Any, **named: Any) -> str:
        next(others, lambda: None)()
        return str(store(*arguments, **named))

    monkeypatch.setattr(manifests, "store_manifest", overtaken)
    run_seal(version.pk)
    sealed = Version.objects.get()
    assert (sealed.status, sealed.error, sealed.digest) == ("available", "", digest_of(FILES))


def test_two_workers_at_the_same_version() -> None:
    version = make_pending()
    in_threads(*[lambda: run_seal(version.pk)] * 3)
    sealed = Version.objects.get()
    assert (sealed.status, sealed.digest, sealed.attempts) == ("available", digest_of(FILES), 1)


def test_equal_and_overlapping_versions_sealed_at_once() -> None:
    """They write the same directories at the same time, in different orders."""
    dataset = make_dataset(make_team())
    trees_of = [
        FILES,
        FILES,
        {f"other/{path}": data for path, data in reversed(FILES.items())},
        {path.replace("folder", "zfolder"): data for path, data in FILES.items()} | {"a": b"a"},
    ]
    pending = []
    for files in trees_of:
        version = make_version(dataset)
        stage_files(version, files)
        pending.append(seal_version(make_member(dataset.team), version=version))
    in_threads(*[lambda pk=version.pk: run_seal(pk) for version in pending])
    for version, files in zip(pending, trees_of, strict=True):
        version.refresh_from_db()
        assert (version.status, version.digest) == ("available", digest_of(files)), version.error
        assert version.root is not None
        assert {file.path for file in walk_files(version.root)} == set(files)
    assert not Directory.objects.filter(closed=False).exists()


def test_sealing_twice_at_once_is_asked_for_once() -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, FILES)
    actor = make_member(version.dataset.team)

    def seal() -> str:
        try:
            return seal_version(actor, version=Version.objects.get(pk=version.pk)).status
        except Conflict:
            return "conflict"

    assert sorted(map(str, in_threads(seal, seal, seal))) == ["conflict", "conflict", "pending"]


def test_two_sessions_plan_and_send_the_same_files_at_once() -> None:
    sender = Sender.create()
    files = {path: data * 50 for path, data in FILES.items()}
    backwards = dict(reversed(files.items()))

    def send(mine: dict[str, bytes]) -> None:
        for _ in range(5):
            needed = {path: mine[path] for path, item in sender.plan(mine).items() if item["state"] != "stored"}
            if not needed:
                return
            created = sender.post("bundles", {"paths": list(needed)})
            if created.status_code == 201:
                assert sender.patch(created["Location"], 0, b"".join(needed.values())).status_code == 204
            else:
                assert created.status_code == 409, created.content

    in_threads(lambda: send(files), lambda: send(backwards), lambda: send(files))
    assert StagedFile.objects.missing().count() == 0
    assert Blob.objects.count() == len(set(files.values()))
    sender.seal()
    assert sender.version.digest == digest_of(files)


def test_two_sessions_declare_one_path_at_once() -> None:
    version = make_version(make_dataset(make_team()))
    actor = make_member(version.dataset.team)
    work = [lambda size=size: plan_files(actor, version=version, files=[DeclaredFile("a", size)]) for size in range(4)]
    in_threads(*work)
    assert StagedFile.objects.get().path == "a"


def test_many_versions_started_at_once_have_numbers_of_their_own() -> None:
    dataset = make_dataset(make_team())
    actors = [make_member(dataset.team) for _ in range(4)]
    in_threads(*[lambda actor=actor: versions.create_version(actor, dataset=dataset) for actor in actors])
    assert sorted(Version.objects.values_list("number", flat=True)) == [1, 2, 3, 4]


def test_a_sealed_version_stays_after_its_base_was_started_from() -> None:
    dataset = make_dataset(make_team())
    first = make_available_version(dataset, FILES)
    second = make_available_version(dataset, {"new": b"new"}, base=1)
    assert (first.digest, second.digest) == (digest_of(FILES), digest_of(FILES | {"new": b"new"}))


def _die(*_arguments: object, **_named: object) -> None:
    raise KilledError
