"""Labels move, stand wherever a version is named, and leave a history."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from datasets_app.errors import Conflict, Forbidden, Invalid, NotFound
from datasets_app.models import Dataset, Label, Role, Team, User
from datasets_app.services.labels import delete_label, label_history, label_names, list_labels, set_label
from datasets_app.services.trash import delete_version, restore_version
from datasets_app.services.versions import find_version
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
    page_client,
)

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]
URL = "/teams/vision/datasets/images/"
API = "/api/v1/teams/vision/datasets/images"


@pytest.fixture
def dataset(team: Team) -> Dataset:
    """Make a dataset with two versions."""
    dataset = make_dataset(team, "images")
    make_available_version(dataset, {"a": b"1"})
    make_available_version(dataset, {"a": b"2"})
    return dataset


def named(actor: User, name: str) -> int:
    return find_version(actor, team="vision", dataset="images", number=name).number


def put(dataset: Dataset, writer: User, name: str, number: int) -> Label:
    return set_label(writer, dataset=dataset, name=name, version=dataset.versions.get(number=number))


def test_it_works(dataset: Dataset, writer: User) -> None:
    put(dataset, writer, "prod", 1)
    assert (named(writer, "prod"), named(writer, "latest"), named(writer, "2")) == (1, 2, 2)
    put(dataset, writer, "prod", 2)
    assert named(writer, "prod") == 2
    versions = list(dataset.versions.order_by("number"))
    assert label_names(dataset, versions) == {versions[0].pk: [], versions[1].pk: ["latest", "prod"]}
    delete_label(writer, dataset=dataset, name="prod")
    with pytest.raises(NotFound):
        named(writer, "prod")
    events = label_history(writer, dataset=dataset)
    assert [(e.verb, e.subject, e.details["old"], e.details["new"]) for e in events] == [
        ("deleted label", "images@prod", 2, None),
        ("moved label", "images@prod", 1, 2),
        ("set label", "images@prod", None, 1),
    ]


def test_setting_it_again_changes_nothing(dataset: Dataset, writer: User) -> None:
    first = put(dataset, writer, "prod", 1)
    assert put(dataset, writer, "prod", 1).updated_at == first.updated_at
    assert len(label_history(writer, dataset=dataset)) == 1


@pytest.mark.parametrize("name", ["", "7", "007", "latest", "Latest", "-x", ".x", "a b", "a/b", "x" * 64, "é", "x\n"])
def test_names_that_cannot_be(dataset: Dataset, writer: User, name: str) -> None:
    with pytest.raises(Invalid):
        put(dataset, writer, name, 1)


@pytest.mark.parametrize("name", ["7", "LATEST", "-x"])
def test_the_database_refuses_them_too(dataset: Dataset, name: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Label.objects.create(dataset=dataset, name=name, version=dataset.versions.get(number=1))


@pytest.mark.parametrize("name", ["v1.0", "2026-q1", "a", "x" * 63, "PROD_eu"])
def test_names_that_can_be(dataset: Dataset, writer: User, name: str) -> None:
    put(dataset, writer, name, 1)
    assert page_client(writer).get(f"{URL}versions/{name}/").status_code == 200


def test_only_available_versions(dataset: Dataset, writer: User, team: Team) -> None:
    with pytest.raises(Conflict):
        set_label(writer, dataset=dataset, name="prod", version=make_version(dataset))
    other = make_available_version(make_dataset(team, "others"))
    with pytest.raises(Conflict):
        set_label(writer, dataset=dataset, name="prod", version=other)


def test_a_label_sleeps_while_its_version_is_in_the_trash(dataset: Dataset, writer: User) -> None:
    put(dataset, writer, "prod", 1)
    delete_version(writer, version=dataset.versions.get(number=1))
    with pytest.raises(NotFound, match="prod points to images@1, which is in the trash"):
        named(writer, "prod")
    assert "in the trash" in page_client(writer).get(f"{URL}labels/").content.decode()
    restore_version(writer, team="vision", dataset="images", number=1)
    assert named(writer, "prod") == 1


def test_strangers_and_readers(dataset: Dataset, team: Team, writer: User) -> None:
    put(dataset, writer, "prod", 1)
    stranger, reader = make_user(), make_member(team, Role.READER)
    for actor, error in ((stranger, NotFound), (reader, Forbidden)):
        with pytest.raises(error):
            put(dataset, actor, "prod", 2)
        with pytest.raises(error):
            delete_label(actor, dataset=dataset, name="prod")
    for name in ("prod", "latest"):
        assert named(reader, name)
        with pytest.raises(NotFound):
            named(stranger, name)
    assert [label.name for label in list_labels(reader, dataset=dataset)] == ["prod"]
    with pytest.raises(NotFound):
        list_labels(stranger, dataset=dataset)


def test_a_label_of_another_team_is_not_mine(dataset: Dataset, writer: User) -> None:
    other = make_team("other")
    theirs = make_dataset(other, "images")
    set_label(make_member(other), dataset=theirs, name="theirs", version=make_available_version(theirs))
    with pytest.raises(NotFound):
        named(writer, "theirs")


def test_the_api(dataset: Dataset, writer: User) -> None:
    client = api_client(writer)
    answer = client.put(f"{API}/labels/prod", {"version": 1}, content_type="application/json")
    assert (answer.status_code, answer.json()["version"]) == (200, 1)
    assert client.get(f"{API}/versions/prod").json()["number"] == 1
    assert client.get(f"{API}/versions/latest/tree").status_code == 200
    assert client.get(f"{API}/versions/prod/diff/latest").json()["items"][0]["path"] == "a"
    assert (
        client.put(f"{API}/labels/next", {"version": "latest"}, content_type="application/json").json()["version"] == 2
    )
    assert [item["name"] for item in client.get(f"{API}/labels").json()["items"]] == ["next", "prod"]
    assert client.delete(f"{API}/labels/prod").status_code == 204
    assert client.delete(f"{API}/labels/prod").status_code == 404
    assert client.get(f"{API}/versions/prod").status_code == 404


def test_what_a_label_names_is_not_cached_for_long(dataset: Dataset, writer: User) -> None:
    client = api_client(writer)
    put(dataset, writer, "prod", 1)
    assert "immutable" in client.get(f"{API}/versions/1/files/a").headers["Cache-Control"]
    assert client.get(f"{API}/versions/prod/files/a").headers["Cache-Control"] == "private, no-cache"


def test_the_pages(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    client.post(f"{URL}labels/", {"name": "prod", "version": "1"})
    page = client.get(f"{URL}labels/").content.decode()
    assert "prod names images@1 now" in page
    assert "set label" in page
    assert '<span class="tag">prod</span>' in client.get(URL).content.decode()
    assert client.get(f"{URL}versions/prod/tree/a").status_code == 302
    wrong = client.post(f"{URL}labels/", {"name": "7", "version": "1"})
    assert wrong.status_code == 422
    assert "not digits alone" in wrong.content.decode()
    client.post(f"{URL}labels/prod/delete/")
    assert not Label.objects.exists()


def test_a_reader_is_not_offered_what_is_refused(dataset: Dataset, team: Team) -> None:
    page = page_client(make_member(team, Role.READER)).get(f"{URL}labels/").content.decode()
    assert "Set label" not in page
    assert "latest" in page


def test_a_version_starts_from_a_label(dataset: Dataset, writer: User) -> None:
    put(dataset, writer, "prod", 1)
    client = api_client(writer)
    for name, number in (("prod", 1), ("latest", 2), (1, 1)):
        answer = client.post(f"{API}/versions", {"base": name}, content_type="application/json")
        assert (answer.status_code, answer.json()["base"]) == (201, number)
    assert client.post(f"{API}/versions", {"base": "nope"}, content_type="application/json").status_code == 404


def test_versions_tell_their_labels(dataset: Dataset, writer: User) -> None:
    put(dataset, writer, "prod", 1)
    client = api_client(writer)
    assert client.get(f"{API}/versions/1").json()["labels"] == ["prod"]
    rows = client.get(f"{API}/versions").json()["items"]
    assert [row["labels"] for row in rows] == [["latest"], ["prod"]]
