"""Those who link and the collector meet at every point: nobody gets an error, nothing that is linked is lost."""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection, transaction
from django.db.models import Model
from django.utils import timezone

from datasets_app.errors import Conflict, NotFound
from datasets_app.models import (
    Blob,
    Directory,
    Job,
    Pack,
    StagedFile,
    Team,
    TeamBlob,
    UnreferencedBlob,
    UnreferencedDirectory,
    Version,
)
from datasets_app.permissions import require
from datasets_app.services import content, jobs, manifests, trees, versions
from datasets_app.services.garbage import compaction
from datasets_app.services.garbage.blobs import collect_blobs
from datasets_app.services.garbage.references import delete_rows
from datasets_app.services.garbage.runs import STEPS
from datasets_app.services.garbage.sweep import Sweep, lock_rows
from datasets_app.services.garbage.trees import collect_trees
from datasets_app.services.jobs import Attachment
from datasets_app.services.plans import plan_files
from datasets_app.services.staged import DeclaredFile
from datasets_app.services.versions import abandon_version, run_seal, seal_version
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, stage_files
from tests.garbage.conftest import collect, objects, pack_objects, read_back
from tests.garbage.test_collect import purge
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]

DATA = b"shared bytes"
DIGEST = hashlib.sha256(DATA).digest()


def garbage_of(team: Team) -> None:
    """Leave a blob that the team can read and that nothing holds, with its grace period over."""
    version = make_version(make_dataset(team))
    stage_files(version, {"a": DATA})
    abandon_version(make_member(team), version=version)
    collect()
    UnreferencedBlob.objects.update(since=timezone.now() - timedelta(hours=25))


