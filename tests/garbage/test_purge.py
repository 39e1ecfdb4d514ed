"""Purging from the trash: who may, what it refuses, what stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets_app.errors import Conflict, Forbidden, NotFound
from datasets_app.models import AuditEvent, Dataset, Job, JobDataset, RemovedObject, Team, User, Version
from datasets_app.services.datasets import create_dataset
from datasets_app.services.garbage import purge_dataset, purge_version
from datasets_app.services.trash import delete_dataset, delete_version, restore_dataset, restore_version
from datasets_app.services.versions import abandon_version, create_version
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_user, make_version
from tests.garbage.conftest import collect, objects, read_back

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def admin(db: None) -> User:
    return make_member(make_team("lab"), "admin")


@pytest.fixture
def version(admin: User) -> Version:
    return make_available_version(make_dataset(Team.objects.get(), "images"), {"a": b"a", "b/c": b"c"})


def use_in_job(version: Version, status: str) -> Job:
    job = Job.objects.create(team=version.dataset.team, name="train", kind="training", command=["true"], status=status)
    JobDataset.objects.create(
        job=job,
        version=version,
        dataset_name=version.dataset.name,
        version_number=version.number,
        digest=version.digest,
        mount_name="images",
    )
    return job


def test_it_works(admin: User, version: Version, store: Path) -> None:
    delete_version(admin, version=version)
    purge_version(admin, version=version)
    assert not Version.objects.exists()
    assert Dataset.objects.get().last_number == 1, "its number is used up"
    assert create_version(admin, dataset=version.dataset).number == 2
    assert not any(key.startswith("manifests/") for key in objects(store))
    assert AuditEvent.objects.filter(verb="purged version", subject="images@1", actor=admin).exists()


def test_a_dataset_goes_whole_and_its_name_is_free(admin: User, version: Version) -> None:
    make_available_version(version.dataset, {"more": b"more"}, base=1)
    make_version(version.dataset, base=2)
    job = use_in_job(version, "succeeded")
    dataset = delete_dataset(admin, team="lab", name="images")
    purge_dataset(admin, dataset=dataset)
    assert not Version.objects.exists()
    kept = job.datasets.get()
    assert (kept.version, kept.dataset_name, kept.version_number, kept.digest) == (None, "images", 1, version.digest)
    again = create_dataset(admin, team="lab", name="images")
    assert again.last_number == 0
    collect(hours=25)
    assert RemovedObject.objects.get(kind="dataset").key == "lab/images"
    with pytest.raises(NotFound):
        purge_dataset(admin, dataset=dataset)


def test_a_stranger_sees_nothing_and_a_writer_may_not(admin: User, version: Version) -> None:
    delete_version(admin, version=version)
    with pytest.raises(NotFound):
        purge_version(make_user(), version=version)
    with pytest.raises(Forbidden):
        purge_version(make_member(version.dataset.team, "writer"), version=version)
    delete_dataset(admin, team="lab", name="images")
    with pytest.raises(Forbidden):
        purge_dataset(make_member(version.dataset.team, "writer"), dataset=version.dataset)
    assert Version.objects.exists()


def test_only_what_is_in_the_trash(admin: User, version: Version) -> None:
    with pytest.raises(Conflict, match="not in the trash"):
        purge_version(admin, version=version)
    with pytest.raises(Conflict, match="not in the trash"):
        purge_dataset(admin, dataset=version.dataset)


def test_twice(admin: User, version: Version) -> None:
    delete_version(admin, version=version)
    purge_version(admin, version=version)
    with pytest.raises(NotFound):
        purge_version(admin, version=version)
    with pytest.raises(NotFound):
        restore_version(admin, team="lab", dataset="images", number=1)


def test_what_was_restored_meanwhile_stays(admin: User, version: Version) -> None:
    dataset = delete_dataset(admin, team="lab", name="images")
    restore_dataset(admin, team="lab", name="images")
    with pytest.raises(Conflict):
        purge_dataset(admin, dataset=dataset)
    collect(days=30)
    assert read_back(version)


@pytest.mark.parametrize("status", ["pending", "running", "stopping"])
def test_a_version_that_an_active_job_uses_is_refused(admin: User, version: Version, status: str) -> None:
    """The trash refuses it as well; here it got there by another way."""
    use_in_job(version, status)
    Version.objects.update(deleted_at=version.created_at)
    with pytest.raises(Conflict, match="train"):
        purge_version(admin, version=version)
    run = collect(days=100)
    assert "train" in run.notes[0]
    assert read_back(version)


def test_a_version_that_an_open_one_starts_from_is_refused(admin: User, version: Version) -> None:
    later = make_version(version.dataset, base=1)
    Version.objects.filter(pk=version.pk).update(deleted_at=version.created_at)
    with pytest.raises(Conflict, match="images@2"):
        purge_version(admin, version=version)
    abandon_version(admin, version=later)
    purge_version(admin, version=version)
    assert not Version.objects.exists()


def test_uploads_under_way_end_with_it(admin: User, store: Path) -> None:
    from datasets_app.services.uploads import create_upload

    dataset = make_dataset(Team.objects.get(), "images")
    create_upload(admin, version=make_version(dataset), path="a", size=10)
    staging = store.parent / "staging"
    assert len(list(staging.iterdir())) == 1
    Dataset.objects.update(deleted_at=dataset.created_at)
    purge_dataset(admin, dataset=dataset)
    assert list(staging.iterdir()) == []
