"""Verification finds what is damaged, names the versions and paths, and doesn't cry wolf."""

from __future__ import annotations

import hashlib
import io
import logging
import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from datasets_app import tasks
from datasets_app.errors import Conflict, Forbidden, NotFound, Unavailable
from datasets_app.models import Blob, Damage, DamagedPath, Directory, Pack, StagedFile, Verification, Version
from datasets_app.services import content, damage_places, integrity, manifests, verifying
from datasets_app.services.garbage.sweep import open_door
from datasets_app.services.integrity import describe_integrity, run_verification, verify_dataset, verify_everything
from datasets_app.services.moving import Move, move_paths
from datasets_app.services.versions import create_version, run_seal, seal_version
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
    stage_files,
)
from tests.garbage.conftest import collect, objects, read_back
from tests.integrity.conftest import flip, pack_of, unguarded
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]

FILES = {"readme.txt": b"hello\n", "data/one.bin": b"1" * 1000, "data/deep/two.bin": b"2" * 2000, "empty": b""}
ONE = hashlib.sha256(FILES["data/one.bin"]).digest()
TWO = hashlib.sha256(FILES["data/deep/two.bin"]).digest()


def verify() -> Verification:
    """Verify everything, to the end."""
    run = verify_everything(None)
    while run.is_active:
        run_verification(run.pk, rate=0)
        run.refresh_from_db()
    assert run.status == "finished", run.error
    return run


def paths() -> set[tuple[str, str]]:
    """Versions and paths that are damaged now."""
    rows = DamagedPath.objects.filter(damage__in=Damage.objects.open()).select_related("version__dataset")
    return {(row.version.label, row.path) for row in rows}


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team("lab"), "images"), FILES)


def test_it_works(version: Version) -> None:
    run = verify()
    assert (run.blob_count, run.pack_count, run.directory_count, run.read_size) == (4, 1, 3, 3006)
    assert (run.damaged_count, run.healed_count) == (0, 0)
    facts = describe_integrity(version.dataset)
    assert facts.verified_at == run.finished_at
    assert not facts.is_damaged


