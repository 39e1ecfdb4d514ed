"""Objects of the store that no row knows: leftovers go, what may be somebody's stays."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from pathlib import Path

import pytest
from django.db import connection

from datasets_app.models import CollectionRun, RemovedObject, Version
from datasets_app.services import content, manifests
from datasets_app.services.garbage import collect_now
from tests.conftest import empty_guarded_tables
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version, stage_files
from tests.garbage.conftest import collect, later, objects, read_back
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]


def put(store: Path, key: str, data: bytes = b"bytes", *, hours: float = 0) -> Path:
    """Put an object into the store past the database, as old as said."""
    path = store / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - hours * 3600,) * 2)
    return path


def test_it_works(store: Path) -> None:
    version = make_available_version(make_dataset(make_team()), {"a": b"a"})
    old = put(store, content.pack_key(uuid.uuid4()), hours=25)
    fresh = put(store, content.pack_key(uuid.uuid4()))
    listed = put(store, f"slices/{content.pack_key(uuid.uuid4())}.ndjson.zst", hours=25)
    of_an_earlier_release = put(store, "ab/cd/" + "0" * 32, hours=25)
    run = collect()
    assert run.report["unknown"]["count"] == 3
    assert (old.exists(), fresh.exists(), listed.exists()) == (False, True, False)
    assert not of_an_earlier_release.exists()
    assert set(RemovedObject.objects.values_list("kind", "reason")) == {("unknown", "no row of the database knows it")}
    assert read_back(version) == {"a": b"a"}
    collect(hours=25)
    assert not fresh.exists()


def test_what_does_not_look_like_ours_stays(store: Path) -> None:
    keys = ("README", "ab/cd/short", "ab/cd/" + "g" * 32, "elsewhere/ab/cd/" + "0" * 32, "manifests/notes.txt")
    paths = [put(store, key, hours=1000) for key in keys]
    collect()
    assert [path for path in paths if not path.exists()] == []


def test_an_upload_that_is_not_finished_keeps_its_pack(store: Path) -> None:
    """The worker died between storing the bytes and writing the rows; the next one finds them."""
    sender = Sender.create()
    created = sender.create_upload(length=5, path="a")
    upload = sender.version.uploads.get()
    pack = put(store, content.pack_key(upload.pk), b"12345", hours=100)
    content.staging().remove(upload.pk)
    collect(hours=25)
    assert pack.exists()
    assert sender.head(created["Location"])["Upload-Offset"] == "5"
    sender.seal()
    collect(hours=25)
    assert read_back(sender.version) == {"a": b"12345"}


def test_a_manifest_of_a_seal_that_failed_goes(store: Path) -> None:
    version = make_available_version(make_dataset(make_team()), {"a": b"a"})
    left = manifests.store_manifest(version, progress=lambda _rows: None)
    collect(hours=23)
    assert left in objects(store)
    collect(hours=25)
    assert left not in objects(store)
    assert version.manifest_key in objects(store)


def test_a_manifest_that_a_seal_is_about_to_name_stays(store: Path) -> None:
    """However long the seal takes."""
    version = make_version(make_dataset(make_team()))
    stage_files(version, {"a": b"a"})
    Version.objects.filter(pk=version.pk).update(status="pending")
    sealed = make_available_version(make_dataset(make_team()), {"b": b"b"})
    left = manifests.store_manifest(sealed, progress=lambda _rows: None)
    collect(hours=200)
    assert left in objects(store)
    Version.objects.filter(pk=version.pk).update(status="error")
    collect(hours=200)
    assert left not in objects(store)


def test_nothing_unknown_goes_when_the_store_knows_more_than_the_database(store: Path, tmp_path: Path) -> None:
    """An old backup was restored, or two installations share a bucket."""
    make_available_version(make_dataset(make_team("lab"), "images"), {"a": b"theirs"})
    kept = tmp_path / "kept"
    shutil.copytree(store, kept)
    empty_guarded_tables()
    with connection.cursor() as cursor:
        for table in ("auditevent", "dataset", "membership", "team"):
            cursor.execute(f"DELETE FROM datasets_app_{table}")
    stray = put(store, content.pack_key(uuid.uuid4()), hours=100)
    run = collect(hours=100)
    assert "manage.py rebuild" in run.notes[0]
    assert stray.exists()
    assert objects(kept).items() <= objects(store).items()
    run = collect_now(forget_unknown=True, now=later(hours=100))
    assert run.report["unknown"]["count"] == 3
    assert objects(store) == {}
    assert not CollectionRun.objects.exclude(status="finished").exists()


def test_what_a_purged_dataset_left_is_not_taken_for_somebody_elses(store: Path) -> None:
    """A seal died after its manifest; then the dataset was purged."""
    from datasets_app.services.garbage import purge_dataset
    from datasets_app.services.trash import delete_dataset

    version = make_available_version(make_dataset(make_team()), {"a": b"a"})
    left = manifests.store_manifest(version, progress=lambda _rows: None)
    admin = make_member(version.dataset.team, "admin")
    purge_dataset(admin, dataset=delete_dataset(admin, team=version.dataset.team.name, name=version.dataset.name))
    assert left in objects(store)
    assert collect(hours=25).notes == []
    assert left not in objects(store)


def test_a_damaged_manifest_is_a_leftover_like_others(store: Path) -> None:
    path = put(store, f"manifests/ab/{uuid.uuid4().hex}.ndjson.zst", b"no zstd", hours=25)
    assert collect().notes == []
    assert not path.exists()
