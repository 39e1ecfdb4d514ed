"""What is sealed stays as it is: the database refuses changes, also those that no code of ours would make."""

from __future__ import annotations

from datetime import datetime

import pytest
from django.db import connection, transaction
from django.db.models import ProtectedError
from django.utils import timezone

from datasets_app.models import Blob, Directory, Door, File, Job, JobDataset, Pack, Subdirectory, Version
from tests.data.conftest import FILES, door, execute, refused
from tests.factories import make_available_version, make_dataset, make_team, make_version

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db]

DIGEST = bytes(32)

UPDATES = [
    *(("directory", column) for column in ("id", "digest", "file_count", "size", "closed", "created_at")),
    *(("subdirectory", column) for column in ("id", "parent_id", "name", "child_id")),
    *(("file", column) for column in ("id", "directory_id", "name", "blob_id")),
    *(("blob", column) for column in ("id", "sha256", "size", "pack_id", "offset")),
    *(("pack", column) for column in ("id", "key", "size", "stored")),
    *(("version", column) for column in ("id", "dataset_id", "number", "status", "root_id", "manifest_key")),
    *(("version", column) for column in ("sealed_at", "created_at")),
]
NEW_VALUES: dict[str, str | bytes | int | datetime] = {
    "digest": DIGEST,
    "sha256": DIGEST,
    "name": "other",
    "key": "other",
    "manifest_key": "other",
    "status": "uploading",
    "closed": False,
    "stored": False,
}
SEALED_TABLES = ("directory", "subdirectory", "file", "blob", "pack", "version")


def make_pack(*, stored: bool = True) -> Pack:
    return Pack.objects.create(key=f"pack-{Pack.objects.count()}", size=1000, stored=stored)


def make_job(version: Version, status: str) -> Job:
    job = Job.objects.create(team=version.dataset.team, name="train", kind="training", command=["true"], status=status)
    JobDataset.objects.create(
        job=job, version=version, dataset_name="images", version_number=1, digest=version.digest, mount_name="images"
    )
    return job


def test_it_works(sealed: Version) -> None:
    """The sealed rows are there, closed and stored: what follows is refused for no other reason."""
    assert Directory.objects.filter(closed=True).count() == 3
    assert (Subdirectory.objects.count(), File.objects.count(), Blob.objects.count()) == (2, 3, 3)
    assert Pack.objects.get().stored
    assert sealed.status == "available"


def test_no_column_can_be_updated(sealed: Version) -> None:
    for table, column in UPDATES:
        value = NEW_VALUES.get(column, timezone.now() if column.endswith("_at") else 4321)
        with refused():
            execute(f'UPDATE {{{table}}} SET "{column}" = %s', value)


def test_no_row_can_be_deleted(sealed: Version) -> None:
    for table in SEALED_TABLES:
        with refused():
            execute(f"DELETE FROM {{{table}}}")


def test_no_table_can_be_emptied_by_truncate(sealed: Version) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in SEALED_TABLES:
        with refused():
            execute(f"TRUNCATE {{{table}}} CASCADE")


def test_no_row_can_be_replaced(sealed: Version) -> None:
    """SQLite's REPLACE deletes rows in passing."""
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite has REPLACE")
    for table, columns in {
        "directory": "id, digest, file_count, size + 1, closed, created_at",
        "blob": 'id, sha256, size + 1, "offset", created_at, pack_id',
        "pack": "id, key, size + 1, stored, created_at",
        "subdirectory": "id, name, child_id, parent_id",
        "file": "id, name, blob_id, directory_id",
    }.items():
        named = columns.replace(" + 1", "")
        with refused():
            execute(f"INSERT OR REPLACE INTO {{{table}}} ({named}) SELECT {columns} FROM {{{table}}}")
    with refused():
        execute(
            "INSERT OR REPLACE INTO {directory} (digest, file_count, size, closed, created_at) "
            "SELECT digest, file_count, size, closed, created_at FROM {directory}"
        )


def test_nothing_can_be_put_into_a_closed_directory(sealed: Version) -> None:
    assert sealed.root is not None
    blob = Blob.objects.all()[0]
    with refused():
        execute("INSERT INTO {file} (directory_id, name, blob_id) VALUES (%s, 'new', %s)", sealed.root.pk, blob.pk)
    with refused():
        execute(
            "INSERT INTO {subdirectory} (parent_id, name, child_id) VALUES (%s, 'new', %s)",
            sealed.root.pk,
            Directory.objects.exclude(pk=sealed.root.pk)[0].pk,
        )
    with refused():
        File.objects.bulk_create([File(directory_id=sealed.root.pk, name="new", blob=blob)], ignore_conflicts=True)


def test_an_entry_of_an_open_directory_cannot_be_changed_either() -> None:
    directory = Directory.objects.create(digest=DIGEST, file_count=1, size=1)
    blob = Blob.objects.create(sha256=DIGEST, size=1, pack=make_pack())
    file = File.objects.create(directory=directory, name="a", blob=blob)
    with refused():
        File.objects.filter(pk=file.pk).update(name="b")
    with refused():
        Directory.objects.filter(pk=directory.pk).update(size=2)
    Directory.objects.filter(pk=directory.pk).update(closed=True)
    with refused():
        Directory.objects.filter(pk=directory.pk).update(closed=False)


