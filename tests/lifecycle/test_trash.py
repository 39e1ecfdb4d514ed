"""Deleting, restoring, and what is refused because it is in use."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from datasets_app.errors import Conflict, Forbidden, Invalid, NotFound
from datasets_app.models import AuditEvent, Dataset, Import, Job, JobDataset, Role, Team, User, Version
from datasets_app.services.dataset_filters import DatasetFilter
from datasets_app.services.datasets import create_dataset, get_dataset, list_datasets
from datasets_app.services.jobs import Attachment, create_job
from datasets_app.services.trash import (
    delete_dataset,
    delete_version,
    list_trashed_datasets,
    list_trashed_versions,
    restore_dataset,
    restore_version,
)
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

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]
URL = "/teams/vision/datasets/images/"
API = "/api/v1/teams/vision"


@pytest.fixture
def dataset(team: Team) -> Dataset:
    """Make a dataset with two versions."""
    dataset = make_dataset(team, "images")
    make_available_version(dataset, {"a": b"1"})
    make_available_version(dataset, {"b": b"2"}, base=1)
    return dataset


def use_in_job(version: Version, status: str = Job.Status.RUNNING, name: str = "train-1") -> Job:
    job = Job.objects.create(team=version.dataset.team, name=name, kind="training", command=["true"], status=status)
    JobDataset.objects.create(
        job=job,
        version=version,
        dataset_name=version.dataset.name,
        version_number=version.number,
        digest=version.digest,
        mount_name=version.dataset.name,
    )
    return job


def test_a_dataset_goes_and_comes_back_as_it_was(dataset: Dataset, writer: User) -> None:
    delete_dataset(writer, team="vision", name="images")
    assert list_datasets(writer, team="vision", wanted=DatasetFilter(archived=None)).items == []
    with pytest.raises(NotFound, match="in the trash"):
        get_dataset(writer, team="vision", name="images")
    with pytest.raises(NotFound):
        find_version(writer, team="vision", dataset="images", number=1)
    (item,) = list_trashed_datasets(writer, team="vision").items
    assert (item.name, item.deleted_by) == ("images", writer)
    restored = restore_dataset(writer, team="vision", name="images")
    assert (restored.deleted_at, restored.deleted_by) == (None, None)
    assert find_version(writer, team="vision", dataset="images", number=2).file_count == 2
    assert list_trashed_datasets(writer, team="vision").items == []
    verbs = set(AuditEvent.objects.filter(subject="images").values_list("verb", flat=True))
    assert {"deleted dataset", "restored dataset"} <= verbs


def test_a_version_goes_and_comes_back(dataset: Dataset, writer: User) -> None:
    version = find_version(writer, team="vision", dataset="images", number=2)
    delete_version(writer, version=version)
    assert find_version(writer, team="vision", dataset="images", number="latest").number == 1
    assert [v.label for v in list_trashed_versions(writer, team="vision").items] == ["images@2"]
    with pytest.raises(NotFound):
        delete_version(writer, version=version)
    # Its number stays taken.
    assert create_version(writer, dataset=dataset).number == 3
    assert restore_version(writer, team="vision", dataset="images", number=2).deleted_at is None
    restore_version(writer, team="vision", dataset="images", number=2)
    assert find_version(writer, team="vision", dataset="images", number="latest").number == 2


def test_a_version_of_a_trashed_dataset_comes_back_with_it_alone(dataset: Dataset, writer: User) -> None:
    delete_version(writer, version=dataset.versions.get(number=1))
    delete_dataset(writer, team="vision", name="images")
    assert list_trashed_versions(writer, team="vision").items == []
    with pytest.raises(Conflict, match="The dataset images is in the trash"):
        restore_version(writer, team="vision", dataset="images", number=1)


def test_the_name_stays_taken(dataset: Dataset, writer: User) -> None:
    delete_dataset(writer, team="vision", name="images")
    with pytest.raises(Conflict, match="in the trash of vision"):
        create_dataset(writer, team="vision", name="images")


@pytest.mark.parametrize("status", Job.ACTIVE)
def test_what_an_active_job_uses_stays(dataset: Dataset, writer: User, status: str) -> None:
    version = dataset.versions.get(number=1)
    job = use_in_job(version, status)
    with pytest.raises(Conflict, match="train-1"):
        delete_version(writer, version=version)
    with pytest.raises(Conflict, match="train-1"):
        delete_dataset(writer, team="vision", name="images")
    delete_version(writer, version=dataset.versions.get(number=2))
    Job.objects.filter(pk=job.pk).update(status=Job.Status.SUCCEEDED)
    delete_version(writer, version=version)


def test_what_an_open_version_starts_from_stays(dataset: Dataset, writer: User) -> None:
    make_version(dataset, base=1)
    with pytest.raises(Conflict, match="images@3 is not sealed yet"):
        delete_version(writer, version=dataset.versions.get(number=1))
    delete_version(writer, version=dataset.versions.get(number=2))


def test_an_import_must_end_first(dataset: Dataset, writer: User) -> None:
    run = Import.objects.create(version=make_version(dataset), connection_name="lab", provider="s3", source_path="x")
    with pytest.raises(Conflict, match="An import is bringing files into images@3"):
        delete_dataset(writer, team="vision", name="images")
    Import.objects.filter(pk=run.pk).update(status=Import.Status.CANCELLED)
    delete_dataset(writer, team="vision", name="images")


def test_an_open_version_is_abandoned_not_deleted(dataset: Dataset, writer: User) -> None:
    with pytest.raises(Conflict, match="abandon it"):
        delete_version(writer, version=make_version(dataset))


def test_nothing_can_be_done_with_what_is_in_the_trash(dataset: Dataset, writer: User) -> None:
    delete_version(writer, version=dataset.versions.get(number=1))
    with pytest.raises(NotFound):
        create_version(writer, dataset=dataset, base=1)
    with pytest.raises(NotFound):
        create_job(
            writer,
            team="vision",
            name="train-1",
            kind="training",
            command=["true"],
            datasets=[Attachment("images", 1)],
        )


def test_files_that_arrive_for_a_trashed_dataset_are_not_lost(dataset: Dataset, writer: User) -> None:
    """What was under way goes on: it is there when the dataset is restored."""
    version = make_version(dataset)
    delete_dataset(writer, team="vision", name="images")
    stage_files(version, {"late": b"!"})
    restore_dataset(writer, team="vision", name="images")
    assert seal_version(writer, version=version).status == "pending"


def test_strangers_and_readers(dataset: Dataset, team: Team) -> None:
    stranger, reader = make_user(), make_member(team, Role.READER)
    version = dataset.versions.get(number=1)
    for actor, error in ((stranger, NotFound), (reader, Forbidden)):
        with pytest.raises(error):
            delete_dataset(actor, team="vision", name="images")
        with pytest.raises(error):
            delete_version(actor, version=version)
        with pytest.raises(error):
            restore_dataset(actor, team="vision", name="images")
        with pytest.raises(error):
            restore_version(actor, team="vision", dataset="images", number=1)
    with pytest.raises(NotFound):
        list_trashed_datasets(stranger, team="vision")
    assert list_trashed_datasets(reader, team="vision").items == []


def test_a_cursor_of_another_list_is_refused(dataset: Dataset, writer: User) -> None:
    with pytest.raises(Invalid):
        list_trashed_versions(writer, team="vision", cursor="nonsense")


def test_the_api(dataset: Dataset, writer: User) -> None:
    client = api_client(writer)
    removal = client.get(f"{API}/datasets/images/versions/2/removal").json()
    assert (removal["freed_size"], removal["kept_size"], removal["obstacles"]) == (1, 1, [])
    answer = client.delete(f"{API}/datasets/images/versions/2").json()
    assert (answer["dataset"], answer["number"], answer["deleted_by"]) == ("images", 2, "wren")
    assert answer["purged_at"] > (timezone.now() + timedelta(days=13)).isoformat()
    assert client.get(f"{API}/datasets/images/versions/2").status_code == 404
    assert [item["number"] for item in client.get(f"{API}/trash/versions").json()["items"]] == [2]
    assert client.post(f"{API}/datasets/images/versions/2/restore").json()["status"] == "available"
    assert client.delete(f"{API}/datasets/images").status_code == 200
    assert client.delete(f"{API}/datasets/images").status_code == 404
    (item,) = client.get(f"{API}/trash/datasets").json()["items"]
    assert (item["dataset"], item["number"]) == ("images", None)
    assert client.post(f"{API}/datasets/images/restore").status_code == 200
    use_in_job(dataset.versions.get(number=1))
    refused = client.delete(f"{API}/datasets/images")
    assert refused.status_code == 409
    assert "train-1" in refused.json()["detail"]
    assert "train-1" in client.get(f"{API}/datasets/images/removal").json()["obstacles"][0]


def test_the_pages(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    page = client.get(f"{URL}versions/2/delete/").content.decode()
    assert "Move images@2 to the trash" in page
    page = client.post(f"{URL}versions/2/delete/", follow=True).content.decode()
    assert "images@2 is in the trash. It can be restored until" in page
    page = client.get(f"{URL}delete/").content.decode()
    assert "Move images to the trash" in page
    client.post(f"{URL}delete/")
    assert "images" not in client.get("/teams/vision/datasets/").content.decode().partition("<tbody>")[2]
    trash = client.get("/teams/vision/trash/").content.decode()
    assert "by wren" in trash
    page = client.post(f"{URL}restore/", follow=True).content.decode()
    assert "images was restored" in page
    page = client.post(f"{URL}versions/2/restore/", follow=True).content.decode()
    assert "images@2 was restored" in page
    assert "The trash is empty" in client.get("/teams/vision/trash/").content.decode()


def test_a_page_that_refuses_offers_no_button(dataset: Dataset, writer: User) -> None:
    use_in_job(dataset.versions.get(number=2))
    client = page_client(writer)
    page = client.get(f"{URL}versions/2/delete/").content.decode()
    assert "train-1" in page
    assert "Move images@2" not in page
    assert client.post(f"{URL}versions/2/delete/").status_code == 409
    assert "Abandon it" in client.get(f"{URL}versions/{make_version(dataset).number}/delete/").content.decode()


def test_a_reader_sees_the_trash_and_no_buttons(dataset: Dataset, team: Team, writer: User) -> None:
    delete_version(writer, version=dataset.versions.get(number=2))
    client = page_client(make_member(team, Role.READER))
    page = client.get("/teams/vision/trash/").content.decode()
    assert "images@2" in page
    assert "Restore" not in page
    assert "Delete…" not in client.get(URL).content.decode()


def test_an_admin_purges_by_typing_the_name(dataset: Dataset, team: Team, writer: User) -> None:
    job = use_in_job(dataset.versions.get(number=1), Job.Status.SUCCEEDED)
    delete_version(writer, version=dataset.versions.get(number=1))
    admin = page_client(make_member(team, Role.ADMIN))
    page = admin.get(f"{URL}versions/1/purge/").content.decode()
    assert "train-1" in page
    wrong = admin.post(f"{URL}versions/1/purge/", {"confirm": "images"})
    assert (wrong.status_code, Version.objects.filter(dataset=dataset).count()) == (422, 2)
    page = admin.post(f"{URL}versions/1/purge/", {"confirm": "images@1"}, follow=True).content.decode()
    assert "images@1 was purged" in page
    pin = job.datasets.get()
    assert (pin.version, pin.dataset_name, pin.version_number) == (None, "images", 1)
    delete_dataset(writer, team="vision", name="images")
    admin.post(f"{URL}purge/", {"confirm": "images"})
    assert not Dataset.objects.exists()
    assert create_dataset(writer, team="vision", name="images").last_number == 0


def test_a_writer_cannot_purge(dataset: Dataset, writer: User) -> None:
    delete_dataset(writer, team="vision", name="images")
    client = page_client(writer)
    assert client.get(f"{URL}purge/").status_code == 403
    assert client.post(f"{URL}purge/", {"confirm": "images"}).status_code == 403
    assert "/purge/" not in client.get("/teams/vision/trash/").content.decode()


def test_purge_by_the_api(dataset: Dataset, team: Team) -> None:
    client = api_client(make_member(team, Role.ADMIN))
    path = f"{API}/datasets/images"
    body = {"confirm": "images"}
    assert client.post(f"{path}/purge", body, content_type="application/json").status_code == 409
    client.delete(path)
    wrong = client.post(f"{path}/purge", {"confirm": "x"}, content_type="application/json")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "confirm")
    assert client.post(f"{path}/purge", body, content_type="application/json").status_code == 204
    assert client.post(f"{path}/purge", body, content_type="application/json").status_code == 404
