"""A collection: what nothing holds goes once its grace period is over, everything else stays."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.utils import timezone

from datasets_app import tasks
from datasets_app.errors import Conflict
from datasets_app.models import (
    Blob,
    CollectionRun,
    Directory,
    File,
    Pack,
    RememberedObject,
    RemovedObject,
    StagedFile,
    StorageSample,
    TeamBlob,
    UnreferencedBlob,
    UnreferencedDirectory,
    Upload,
    Version,
)
from datasets_app.services import content
from datasets_app.services.garbage import (
    collect_now,
    end_expired,
    leftovers,
    purge_dataset,
    purge_version,
    start_collection,
    wake_collections,
)
from datasets_app.services.garbage.sweep import Sweep
from datasets_app.services.moving import Move, move_paths
from datasets_app.services.plans import plan_files, remove_paths
from datasets_app.services.staged import DeclaredFile
from datasets_app.services.trash import delete_dataset, delete_version
from datasets_app.services.versions import abandon_version, create_version
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_version,
    stage_files,
)
from tests.garbage.conftest import collect, collect_all, later, objects, pack_objects, read_back
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]

FILES = {"readme.txt": b"hello\n", "data/one.bin": b"1" * 1000, "data/deep/two.bin": b"2" * 2000}
README = hashlib.sha256(FILES["readme.txt"]).digest()


def purge(version: Version) -> None:
    admin = make_member(version.dataset.team, "admin")
    delete_version(admin, version=version)
    purge_version(admin, version=version)


def test_it_works(store: Path) -> None:
    version = make_available_version(make_dataset(make_team()), FILES)
    assert len(objects(store)) == 2
    purge(version)
    assert not pack_objects(store) or collect().report.get("blob") is None, "the grace period has just begun"
    assert Blob.objects.count() == 3
    run = collect(hours=25)
    assert run.report["tree"]["count"] == 3
    assert run.report["blob"] == {"count": 3, "size": 3006}
    assert run.report["pack"] == {"count": 1, "size": 3006}
    assert objects(store) == {}
    assert not Blob.objects.exists()
    assert not Directory.objects.exists()
    assert not TeamBlob.objects.exists()
    assert not RemovedObject.objects.filter(removed_at=None).exists()
    kinds = set(RemovedObject.objects.values_list("kind", flat=True))
    assert kinds == {"version", "manifest", "tree", "blob", "pack"}


def test_what_a_version_holds_stays(store: Path) -> None:
    version = make_available_version(make_dataset(make_team()), FILES)
    before = objects(store)
    collect_all()
    assert objects(store) == before
    assert read_back(version) == FILES


def test_twice_changes_nothing(store: Path) -> None:
    kept = make_available_version(make_dataset(make_team()), FILES)
    purge(make_available_version(make_dataset(make_team()), {"other": b"bytes"}))
    collect_all()
    before, journal = objects(store), RemovedObject.objects.count()
    collect_all()
    assert (objects(store), RemovedObject.objects.count()) == (before, journal)
    assert read_back(kept) == FILES


def test_what_versions_share_stays(store: Path) -> None:
    """Equal files, equal folders and equal trees, in other datasets and teams."""
    team = make_team()
    gone = make_available_version(make_dataset(team), FILES)
    same_tree = make_available_version(make_dataset(make_team()), FILES)
    same_folder = make_available_version(make_dataset(team), {"x/" + path: data for path, data in FILES.items()})
    same_file = make_available_version(make_dataset(team), {"alone": FILES["data/one.bin"]})
    purge(gone)
    collect_all()
    assert read_back(same_tree) == FILES
    assert len(read_back(same_folder)) == 3
    purge(same_tree)
    purge(same_folder)
    collect_all()
    assert read_back(same_file) == {"alone": FILES["data/one.bin"]}
    assert {bytes(b.sha256) for b in Blob.objects.all()} == {bytes(File.objects.get().blob.sha256)}


def test_a_version_built_on_a_purged_one_stays_whole(store: Path) -> None:
    dataset = make_dataset(make_team())
    first = make_available_version(dataset, FILES)
    second = make_available_version(dataset, {"more": b"more"}, base=first.number)
    purge(first)
    collect_all()
    assert read_back(second) == {**FILES, "more": b"more"}
    second.refresh_from_db()
    assert second.base is None
    assert second.source["base"] == 1


def test_the_grace_period_counts_from_when_it_was_last_used(store: Path) -> None:
    """Not from when it was made, and not from when it was first found unused."""
    team = make_team()
    version = make_version(make_dataset(team))
    stage_files(version, FILES)
    Blob.objects.update(created_at=timezone.now() - timedelta(days=400))
    abandon_version(make_member(team), version=version)
    collect()
    assert UnreferencedBlob.objects.count() == 3
    collect(hours=23)
    assert Blob.objects.count() == 3
    # Declared again, by its digest alone, and dropped again: a new period begins.
    again = make_version(make_dataset(team))
    stage_files(again, {"again": FILES["readme.txt"]})
    assert UnreferencedBlob.objects.count() == 2
    abandon_version(make_member(team), version=again)
    collect(hours=25)
    assert [blob.size for blob in Blob.objects.all()] == [6]
    collect(hours=48)
    assert Blob.objects.count() == 1
    collect(hours=50)
    assert objects(store) == {}


def test_what_the_team_knows_and_remembers_does_not_keep_it() -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, FILES)
    from datasets_app.models import Connection

    connection = Connection.objects.create(team=version.dataset.team, name="far", provider="s3")
    blob = Blob.objects.all()[0]
    RememberedObject.objects.create(connection=connection, fingerprint=bytes(32), blob=blob)
    abandon_version(make_member(version.dataset.team), version=version)
    collect_all()
    assert not Blob.objects.exists()
    assert not RememberedObject.objects.exists()


def test_staged_files_hold_their_bytes(store: Path) -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, FILES)
    collect_all()
    assert StagedFile.objects.filter(blob=None).count() == 0
    assert len(pack_objects(store)) == 1


def test_what_came_twice_is_collected(store: Path) -> None:
    """Two uploads of the same bytes that met: the pack of the later one holds nothing."""
    version = make_version(make_dataset(make_team()))
    upload = uuid.uuid4()
    content.staging().create(upload)
    content.staging().path(upload).write_bytes(b"same")
    import hashlib

    piece = content.Slice(hashlib.sha256(b"same").digest(), 4, 0)
    assert content.store_upload(upload_id=upload, slices=[piece])
    stage_files(version, {"same": b"same"})
    Pack.objects.create(key=content.pack_key(upload), size=4, stored=True)
    assert len(pack_objects(store)) == 2
    collect()
    assert len(pack_objects(store)) == 1
    assert b"".join(content.read_blob(Blob.objects.get())) == b"same"


def test_the_journal_is_written_first_and_finished_later(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store fails, or the collector dies: the rows are gone, the object waits for the next run."""
    purge(make_available_version(make_dataset(make_team()), FILES))
    collect()

    def fail(_key: str) -> None:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr(content.pack_store(), "remove", fail)
        run = collect(hours=25)
    assert run.notes
    assert not Pack.objects.exists()
    assert len(pack_objects(store)) == 1
    assert RemovedObject.objects.get(removed_at=None).kind == "pack"
    collect(hours=26)
    assert objects(store) == {}
    assert not RemovedObject.objects.filter(removed_at=None).exists()