class Beside:
    """Work in another thread, with a database connection of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(2)

    def start(self, work: Callable[[], Any]) -> Future[Any]:
        def run() -> Any:  # noqa: ANN401
            try:
                return work()
            finally:
                connection.close()

        return self._pool.submit(run)


def pausing(function: Callable[..., Any]) -> tuple[Callable[..., Any], threading.Event, threading.Event]:
    """Wrap a function: it sets the first event once it has done its work, and waits for the second one."""
    reached, go_on = threading.Event(), threading.Event()

    def paused(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        result = function(*arguments, **named)
        reached.set()
        assert go_on.wait(20)
        return result

    return paused, reached, go_on


def plan(version: Version) -> str:
    plan = plan_files(
        make_member(version.dataset.team), version=version, files=[DeclaredFile("again", len(DATA), DIGEST)]
    )
    return plan.files[0].state


def test_a_plan_that_looked_first_keeps_the_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    team = make_team()
    garbage_of(team)
    version = make_version(make_dataset(team))
    paused, reached, go_on = pausing(content.find_readable)
    monkeypatch.setattr(content, "find_readable", paused)
    beside = Beside()
    planned = beside.start(lambda: plan(version))
    assert reached.wait(20)
    collected = beside.start(collect)
    # SQLite's collector waits for the plan, PostgreSQL's goes round its blob.
    if connection.vendor == "postgresql":
        collected.result(20)
        assert Blob.objects.exists()
    go_on.set()
    assert planned.result(20) == "stored"
    collected.result(20)
    assert version.staged.get().blob == Blob.objects.get()
    collect(hours=30)
    assert b"".join(content.read_blob(Blob.objects.get())) == DATA
    assert not UnreferencedBlob.objects.exists()


def test_a_plan_that_comes_later_needs_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    team = make_team()
    garbage_of(team)
    version = make_version(make_dataset(team))
    paused, reached, go_on = pausing(delete_rows)
    monkeypatch.setattr("datasets_app.services.garbage.blobs.delete_rows", paused)
    beside = Beside()
    collected = beside.start(collect)
    assert reached.wait(20)
    planned = beside.start(lambda: plan(version))
    go_on.set()
    assert planned.result(20) == "needed"
    assert collected.result(20).report["blob"]["count"] == 1


def test_an_upload_that_found_its_bytes_stored_stores_them_anew(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    """The blob is collected between the look and the rows."""
    sender = Sender.create()
    garbage_of(sender.team)
    looked = content.store_upload

    def look_and_collect(**named: Any) -> bool:
        stored = looked(**named)
        collect()
        return stored

    monkeypatch.setattr(content, "store_upload", look_and_collect)
    sender.plan({"x": DATA}, hashed=False)
    assert sender.bundle({"x": DATA}).status_code == 204
    sender.seal()
    assert read_back(sender.version) == {"x": DATA}
    assert len(objects(store)) == 2


def test_an_upload_that_registers_first_keeps_the_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = Sender.create()
    garbage_of(sender.team)
    sender.plan({"x": DATA}, hashed=False)
    paused, reached, go_on = pausing(content.register_upload)
    monkeypatch.setattr(content, "register_upload", paused)
    beside = Beside()
    sent = beside.start(lambda: sender.bundle({"x": DATA}).status_code)
    assert reached.wait(20)
    collected = beside.start(collect)
    if connection.vendor == "postgresql":
        collected.result(20)
    go_on.set()
    assert sent.result(20) == 204
    collected.result(20)
    sender.seal()
    assert read_back(sender.version) == {"x": DATA}


def folders(count: int) -> dict[str, bytes]:
    return {f"f{number}/sub/file": str(number).encode() for number in range(count)}


def due_now() -> None:
    UnreferencedDirectory.objects.update(since=timezone.now() - timedelta(hours=25))
    UnreferencedBlob.objects.update(since=timezone.now() - timedelta(hours=25))


@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_seal_that_shares_a_tree_while_it_is_collected_writes_it_again(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings, at: int
) -> None:
    """Between two batches of the seal, everything that has no version goes: what it shares, and what it wrote."""
    files = folders(4)
    purge(make_available_version(make_dataset(make_team()), files))
    version = make_version(make_dataset(make_team()))
    stage_files(version, {**files, "new": b"new"})
    seal_version(make_member(version.dataset.team), version=version)
    monkeypatch.setattr(trees, "BATCH_ROWS", 3)
    calls = iter(range(1, 1000))
    write = trees._write  # noqa: SLF001

    def write_and_collect(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        if next(calls) == at:
            due_now()
            settings.GRACE_HOURS = 0
            collect()
            settings.GRACE_HOURS = 24

    monkeypatch.setattr(trees, "_write", write_and_collect)
    for _ in range(5):
        run_seal(version.pk)
    assert read_back(version) == {**files, "new": b"new"}
    collect(hours=100)
    assert read_back(version) == {**files, "new": b"new"}


def test_a_seal_whose_tree_is_collected_before_it_has_a_version_writes_it_again(
    monkeypatch: pytest.MonkeyPatch, settings: LazySettings, store: Path
) -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, folders(3))
    seal_version(make_member(version.dataset.team), version=version)
    store_manifest = manifests.store_manifest

    def store_and_collect(*arguments: Any, **named: Any) -> str:
        key: str = store_manifest(*arguments, **named)
        monkeypatch.setattr(manifests, "store_manifest", store_manifest)
        settings.GRACE_HOURS = 0
        collect()
        assert not Directory.objects.exists()
        settings.GRACE_HOURS = 24
        return key

    monkeypatch.setattr(manifests, "store_manifest", store_and_collect)
    run_seal(version.pk)
    version.refresh_from_db()
    assert version.status == "pending"
    run_seal(version.pk)
    assert read_back(version) == folders(3)
    collect(hours=30)
    assert len(objects(store)) == 2, "the manifest of the first attempt is gone"


def test_a_shared_directory_loses_its_mark_in_the_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    purge(make_available_version(make_dataset(make_team()), folders(3)))
    collect()
    assert UnreferencedDirectory.objects.count() == 1
    make_available_version(make_dataset(make_team()), folders(3))
    assert not UnreferencedDirectory.objects.exists()


def test_the_collector_gives_way_on_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody holds a row that hangs on the blob, and doesn't let go."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    garbage_of(make_team())
    reached, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            assert list(TeamBlob.objects.select_for_update())
            reached.set()
            assert go_on.wait(20)

    beside = Beside()
    holding = beside.start(hold)
    assert reached.wait(20)
    run = collect()
    assert run.notes == ["The database was busy: blobs were left to the next run."]
    assert Blob.objects.exists()
    go_on.set()
    holding.result(20)
    collect()
    assert not Blob.objects.exists()


def test_a_base_that_is_purged_just_then_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_available_version(make_dataset(make_team()), {"a": b"a"})
    maker = make_member(version.dataset.team)

    def check_and_purge(*arguments: Any) -> None:
        require(*arguments)
        monkeypatch.setattr(versions, "require", require)
        purge(version)

    monkeypatch.setattr(versions, "require", check_and_purge)
    with pytest.raises(NotFound):
        versions.create_version(maker, dataset=version.dataset, base=1)


def test_a_job_whose_version_is_purged_just_then_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make_available_version(make_dataset(make_team()), {"a": b"a"})
    maker = make_member(version.dataset.team)
    lock = jobs._lock_versions  # noqa: SLF001

    def purge_and_lock(found: Sequence[Version]) -> None:
        purge(version)
        lock(found)

    monkeypatch.setattr(jobs, "_lock_versions", purge_and_lock)
    monkeypatch.setattr(jobs, "_check_runner", lambda *_: None)
    with pytest.raises(Conflict, match="just now"):
        jobs.create_job(
            maker,
            team=version.dataset.team.name,
            name="train",
            kind="training",
            command=["true"],
            datasets=[Attachment(version.dataset.name, 1)],
        )
    assert not Job.objects.exists()


@pytest.mark.parametrize("meets", ["the blob", "the pack"])
def test_an_import_whose_bytes_are_collected_before_they_land_is_told(meets: str, store: Path) -> None:
    """It found a blob, or stored a pack, and then nothing happened for longer than the grace period."""
    team = make_team()
    garbage_of(team)
    other = b"other bytes"
    slices = [content.Slice(hashlib.sha256(other).digest(), len(other), 0)]
    pack = uuid.uuid4()
    content.staging().create(pack)
    content.staging().path(pack).write_bytes(other)
    content.reserve_pack(pack_id=pack, size=len(other))
    content.store_pack(pack)
    known = set(content.find_blobs([DIGEST])) if meets == "the blob" else set()
    if meets == "the pack":
        Pack.objects.filter(stored=False).update(created_at=timezone.now() - timedelta(hours=25))
    collect()
    lost = content.VanishedBlobError if meets == "the blob" else content.VanishedPackError
    with pytest.raises(lost), transaction.atomic():
        content.register_pack(pack_id=pack, slices=slices, known=known, team=team)
    assert not Blob.objects.exists()
    assert len(objects(store)) == (1 if meets == "the blob" else 0)
    collect(hours=30)
    assert objects(store) == {}


def test_two_compactions_of_one_pack_move_each_blob_once(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    """A worker that lost its lease copies on; what it copied is garbage, and the blobs stay where they are."""
    files = {"a": b"A" * 100, "b": b"B" * 900}
    dataset = make_dataset(make_team())
    both = make_available_version(dataset, files)
    kept = make_available_version(dataset, {"a": files["a"]})
    purge(both)
    collect()
    late = Sweep(now=timezone.now() + timedelta(hours=25))
    copy = compaction._copy  # noqa: SLF001

    def copy_and_compact(*arguments: Any) -> Any:  # noqa: ANN401
        found = list(copy(*arguments))
        monkeypatch.setattr(compaction, "_copy", copy)
        compaction.compact_packs(Sweep(now=late.now))
        return iter(found)

    collect_blobs(late)
    collect_trees(late)
    collect_blobs(late)
    monkeypatch.setattr(compaction, "_copy", copy_and_compact)
    compaction.compact_packs(late)
    assert Pack.objects.filter(blobs__isnull=False).count() == 1
    assert read_back(kept) == {"a": files["a"]}
    collect(hours=51)
    collect(hours=76)
    assert read_back(kept) == {"a": files["a"]}
    assert list(pack_objects(store).values()) == [100]


def test_two_collectors_at_once(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing depends on there being one: a worker may believe that it still has its lease."""
    kept = make_available_version(make_dataset(make_team()), {"kept": b"k", **folders(3)})
    for number in range(10):
        purge(make_available_version(make_dataset(make_team()), {"a": str(number).encode(), "f0/sub/file": b"0"}))
    collect()
    now = timezone.now() + timedelta(hours=25)
    gate = threading.Barrier(2)

    def work() -> None:
        sweep = Sweep(now=now)
        gate.wait(10)
        for _, step in STEPS:
            step(sweep)

    beside = Beside()
    for future in [beside.start(work), beside.start(work)]:
        future.result(60)
    collect(hours=26)
    assert read_back(kept) == {"kept": b"k", **folders(3)}
    assert len(objects(store)) == 2
    assert StagedFile.objects.count() == 0