def test_a_blob_needs_a_stored_pack(sealed: Version) -> None:
    pack = make_pack(stored=False)
    with refused():
        Blob.objects.create(sha256=DIGEST, size=1, pack=pack)
    with refused(), door("compaction"):
        Blob.objects.update(pack=pack)
    Pack.objects.filter(pk=pack.pk).update(stored=True)
    Blob.objects.create(sha256=DIGEST, size=1, pack=pack)


@pytest.mark.parametrize("already_there", [True, False])
def test_a_version_needs_a_closed_root_to_become_available(sealed: Version, already_there: bool) -> None:  # noqa: FBT001
    directory = Directory.objects.create(digest=DIGEST, file_count=1, size=1)
    state = {"status": "available", "root": directory, "sealed_at": timezone.now()}
    version = make_version(sealed.dataset)
    with refused():
        if already_there:
            Version.objects.filter(pk=version.pk).update(**state)
        else:
            Version.objects.create(dataset=sealed.dataset, number=77, **state)


def test_django_can_neither_change_nor_delete(sealed: Version) -> None:
    for model in (Directory, Subdirectory, File, Blob, Pack, Version):
        for row in model.objects.all():
            with pytest.raises(ProtectedError) if _is_protected(row) else refused():
                row.delete()
            with refused():
                model.objects.filter(pk=row.pk).update(id=row.pk + 1000)
        with refused():
            model.objects.order_by().filter(pk__gt=0)._raw_delete(using="default")  # noqa: SLF001


def _is_protected(row: object) -> bool:
    """Tell where Django's own PROTECT refuses before the database is asked."""
    return isinstance(row, Directory | Blob | Pack)


def test_a_dataset_cannot_take_its_available_versions_with_it(sealed: Version) -> None:
    with refused():
        sealed.dataset.delete()
    open_one = make_version(make_dataset(make_team()))
    open_one.dataset.delete()
    assert not Version.objects.filter(pk=open_one.pk).exists()


def test_what_is_not_the_content_may_change(sealed: Version) -> None:
    """The trash, and leases of tasks about the version."""
    Version.objects.filter(pk=sealed.pk).update(deleted_at=timezone.now(), lease_until=timezone.now())


def test_the_purge_may_delete_and_nothing_else(sealed: Version) -> None:
    with door("purge"):
        for table, column in UPDATES:
            if (table, column) != ("version", "status"):
                value = NEW_VALUES.get(column, timezone.now() if column.endswith("_at") else 4321)
                with refused():
                    execute(f'UPDATE {{{table}}} SET "{column}" = %s', value)
        for table in ("version", "file", "subdirectory", "directory", "teamblob", "blob", "pack"):
            if table == "blob":
                execute("DELETE FROM {stagedfile}")
            assert execute(f"DELETE FROM {{{table}}}") > 0
    assert not Directory.objects.exists()


def test_compaction_may_move_blobs_and_nothing_else(sealed: Version) -> None:
    pack = make_pack()
    with door("compaction"):
        for table in SEALED_TABLES:
            with refused():
                execute(f"DELETE FROM {{{table}}}")
        for column in ("id", "sha256", "size"):
            with refused():
                execute(f'UPDATE {{blob}} SET "{column}" = %s', NEW_VALUES.get(column, 4321))
        assert execute('UPDATE {blob} SET pack_id = %s, "offset" = "offset" + 7', pack.pk) == len(FILES)
    assert {blob.pack_id for blob in Blob.objects.all()} == {pack.pk}


def test_a_door_closes_with_its_transaction(sealed: Version) -> None:
    class PulledPlugError(Exception):
        pass

    def pull_the_plug() -> None:
        with transaction.atomic():
            Door.objects.create(name="purge")
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        pull_the_plug()
    with refused():
        execute("DELETE FROM {file}")


def test_a_version_that_an_active_job_uses_cannot_be_deleted_at_all(sealed: Version) -> None:
    job = make_job(sealed, "pending")
    for status in ("pending", "running", "stopping"):
        Job.objects.filter(pk=job.pk).update(status=status)
        with refused(), door("purge"):
            execute("DELETE FROM {version}")
        with refused(), door("purge"):
            execute("UPDATE {jobdataset} SET version_id = NULL")
        with refused(), door("purge"):
            sealed.delete()


@pytest.mark.parametrize("status", ["succeeded", "failed", "stopped"])
def test_an_ended_job_keeps_name_number_and_digest_of_a_version_that_is_gone(sealed: Version, status: str) -> None:
    job = make_job(sealed, status)
    digest = sealed.digest
    with door("purge"):
        sealed.delete()
    kept = job.datasets.get()
    assert (kept.version, kept.dataset_name, kept.version_number, kept.digest) == (None, "images", 1, digest)


def test_equal_trees_can_still_be_added(sealed: Version) -> None:
    """The guards are in nobody's way: an equal and a different version are sealed beside it."""
    assert make_available_version(make_dataset(make_team()), FILES).digest == sealed.digest
    assert make_available_version(sealed.dataset, {"new": b"!"}, base=1).file_count == 4