def test_a_pack_that_was_never_whole_goes_with_its_row(store: Path) -> None:
    pack = uuid.uuid4()
    content.staging().create(pack)
    content.staging().path(pack).write_bytes(b"imported")
    content.reserve_pack(pack_id=pack, size=8)
    content.store_pack(pack)
    collect(hours=23)
    assert len(pack_objects(store)) == 1
    collect(hours=25)
    assert objects(store) == {}
    assert not Pack.objects.exists()
    with pytest.raises(content.VanishedPackError):
        content.register_pack(pack_id=pack, slices=[content.Slice(bytes(32), 8, 0)], known=(), team=make_team())


def test_uploads_that_are_over_go_and_their_staging_files(store: Path, settings: LazySettings) -> None:
    sender = Sender.create()
    sender.send({"a": b"aaa"})
    sender.seal()
    sender.number = sender.post_new(base=1)
    started = sender.create_upload(length=10, path="never finished")
    sender.patch(started["Location"], 0, b"12345")
    stray = settings.STAGING_DIR / uuid.uuid4().hex
    stray.write_bytes(b"nobody's")
    strange = settings.STAGING_DIR / "notes.txt"
    strange.write_text("not ours")
    collect(hours=25)
    assert not stray.exists()
    assert strange.exists()
    assert {upload.status for upload in Upload.objects.all()} == {"receiving", "finished"}
    assert len(list(settings.STAGING_DIR.iterdir())) == 2
    Upload.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    collect(hours=25)
    collect(hours=25)
    assert not Upload.objects.exists()
    assert list(settings.STAGING_DIR.iterdir()) == [strange]