def test_one_changed_bit_is_found(version: Version, store: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = make_available_version(make_dataset(version.dataset.team, "others"), {"a/b": FILES["data/one.bin"]})
    flip(store, ONE, at=999)
    with caplog.at_level(logging.ERROR):
        run = verify()
    assert run.damaged_count == 1
    damage = Damage.objects.get()
    assert (damage.cause, damage.blob and bytes(damage.blob.sha256), damage.run) == ("changed", ONE, run)
    assert paths() == {("images@1", "data/one.bin"), ("others@1", "a/b")}
    assert "lab/images@1: data/one.bin" in caplog.text
    facts = describe_integrity(other.dataset)
    assert facts.is_damaged
    assert [row.path for row in facts.paths] == ["a/b"]
    assert verify().damaged_count == 1
    assert Damage.objects.count() == 1, "found twice, noted once"


def test_a_pack_that_is_gone_and_one_that_is_cut_off(version: Version, store: Path) -> None:
    path, offset, _ = pack_of(store, ONE)
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.truncate(offset + 500)
    assert verify().damaged_count == len(paths())
    assert ("images@1", "data/one.bin") in paths()
    assert ("images@1", "empty") not in paths(), "no byte of it is missing"
    assert set(Damage.objects.values_list("cause", flat=True)) == {"missing"}
    path.unlink()
    assert verify().damaged_count == 3
    assert paths() == {("images@1", path) for path in FILES if path != "empty"}


def test_what_comes_back_is_whole_again(version: Version, store: Path) -> None:
    path, *_ = pack_of(store, ONE)
    hidden = path.with_name("hidden")
    path.rename(hidden)
    verify()
    assert len(paths()) == 3
    hidden.rename(path)
    assert verify().healed_count == 3
    assert paths() == set()
    assert not describe_integrity(version.dataset).is_damaged


def test_lost_bytes_are_healed_by_uploading_them_again(store: Path) -> None:
    sender = Sender.create()
    sender.send(FILES)
    sender.seal()
    first = sender.version
    pack_of(store, ONE)[0].unlink()
    verify()
    sender.number = sender.post_new(base=1)
    needed = {path for path, item in sender.plan(FILES).items() if item["state"] == "needed"}
    assert needed == {"readme.txt", "data/one.bin", "data/deep/two.bin"}, "not answered from what is lost"
    assert sender.bundle({path: FILES[path] for path in sorted(needed)}).status_code == 204
    sender.seal()
    assert read_back(first) == FILES
    assert paths() == set()
    assert verify().damaged_count == 0
    collect()
    assert Damage.objects.filter(is_listed=True).count() == 3
    assert any(key.startswith("slices/") for key in objects(store)), "a rebuild must find them"


def test_lost_bytes_are_healed_by_an_import(version: Version, store: Path) -> None:
    """By the way that imports take into the store."""
    flip(store, ONE)
    verify()
    assert content.find_readable([(ONE, 1000)], team=version.dataset.team) == {}
    pack = uuid.uuid4()
    content.staging().create(pack)
    content.staging().path(pack).write_bytes(b"..." + FILES["data/one.bin"])
    content.reserve_pack(pack_id=pack, size=1003)
    content.store_pack(pack)
    with transaction.atomic():
        content.register_pack(pack_id=pack, slices=[content.Slice(ONE, 1000, 3)], known=(), team=version.dataset.team)
    assert read_back(version) == FILES


def test_versions_sealed_later_share_the_damage(version: Version, store: Path) -> None:
    flip(store, ONE)
    verify()
    based = make_available_version(version.dataset, {"new.txt": b"new"}, base=1)
    writer = make_member(version.dataset.team, "writer")
    moved = create_version(writer, dataset=version.dataset, base=1)
    move_paths(writer, version=moved, moves=[Move("data/", "kept/")])
    seal_version(writer, version=moved)
    run_seal(moved.pk)
    marked = {("images@1", "data/one.bin"), ("images@2", "data/one.bin"), ("images@3", "kept/one.bin")}
    assert paths() == marked
    assert describe_integrity(based.dataset, version=based).is_damaged
    # As a release that didn't mark them has left it: the next verification does.
    DamagedPath.objects.exclude(version=version).delete()
    assert verify().damaged_count == 1
    assert paths() == marked
    assert Damage.objects.count() == 1
    assert DamagedPath.objects.count() == 3


def test_rows_of_a_damaged_directory_that_later_versions_share(version: Version) -> None:
    with unguarded("datasets_app_file") as cursor:
        cursor.execute("UPDATE datasets_app_file SET name = 'uno.bin' WHERE name = 'one.bin'")
    verify()
    make_available_version(version.dataset, {"new.txt": b"new"}, base=1)
    assert paths() == {("images@1", "data"), ("images@2", "data")}


def test_a_blob_at_more_places_than_are_listed_marks_every_version(
    version: Version, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(damage_places, "MOST_PATHS", 3)
    copies = {f"copies/{number}/{number}.bin": FILES["data/one.bin"] for number in range(5)}
    for number in range(3):
        make_available_version(version.dataset, {**copies, "n": bytes([number])})
    flip(store, ONE)
    verify()
    assert {label for label, _ in paths()} == {"images@1", "images@2", "images@3", "images@4"}
    late = make_available_version(version.dataset, {"late": b"late"}, base=2)
    assert ("images@5", "copies/0/0.bin") in paths()
    assert DamagedPath.objects.filter(version=late).count() == 3


def test_an_open_version_lets_go_of_what_is_lost(version: Version, store: Path) -> None:
    later = make_version(version.dataset)
    stage_files(later, {"again": FILES["data/one.bin"], "fine": b"fine"})
    flip(store, ONE)
    verify()
    assert {row.path: row.state for row in later.staged.all()} == {"again": "failed", "fine": "stored"}


def test_readers_notice_what_is_missing(version: Version, store: Path) -> None:
    blob = Blob.objects.select_related("pack").get(sha256=ONE)
    path, *_ = pack_of(store, ONE)
    hidden = path.with_name("hidden")
    path.rename(hidden)
    with pytest.raises(Unavailable):
        b"".join(content.read_blob(blob))
    assert Damage.objects.count() == 1
    assert content.find_readable([(ONE, 1000)], team=version.dataset.team) == {}
    tasks.maintain()
    assert paths() == {("images@1", "data/one.bin")}
    hidden.rename(path)
    assert b"".join(content.read_blob(blob))


def test_a_false_alarm_of_a_reader_is_forgotten(version: Version, store: Path) -> None:
    """The disk was away for a moment."""
    blob = Blob.objects.select_related("pack").get(sha256=ONE)
    path, *_ = pack_of(store, ONE)
    hidden = path.with_name("hidden")
    path.rename(hidden)
    with pytest.raises(Unavailable):
        b"".join(content.read_blob(blob))
    hidden.rename(path)
    integrity.follow_up()
    assert not Damage.objects.exists()


def test_a_store_that_does_not_answer_is_no_damage(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_named: object) -> None:
        raise Unavailable("The object store did not answer, or broke off.")

    run = verify_everything(None)
    with monkeypatch.context() as away:
        away.setattr(content.pack_store(), "read", fail)
        run_verification(run.pk, rate=0)
    run.refresh_from_db()
    assert (run.status, run.error) == ("running", "The object store did not answer, or broke off.")
    assert not Damage.objects.exists()
    run_verification(run.pk, rate=0)
    run.refresh_from_db()
    assert (run.status, run.blob_count, run.error) == ("finished", 4, "")


def test_rows_of_a_tree_that_were_changed_past_the_guards(version: Version) -> None:
    directory = Directory.objects.get(file_count=2)
    with unguarded("datasets_app_file") as cursor:
        cursor.execute("UPDATE datasets_app_file SET name = 'uno.bin' WHERE name = 'one.bin'")
    assert verify().damaged_count == 1
    damage = Damage.objects.get()
    assert (damage.cause, damage.directory) == ("tree", directory)
    assert paths() == {("images@1", "data")}


def test_a_lost_manifest_is_written_again(version: Version, store: Path) -> None:
    path = store / version.manifest_key
    whole = path.read_bytes()
    path.unlink()
    assert verify().healed_count == 1
    assert path.read_bytes() == whole
    path.chmod(0o644)
    path.write_bytes(whole[:-20])
    assert verify().healed_count == 1
    assert path.read_bytes() == whole
    assert verify().healed_count == 0


def test_a_crash_while_a_manifest_is_written_again_leaves_one(
    version: Version, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store / version.manifest_key
    whole = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(whole[:-20])
    put = content.pack_store().put_bytes

    def die(key: str, blocks: Iterable[bytes]) -> None:
        if key == version.manifest_key:
            raise KeyboardInterrupt
        put(key, blocks)

    with monkeypatch.context() as dying:
        dying.setattr(content.pack_store(), "put_bytes", die)
        with pytest.raises(KeyboardInterrupt):
            manifests.restore_manifest(version, progress=lambda _rows: None)
    assert [found.read_bytes() for found in (store / "manifests").rglob("*.zst")] == [whole]
    assert verify().healed_count == 1
    assert path.read_bytes() == whole
    collect(hours=25)
    assert list((store / "manifests").rglob("*.zst")) == [path]


def test_one_dataset(version: Version, store: Path) -> None:
    team = version.dataset.team
    other = make_available_version(make_dataset(team, "others"), {"a": b"a" * 500})
    flip(store, hashlib.sha256(b"a" * 500).digest())
    writer = make_member(team, "writer")
    run = verify_dataset(writer, dataset=version.dataset)
    with pytest.raises(Conflict):
        verify_dataset(writer, dataset=version.dataset)
    assert describe_integrity(version.dataset).running == run
    run_verification(run.pk, rate=0)
    run.refresh_from_db()
    assert (run.status, run.damaged_count, run.read_size, run.total_size) == ("finished", 0, 3006, 3006)
    assert describe_integrity(version.dataset).verified_at == run.finished_at
    assert describe_integrity(other.dataset).verified_at is None
    run = verify_dataset(writer, dataset=other.dataset)
    run_verification(run.pk, rate=0)
    assert paths() == {("others@1", "a")}


def test_strangers_and_readers_may_not_start_one(version: Version) -> None:
    with pytest.raises(NotFound):
        verify_dataset(make_user(), dataset=version.dataset)
    with pytest.raises(Forbidden):
        verify_dataset(make_member(version.dataset.team, "reader"), dataset=version.dataset)


def test_a_newer_version_is_not_verified_by_an_older_run(version: Version) -> None:
    verify()
    make_available_version(version.dataset, {"new": b"new"})
    assert describe_integrity(version.dataset).verified_at is None


def test_it_goes_on_where_a_worker_died_or_its_time_was_over(version: Version) -> None:
    for number in range(5):
        make_available_version(version.dataset, {"x": bytes([number]) * 10})
    run = verify_everything(None)
    rounds = 0
    while run.is_active:
        run_verification(run.pk, seconds=-1, rate=0)
        run.refresh_from_db()
        rounds += 1
    assert rounds >= Pack.objects.count() + Directory.objects.count()
    assert (run.blob_count, run.directory_count) == (Blob.objects.count(), Directory.objects.count())
    run = verify_everything(None)
    Verification.objects.filter(pk=run.pk).update(
        lease_token=uuid.uuid4(), lease_until=timezone.now() + timedelta(seconds=60)
    )
    tasks.verify(run_id=run.pk)
    run.refresh_from_db()
    assert run.blob_count == 0, "a living worker's lease was not kept"
    Verification.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    tasks.verify(run_id=run.pk)
    run.refresh_from_db()
    assert run.status == "finished"


def test_it_reads_no_faster_than_allowed(version: Version, settings: LazySettings) -> None:
    settings.VERIFY_BYTES_PER_SECOND = 6000
    run = verify_everything(None)
    begun = timezone.now()
    run_verification(run.pk)
    assert timezone.now() - begun > timedelta(seconds=0.4)


def test_the_clock_starts_one(version: Version, settings: LazySettings) -> None:
    integrity.wake_verifications()
    assert not Verification.objects.exists(), "all that there is has just come in"
    settings.VERIFY_DAYS = 1e-9
    integrity.wake_verifications()
    run = Verification.objects.get()
    Verification.objects.update(status="finished")
    settings.VERIFY_DAYS = 0
    integrity.wake_verifications()
    assert Verification.objects.get() == run


def test_compaction_meanwhile_is_no_damage(version: Version, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pack is read; before its blobs are compared they move, and it is removed."""
    blobs = list(Blob.objects.select_related("pack").exclude(size=0))
    pack = Pack.objects.get()
    moved = Pack.objects.create(key=content.pack_key(uuid.uuid4()), size=pack.size, stored=True)
    (store / moved.key).parent.mkdir(parents=True)
    (store / pack.key).rename(store / moved.key)
    read = content.read_pack

    def read_and_move(**named: object) -> object:
        with transaction.atomic(), open_door("compaction"):
            Blob.objects.update(pack=moved)
        monkeypatch.setattr(content, "read_pack", read)
        return read(**named)  # type: ignore[arg-type]

    monkeypatch.setattr(content, "read_pack", read_and_move)
    verdicts = list(verifying.check_pack(pack, tick=lambda _size: None))
    assert {verdict.blob for verdict in verdicts} >= set(blobs)
    assert {verdict.cause for verdict in verdicts} == {None}


def test_the_command(version: Version, store: Path) -> None:
    printed = io.StringIO()
    call_command("verify", stdout=printed, stderr=io.StringIO())
    assert "Everything is what its digest says." in printed.getvalue()
    call_command("verify", dataset="lab/images", stdout=printed, stderr=io.StringIO())
    flip(store, TWO)
    with pytest.raises(CommandError, match="1 are damaged"):
        call_command("verify", dataset="lab/images", stdout=printed, stderr=io.StringIO())
    assert "lab/images@1: data/deep/two.bin" in printed.getvalue()
    with pytest.raises(CommandError, match="no dataset"):
        call_command("verify", dataset="lab/none", stdout=printed)
    assert StagedFile.objects.count() == 0