@pytest.mark.parametrize("kind", ["blobs", "trees"])
def test_what_was_linked_after_the_scan_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The mark is old, as if a linker had not deleted it: the question under the lock is what counts."""
    team = make_team()
    purge(make_available_version(make_dataset(team), {"a": DATA}))
    collect()
    due_now()
    version = make_version(make_dataset(team))
    lock = lock_rows

    def link_and_lock(model: type[Model], ids: Sequence[int]) -> list[int]:
        if model is Blob:
            StagedFile.objects.create(version=version, path="a", size=len(DATA), blob_id=ids[0])
        else:
            Version.objects.filter(pk=version.pk).update(root=ids[0])
        return lock(model, ids)

    monkeypatch.setattr(f"datasets_app.services.garbage.{kind}.lock_rows", link_and_lock)
    collect()
    assert b"".join(content.read_blob(Blob.objects.get())) == DATA
    assert Directory.objects.exists() is (kind == "trees")


def test_what_somebody_looks_up_to_link_it_cannot_be_locked_for_removal() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    version = make_available_version(make_dataset(make_team()), {"a": DATA})
    assert version.root is not None
    blob = Blob.objects.get().pk
    reached, go_on = threading.Event(), threading.Event()

    def look_up() -> None:
        with transaction.atomic():
            assert content.find_blobs([DIGEST])
            trees.hold_tree(version.root_id or 0)
            reached.set()
            assert go_on.wait(20)

    looking = Beside().start(look_up)
    assert reached.wait(20)
    with transaction.atomic():
        assert lock_rows(Blob, [blob]) == []
        assert lock_rows(Directory, [version.root.pk]) == []
        assert content.find_blobs([DIGEST]), "those who link don't wait for each other"
    go_on.set()
    looking.result(20)
    with transaction.atomic():
        assert lock_rows(Blob, [blob]) == [blob]