def test_a_staging_file_that_is_being_written_stays(settings: LazySettings) -> None:
    upload = uuid.uuid4()
    content.staging().create(upload)
    with content.staging().lock(upload):
        collect(hours=25)
        assert content.staging().path(upload).exists()
        assert not RemovedObject.objects.filter(kind="staging").exists(), "not said to be removed"
    collect(hours=25)
    assert not content.staging().path(upload).exists()
    assert RemovedObject.objects.get(kind="staging").key == upload.hex


def test_a_version_that_is_worked_on_without_an_upload_is_not_idle(store: Path) -> None:
    """Planned from bytes that are here, moved and removed: weeks after it was begun."""
    base = make_available_version(make_dataset(make_team()), FILES)
    writer = make_member(base.dataset.team)
    acts: list[Callable[[Version], object]] = [
        lambda version: plan_files(writer, version=version, files=[DeclaredFile("again", 6, README)]),
        lambda version: move_paths(writer, version=version, moves=[Move("readme.txt", "moved.txt")]),
        lambda version: remove_paths(writer, version=version, paths=["readme.txt"]),
    ]
    worked = [create_version(writer, dataset=base.dataset, base=1) for _ in acts]
    left = create_version(writer, dataset=base.dataset, base=1)
    Version.objects.filter(status="uploading").update(created_at=timezone.now() - timedelta(days=40))
    for version, act in zip(worked, acts, strict=True):
        act(version)
    collect()
    assert set(Version.objects.open()) == set(worked)
    assert RemovedObject.objects.get(kind="version").key.endswith(left.label)
    collect(days=31)
    assert not Version.objects.open().exists()


def test_work_on_a_version_is_noted_once_an_hour() -> None:
    version = make_version(make_dataset(make_team()))
    writer = make_member(version.dataset.team)
    plan_files(writer, version=version, files=[DeclaredFile("a", 1)])
    version.refresh_from_db()
    assert version.touched_at is None, "it is new"
    for minutes, is_noted in ((59, False), (61, True)):
        before = timezone.now() - timedelta(minutes=minutes)
        Version.objects.update(created_at=before - timedelta(days=3), touched_at=before)
        plan_files(writer, version=version, files=[DeclaredFile("a", 1)])
        version.refresh_from_db()
        assert (version.touched_at != before) is is_noted


def test_a_version_that_is_touched_at_the_last_moment_stays(store: Path) -> None:
    version = make_version(make_dataset(make_team()))
    Version.objects.update(created_at=timezone.now() - timedelta(days=40))
    plan_files(make_member(version.dataset.team), version=version, files=[DeclaredFile("a", 1)])
    sweep = Sweep()
    vars(leftovers)["_abandon"](sweep, version)
    assert Version.objects.filter(pk=version.pk).exists()
    assert not sweep.report()


def test_unfinished_uploads_are_in_the_journal_when_they_go(store: Path) -> None:
    """By their expiry, with an idle version and with a purge: each staging file with its size."""
    sender = Sender.create()
    expired, dataset = sender.number, sender.version.dataset
    idle, purged = make_version(dataset).number, make_version(dataset).number
    for number in (expired, idle, purged):
        sender.number = number
        started = sender.create_upload(length=10, path="never finished")
        sender.patch(started["Location"], 0, b"12345")
    ids = {upload.version.number: upload.pk.hex for upload in Upload.objects.select_related("version")}
    past = timezone.now() - timedelta(days=40)
    Upload.objects.filter(version__number=expired).update(expires_at=past)
    assert end_expired() == 1
    Upload.objects.filter(version__number=idle).update(expires_at=past, created_at=past, status="received")
    Upload.objects.filter(version__number=idle).update(status="failed")
    Version.objects.filter(number=idle).update(created_at=past)
    collect()
    delete_dataset(make_member(dataset.team), team=dataset.team.name, name=dataset.name)
    dataset.refresh_from_db()
    purge_dataset(make_member(dataset.team, "admin"), dataset=dataset)
    rows = RemovedObject.objects.filter(kind="staging").order_by("pk")
    assert [(row.key, row.size, row.reason) for row in rows] == [
        (ids[expired], 5, "its upload expired"),
        (ids[idle], 5, "its version was abandoned"),
        (ids[purged], 5, "purged by hand"),
    ]


def test_an_object_of_an_upload_that_was_ended_is_left_to_the_collector(store: Path) -> None:
    """Stored, then its worker died and its owner gave up: nobody but the collector removes from the store."""
    sender = Sender.create()
    sender.create_upload(length=5, path="a")
    upload = Upload.objects.get()
    content.staging().path(upload.pk).write_bytes(b"12345")
    content.store_upload(upload_id=upload.pk, slices=[], always=True)
    abandon_version(make_member(sender.version.dataset.team), version=sender.version)
    assert len(pack_objects(store)) == 1
    collect(hours=25)
    assert pack_objects(store) == {}
    assert RemovedObject.objects.get(kind="unknown").removed_at


