"""The database is gone; the store alone gives every dataset back."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.utils import timezone

from datasets_app.models import AuditEvent, Damage, DamagedPath, Dataset, Membership, RemovedObject, Team, User, Version
from datasets_app.services.garbage import purge_version
from datasets_app.services.rebuilding import rebuild
from datasets_app.services.trash import delete_version
from datasets_app.services.walking import walk_files
from tests.conftest import empty_guarded_tables
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, stage_files
from tests.garbage.conftest import collect, collect_all, objects, pack_objects, read_back
from tests.integrity.test_verify import verify
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]

Snapshot = dict[str, tuple[object, ...]]


def lose_the_database() -> None:
    empty_guarded_tables()
    for model in (AuditEvent, RemovedObject, Dataset, Membership, Team, User):
        model.objects.all().delete()


def snapshot() -> Snapshot:
    """All that a rebuild must give back."""
    found: Snapshot = {}
    for version in Version.objects.filter(status="available").select_related("dataset__team", "root", "base"):
        assert version.root is not None
        files = {file.path: file.sha256 for file in walk_files(version.root)}
        facts = (version.digest, version.file_count, version.size, version.message, version.source, version.created_at)
        base = version.base.number if version.base else None
        found[f"{version.dataset.team}/{version.label}"] = (*facts, base, version.manifest_key, files)
    return found


def make_some(store: Path) -> None:
    images = make_dataset(make_team("lab"), "images", description="Pictures")
    first = make_available_version(images, {"a": b"a", "ü/deep/b": b"b" * 500, "empty": b""})
    make_available_version(images, {"c": b"c" * 300}, base=first.number)
    gone = make_available_version(images, {"gone": b"g" * 5000, "kept": b"k" * 10})
    make_available_version(images, {"kept": b"k" * 10})
    admin = make_member(images.team, "admin")
    delete_version(admin, version=gone)
    purge_version(admin, version=gone)
    make_available_version(make_dataset(make_team("other"), "images"), {"same": b"b" * 500})
    Version.objects.filter(number=2).update(message="second")
    collect()


def test_it_works(store: Path) -> None:
    make_some(store)
    before = snapshot()
    lose_the_database()
    done = rebuild()
    assert sorted(done.versions) == sorted(before)
    assert (done.kept, done.damaged, done.problems) == (0, 0, [])
    assert {label: facts[:3] + facts[4:] for label, facts in snapshot().items()} == {
        label: facts[:3] + facts[4:] for label, facts in before.items()
    }
    dataset = Dataset.objects.get(team__name="lab")
    assert (dataset.description, dataset.last_number) == ("Pictures", 4)
    for version in Version.objects.all():
        read_back(version)
    assert verify().damaged_count == 0
    collect_all()
    assert verify().damaged_count == 0
    assert len(snapshot()) == 4


def test_twice_changes_nothing(store: Path) -> None:
    make_some(store)
    lose_the_database()
    rebuild()
    before = snapshot()
    done = rebuild()
    assert (done.versions, done.kept) == ([], 4)
    assert snapshot() == before


def test_a_version_that_was_open_in_the_backup_comes_back_sealed(store: Path) -> None:
    """Its manifest and packs are newer than the database: they are no garbage, and it is what was sealed."""
    files = {"a": b"sealed after the backup", "b/c": b"c"}
    make_available_version(make_dataset(make_team("lab"), "images"), files)
    before = snapshot()
    lose_the_database()
    version = make_version(make_dataset(make_team("lab"), "images"))
    Version.objects.update(created_at=timezone.now() - timedelta(hours=1))
    stage_files(version, {"a": b"not yet all of it"})
    assert "no unknown object was removed" in collect(hours=100).notes[0]
    done = rebuild()
    assert (done.versions, done.kept, done.problems) == (["lab/images@1"], 0, [])
    assert read_back(Version.objects.get()) == files
    assert snapshot()["lab/images@1"][0] == before["lab/images@1"][0]
    assert not Version.objects.get().staged.exists()
    assert rebuild().kept == 1
    collect_all()
    assert verify().damaged_count == 0


def test_a_seal_that_failed_brings_back_nothing(store: Path) -> None:
    """It left a manifest behind, and the version is still open: that is for its people to seal."""
    version = make_available_version(make_dataset(make_team("lab"), "images"), {"a": b"a"})
    lose_the_database()
    version = make_version(make_dataset(make_team("lab"), "images"))
    Version.objects.update(created_at=timezone.now() - timedelta(hours=1), attempts=1)
    stage_files(version, {"b": b"b"})
    done = rebuild()
    assert (done.versions, done.kept) == ([], 1)
    assert collect(hours=100).notes == []
    assert Version.objects.get().status == "uploading"


def test_what_compaction_moved_is_found(store: Path) -> None:
    """Manifests of sealed versions name packs that are gone."""
    make_some(store)
    before = snapshot()
    old = set(pack_objects(store))
    assert collect(hours=25).report["compacted"]["count"] == 1
    collect(hours=51)
    assert len(old - set(pack_objects(store))) == 1
    lose_the_database()
    assert rebuild().damaged == 0
    assert {label: facts[0] for label, facts in snapshot().items()} == {k: v[0] for k, v in before.items()}
    for version in Version.objects.all():
        read_back(version)


def test_what_was_healed_is_found(store: Path) -> None:
    """The first manifest names a pack that was lost, and the upload that brought its bytes was abandoned."""
    sender = Sender.create()
    sender.send({"a": b"bytes"})
    sender.seal()
    for key in pack_objects(store):
        (store / key).unlink()
    verify()
    sender.number = sender.post_new(base=1)
    sender.send({"again": b"bytes"})
    assert sender.post("abandon").status_code == 204
    collect()
    lose_the_database()
    done = rebuild()
    assert (done.damaged, done.problems) == (0, [])
    assert read_back(Version.objects.get()) == {"a": b"bytes"}


def test_bytes_that_are_not_in_the_store_are_named(store: Path) -> None:
    version = make_available_version(make_dataset(make_team("lab"), "images"), {"a": b"a" * 10, "b": b"b"})
    other = make_available_version(version.dataset, {"c": b"c"})
    (store / _pack_of(version)).unlink()
    lose_the_database()
    done = rebuild()
    assert (len(done.versions), done.damaged, done.problems) == (2, 2, [])
    assert {row.path for row in DamagedPath.objects.all()} == {"a", "b"}
    assert read_back(Version.objects.get(number=other.number)) == {"c": b"c"}
    # Whoever has them heals the old version.
    make_available_version(Dataset.objects.get(), {"x/a": b"a" * 10, "x/b": b"b"})
    assert not Damage.objects.open().exists()
    assert read_back(Version.objects.get(number=1)) == {"a": b"a" * 10, "b": b"b"}


def test_a_damaged_manifest_is_named_and_the_others_come_back(store: Path) -> None:
    make_some(store)
    damaged = store / Version.objects.get(dataset__team__name="other").manifest_key
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-10])
    lose_the_database()
    printed = io.StringIO()
    with pytest.raises(CommandError, match="1 manifests"):
        call_command("rebuild", stdout=printed, stderr=printed)
    assert "Brought back 3 versions" in printed.getvalue()
    assert Version.objects.count() == 3


def test_an_old_backup_of_the_database_gets_its_later_versions(store: Path, settings: LazySettings) -> None:
    """And nothing of theirs is collected before."""
    make_some(store)
    before = snapshot()
    lose_the_database()
    make_available_version(make_dataset(make_team("lab"), "older"), {"o": b"o"})
    run = collect(hours=1000)
    assert "rebuild" in run.notes[0]
    done = rebuild()
    assert (len(done.versions), done.problems) == (4, [])
    assert collect(hours=1000).notes == []
    assert snapshot().keys() == {*before, "lab/older@1"}
    for version in Version.objects.all():
        read_back(version)
    assert len(objects(store)) >= 10


def _pack_of(version: Version) -> str:
    assert version.root is not None
    return next(walk_files(version.root)).pack_key
