"""Archived datasets are read-only and out of the way; what runs goes on."""

from __future__ import annotations

import pytest

from datasets_app.errors import Conflict, Forbidden, NotFound
from datasets_app.models import Dataset, Import, Role, Team, User
from datasets_app.services.archiving import archive_dataset, unarchive_dataset
from datasets_app.services.dataset_filters import DatasetFilter
from datasets_app.services.datasets import list_datasets, update_dataset
from datasets_app.services.jobs import Attachment, create_job
from datasets_app.services.labels import delete_label, set_label
from datasets_app.services.plans import plan_files
from datasets_app.services.retention import Limits, set_rule
from datasets_app.services.staged import DeclaredFile
from datasets_app.services.trash import delete_dataset, delete_version
from datasets_app.services.versions import create_version, find_version, seal_version
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_user,
    make_version,
    page_client,
    stage_files,
)
from tests.lifecycle.test_trash import use_in_job

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]
URL = "/teams/vision/datasets/images/"


@pytest.fixture
def dataset(team: Team) -> Dataset:
    """Make a dataset with one version."""
    dataset = make_dataset(team, "images")
    make_available_version(dataset)
    return dataset


def archive(writer: User) -> Dataset:
    return archive_dataset(writer, team="vision", name="images")


def test_it_works(dataset: Dataset, writer: User) -> None:
    assert archive(writer).archived_at is not None
    assert list_datasets(writer, team="vision").items == []
    assert len(list_datasets(writer, team="vision", wanted=DatasetFilter(archived=True)).items) == 1
    assert find_version(writer, team="vision", dataset="images", number=1).file_count == 1
    assert unarchive_dataset(writer, team="vision", name="images").archived_at is None
    assert len(list_datasets(writer, team="vision").items) == 1


def test_twice(dataset: Dataset, writer: User) -> None:
    assert archive(writer).archived_at == archive(writer).archived_at
    unarchive_dataset(writer, team="vision", name="images")
    assert unarchive_dataset(writer, team="vision", name="images").archived_at is None


def test_it_is_read_only(dataset: Dataset, writer: User) -> None:
    version = dataset.versions.get(number=1)
    set_label(writer, dataset=dataset, name="prod", version=version)
    opened = make_version(dataset)
    stage_files(opened, {"a": b"1"})
    dataset = archive(writer)
    for change in (
        lambda: create_version(writer, dataset=dataset),
        lambda: plan_files(writer, version=opened, files=[DeclaredFile("a", 1)]),
        lambda: seal_version(writer, version=opened),
        lambda: delete_version(writer, version=version),
        lambda: set_label(writer, dataset=dataset, name="next", version=version),
        lambda: delete_label(writer, dataset=dataset, name="prod"),
        lambda: update_dataset(writer, team="vision", name="images", description="new"),
    ):
        with pytest.raises(Conflict, match="archived"):
            change()


def test_new_jobs_cannot_use_it_and_running_ones_go_on(dataset: Dataset, writer: User) -> None:
    job = use_in_job(dataset.versions.get(number=1))
    archive(writer)
    job.refresh_from_db()
    assert job.is_active
    with pytest.raises(Conflict, match="archived"):
        create_job(
            writer, team="vision", name="job-2", kind="training", command=["true"], datasets=[Attachment("images")]
        )


def test_it_can_be_deleted(dataset: Dataset, writer: User) -> None:
    archive(writer)
    assert delete_dataset(writer, team="vision", name="images").deleted_at is not None


def test_an_import_must_end_first(dataset: Dataset, writer: User) -> None:
    Import.objects.create(version=make_version(dataset), connection_name="lab", provider="s3", source_path="x")
    with pytest.raises(Conflict, match="An import"):
        archive(writer)


def test_strangers_and_readers(dataset: Dataset, team: Team) -> None:
    for actor, error in ((make_user(), NotFound), (make_member(team, Role.READER), Forbidden)):
        with pytest.raises(error):
            archive_dataset(actor, team="vision", name="images")
        with pytest.raises(error):
            unarchive_dataset(actor, team="vision", name="images")


def test_the_api(dataset: Dataset, writer: User) -> None:
    client = api_client(writer)
    path = "/api/v1/teams/vision/datasets/images"
    assert client.post(f"{path}/archive").json()["archived_at"] is not None
    assert client.get(path).json()["archived_at"] is not None
    assert client.post(f"{path}/versions", {}, content_type="application/json").status_code == 409
    assert client.post(f"{path}/unarchive").json()["archived_at"] is None


def test_the_page_says_what_it_touches(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    page = client.get(f"{URL}archive/").content.decode()
    assert "1 version, kept as it is." in page
    assert "No label is set." in page
    assert "No job uses it now." in page
    set_label(writer, dataset=dataset, name="prod", version=dataset.versions.get())
    use_in_job(dataset.versions.select_related("root").get())
    set_rule(writer, dataset=dataset, is_on=True, limits=Limits(keep_last=3))
    opened = make_version(dataset)
    page = client.get(f"{URL}archive/").content.decode()
    assert '<span class="tag">prod</span>' in page
    assert "1 job that uses it now goes on: train-1." in page
    assert f'{URL}versions/2/">images@2</a>: it takes no files' in page
    assert "Its rule sleeps" in page
    assert "Archive images</button>" in page
    Import.objects.create(version=opened, connection_name="lab", provider="s3", source_path="x")
    page = client.get(f"{URL}archive/").content.decode()
    assert "An import is bringing files into images@2." in page
    assert "Archive images</button>" not in page


def test_the_pages(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    assert "read-only" in client.get(f"{URL}archive/").content.decode()
    page = client.post(f"{URL}archive/", follow=True).content.decode()
    assert "images is archived" in page
    assert "Unarchive" in page
    assert "New version" not in page
    assert "Use in a job" not in page
    assert "no longer archived" in client.post(f"{URL}unarchive/", follow=True).content.decode()