def test_an_unsealed_version_that_nobody_touches_is_abandoned(store: Path, settings: LazySettings) -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, FILES)
    busy = Sender.create()
    busy.create_upload(length=10, path="large")
    collect(days=29)
    assert Version.objects.count() == 2
    Version.objects.update(created_at=timezone.now() - timedelta(days=31))
    collect()
    assert list(Version.objects.all()) == [busy.version]
    collect_all()
    assert objects(store) == {}


def test_uploads_are_never_abandoned_when_the_setting_says_so(settings: LazySettings) -> None:
    settings.UNSEALED_DAYS = 0
    version = make_version(make_dataset(make_team()))
    collect(days=3000)
    assert Version.objects.filter(pk=version.pk).exists()


def test_a_dry_run_counts_and_removes_nothing(store: Path) -> None:
    kept = make_available_version(make_dataset(make_team()), {"kept": b"kept", **FILES})
    dataset = make_dataset(make_team())
    purge(make_available_version(dataset, {"gone": b"gone" * 100, "readme.txt": b"hello\n"}))
    first = collect_now(is_dry_run=True)
    assert first.report["waiting"] == {"count": 1, "size": 400}
    assert "blob" not in first.report
    then = collect_now(is_dry_run=True, now=later(hours=25))
    assert then.report["blob"] == {"count": 1, "size": 400}
    assert "waiting" not in then.report
    trashed = make_available_version(dataset, {"trashed": b"t"})
    delete_version(make_member(dataset.team), version=trashed)
    assert collect_now(is_dry_run=True, now=later(days=15)).report["version"]["count"] == 1
    assert (Blob.objects.count(), len(pack_objects(store))) == (6, 3)
    assert read_back(kept)
    assert collect(hours=25).report["blob"] == then.report["blob"]


def test_a_dry_run_tells_what_the_run_then_does(store: Path, settings: LazySettings) -> None:
    """Every kind that is removed, with the same counts and bytes."""
    make_available_version(make_dataset(make_team()), {"kept": b"kept", **FILES})
    purge(make_available_version(make_dataset(make_team()), {"d/gone": b"gone" * 100, "e": b"e" * 50}))
    collect()
    past = timezone.now() - timedelta(days=40)
    sender = Sender.create()
    sender.patch(sender.create_upload(length=10, path="expired")["Location"], 0, b"12345")
    Upload.objects.update(expires_at=past, created_at=past)
    idle = make_version(make_dataset(make_team()))
    Version.objects.filter(pk=idle.pk).update(created_at=past)
    trashed = make_available_version(make_dataset(make_team()), {"trashed": b"t"})
    delete_version(make_member(trashed.dataset.team), version=trashed)
    Version.objects.filter(pk=trashed.pk).update(deleted_at=past)
    (settings.STAGING_DIR / uuid.uuid4().hex).write_bytes(b"nobody's")
    Pack.objects.create(key=content.pack_key(uuid.uuid4()), size=9, created_at=past)
    for name in ("ab/.new-half", content.pack_key(uuid.uuid4())):
        (store / name).parent.mkdir(exist_ok=True)
        (store / name).write_bytes(b"half")
    told = collect_now(is_dry_run=True, now=later(hours=25)).report
    assert Upload.objects.get().status == "receiving"
    done = collect(hours=25).report
    kinds = ("version", "upload", "staging", "tree", "blob", "pack", "partial", "unknown")
    assert told.keys() == set(kinds)
    for kind in kinds:
        assert told[kind]["count"] == done[kind]["count"], kind
        if kind != "version":
            assert told[kind]["size"] == done[kind]["size"], kind
    assert done["version"]["count"] == 2


def test_trees_in_the_trash_wait_for_their_time(store: Path) -> None:
    version = make_available_version(make_dataset(make_team()), FILES)
    delete_version(make_member(version.dataset.team), version=version)
    collect(days=13)
    assert Version.objects.count() == 1
    collect(days=15)
    assert not Version.objects.exists()
    assert Blob.objects.count() == 3
    collect(days=17)
    assert objects(store) == {}


def test_only_one_collection_at_a_time() -> None:
    run = start_collection(None)
    with pytest.raises(Conflict):
        start_collection(None)
    assert collect_now(is_dry_run=True).status == "finished"
    CollectionRun.objects.filter(pk=run.pk).update(status="failed")
    assert collect_now().status == "finished"


def test_collecting_here_first_ends_what_lost_its_worker() -> None:
    """With the application stopped, nobody else would, and the command would be refused for ever."""
    run = start_collection(None)
    CollectionRun.objects.filter(pk=run.pk).update(
        status="running", lease_token=uuid.uuid4(), lease_until=timezone.now() + timedelta(seconds=60)
    )
    with pytest.raises(Conflict):
        collect_now()
    CollectionRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert collect_now().status == "finished"
    run.refresh_from_db()
    assert run.status == "finished"


def test_a_tree_that_others_still_held_has_its_whole_grace_period(store: Path) -> None:
    """Its first purge marked it, and no collection has looked since; the grace period begins with the second purge."""
    dataset = make_dataset(make_team())
    first, second = make_available_version(dataset, {"a": b"a"}), make_available_version(dataset, {"a": b"a"})
    purge(first)
    UnreferencedDirectory.objects.update(since=timezone.now() - timedelta(hours=25))
    purge(second)
    collect()
    assert len(pack_objects(store)) == 1
    collect(hours=25)
    assert pack_objects(store) == {}


def test_the_clock_starts_what_is_due(settings: LazySettings) -> None:
    wake_collections()
    run = CollectionRun.objects.get()
    wake_collections()
    assert CollectionRun.objects.get() == run
    CollectionRun.objects.update(status="finished", created_at=timezone.now() - timedelta(hours=2))
    wake_collections()
    assert CollectionRun.objects.count() == 2


def test_the_clock_starts_none_when_the_setting_says_so(settings: LazySettings) -> None:
    settings.COLLECT_HOURS = 0
    tasks.maintain()
    assert not CollectionRun.objects.exists()
    collect()
    CollectionRun.objects.update(created_at=timezone.now() - timedelta(days=300))
    tasks.maintain()
    assert CollectionRun.objects.count() == 1


def test_the_clock_does_not_tick_faster_for_it() -> None:
    """Read by a process of its own: the schedule is made when the settings are."""
    code = "from flexai_site import settings; print(settings.CELERY_BEAT_SCHEDULE['maintain']['schedule'])"
    environment = {**os.environ, "COLLECT_HOURS": "0"}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "60"


def test_a_worker_that_died_is_followed_by_another() -> None:
    from datasets_app import tasks

    run = start_collection(None)
    CollectionRun.objects.filter(pk=run.pk).update(
        status="running", lease_token=uuid.uuid4(), lease_until=timezone.now() + timedelta(seconds=60)
    )
    tasks.collect_garbage(run_id=run.pk)
    run.refresh_from_db()
    assert run.status == "running", "a living worker's lease was not kept"
    CollectionRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.collect_garbage(run_id=run.pk)
    run.refresh_from_db()
    assert run.status == "finished"
    assert StorageSample.objects.count() == 1


def test_a_step_that_fails_does_not_keep_the_others_from_their_work(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets_app.services.garbage import runs

    def fail(_sweep: object) -> None:
        raise ZeroDivisionError

    purge(make_available_version(make_dataset(make_team()), FILES))
    collect()
    monkeypatch.setattr(runs, "STEPS", (("failing", fail), *runs.STEPS))
    run = collect_now(now=later(hours=25))
    assert (run.status, run.error) == ("failed", "failing: ZeroDivisionError")
    assert objects(store) == {}


def test_the_command_tells_what_it_did(settings: LazySettings) -> None:
    settings.GRACE_HOURS = 0
    purge(make_available_version(make_dataset(make_team()), FILES))
    printed = io.StringIO()
    call_command("collect", "--dry-run", stdout=printed)
    assert "Would be removed" in printed.getvalue()
    assert Blob.objects.exists()
    call_command("collect", stdout=printed)
    assert "3.01 kB  blobs" in printed.getvalue()
    assert not Blob.objects.exists()


def test_samples_tell_how_much_is_unused(store: Path) -> None:
    make_available_version(make_dataset(make_team()), FILES)
    purge(make_available_version(make_dataset(make_team()), {"gone": b"x" * 500}))
    collect()
    sample = StorageSample.objects.get()
    assert (sample.pack_size, sample.blob_size, sample.logical_size) == (3506, 3506, 3006)
    assert (sample.unused_size, sample.blob_count, sample.pack_count) == (500, 4, 2)


def test_old_files_of_the_store_are_told_by_their_age(store: Path) -> None:
    """Half-written files and probes: by modification time."""
    make_available_version(make_dataset(make_team()), FILES)
    old, fresh, probe = store / "ab/.new-old", store / ".new-fresh", store / "probe" / ("0" * 32)
    for path in (old, fresh, probe):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"half")
    for path in (old, probe):
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    collect()
    assert (old.exists(), fresh.exists(), probe.exists()) == (False, True, False)
