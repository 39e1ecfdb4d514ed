"""What versions, datasets and teams store: exact, each blob once, remembered, and shown."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from datasets_app.errors import Conflict, NotFound
from datasets_app.models import Dataset, Role, SpaceSample, Team, User, VersionSpace
from datasets_app.services import space
from datasets_app.services.removal import describe_version_removal
from datasets_app.services.space import VersionFigures, measure_version
from datasets_app.services.trash import delete_version
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
    page_client,
    stage_files,
)

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]
URL = "/teams/vision/datasets/images/"
API = "/api/v1/teams/vision"
SHARED, OLD, NEW, THEIRS = b"s" * 1000, b"o" * 300, b"n" * 50, b"t" * 7


@pytest.fixture
def dataset(team: Team) -> Dataset:
    """Make two versions that share a file, of which one holds it twice, and a dataset that shares another."""
    dataset = make_dataset(team, "images")
    make_available_version(dataset, {"a": SHARED, "again/a": SHARED, "old": OLD})
    make_available_version(dataset, {"a": SHARED, "new": NEW})
    make_available_version(make_dataset(team, "others"), {"old": OLD, "theirs": THEIRS})
    return dataset


def figures(dataset: Dataset, writer: User, number: int) -> VersionFigures:
    return measure_version(writer, version=dataset.versions.select_related("root", "dataset").get(number=number))


def test_it_works(dataset: Dataset, writer: User) -> None:
    assert figures(dataset, writer, 1) == VersionFigures(2300, 1300, 0, 1300)
    assert figures(dataset, writer, 2) == VersionFigures(1050, 1050, 50, 50)
    sample = space.measure_dataset(writer, dataset=dataset)
    assert (sample.version_count, sample.logical_size, sample.live_size, sample.saved_size) == (2, 3350, 1350, 2000)
    assert space.measure_dataset_own(writer, dataset=dataset) == 1050
    team = space.measure_team(writer, team=dataset.team)
    assert (team.logical_size, team.stored_size) == (3657, 1357)


def test_what_others_delete_and_add_is_noticed(dataset: Dataset, writer: User) -> None:
    assert figures(dataset, writer, 2).own_size == 50
    copy = make_available_version(make_dataset(dataset.team), {"new": NEW})
    assert figures(dataset, writer, 2).own_size == 0
    delete_version(writer, version=copy)
    assert figures(dataset, writer, 2).own_size == 0, "the trash holds its bytes"
    sample = space.measure_team(writer, team=dataset.team)
    assert (sample.live_size, sample.trash_size) == (1357, 0)
    delete_version(writer, version=dataset.versions.select_related("dataset", "root").get(number=2))
    sample = space.measure_team(writer, team=dataset.team)
    assert (sample.live_size, sample.trash_size) == (1307, 50)


def test_open_versions(dataset: Dataset, writer: User) -> None:
    stage_files(make_version(dataset), {"a": SHARED, "more": b"m" * 11})
    sample = space.measure_dataset(writer, dataset=dataset)
    assert (sample.open_size, sample.stored_size) == (11, 1361)
    with pytest.raises(Conflict):
        figures(dataset, writer, 3)


def test_one_staged_file_for_another_is_noticed(dataset: Dataset, writer: User) -> None:
    """The number of files is the same; their bytes are not."""
    opened = make_version(dataset)
    stage_files(opened, {"more": b"m" * 11})
    assert space.measure_dataset(writer, dataset=dataset).open_size == 11
    opened.staged.all().delete()
    stage_files(opened, {"more": b"k" * 12})
    assert space.measure_dataset(writer, dataset=dataset).open_size == 12


def test_what_an_open_version_holds_is_not_only_here(
    dataset: Dataset, writer: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the page says before a version is deleted: it would not come back."""
    version = dataset.versions.select_related("root", "dataset__team").get(number=2)
    assert measure_version(writer, version=version).own_size == 50
    opened = make_version(make_dataset(dataset.team, "third"))
    stage_files(opened, {"fresh": b"fresh"})
    with monkeypatch.context() as patch:
        patch.setattr(space, "weigh_own", None)
        assert measure_version(writer, version=version).own_size == 50, "new bytes of others change nothing"
    stage_files(opened, {"copy": NEW})
    assert measure_version(writer, version=version).own_size == 0
    assert describe_version_removal(writer, version=version).freed_size == 0
    assert space.measure_dataset_own(writer, dataset=dataset) == 1000
    opened.staged.all().delete()
    assert measure_version(writer, version=version).own_size == 50


def test_counting_can_be_put_off(dataset: Dataset, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = list(dataset.versions.select_related("root", "dataset").order_by("number"))

    def measure(seconds: float) -> set[int]:
        found = space.measure_versions_of(writer, dataset=dataset, versions=versions, seconds=seconds)
        return {version.number for version in versions if version.pk in found}

    assert measure(0) == set()
    assert measure(1e-9) == {1}
    assert measure(1e-9) == {1, 2}
    monkeypatch.setattr(space, "weigh", None)
    assert measure(0) == {1, 2}


def test_what_holds_is_not_counted_again(dataset: Dataset, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    first = space.measure_team(writer, team=dataset.team)
    monkeypatch.setattr(space, "weigh", None)
    assert space.measure_team(writer, team=dataset.team).pk == first.pk
    SpaceSample.objects.update(day=timezone.now().date() - timedelta(days=1))
    assert space.measure_team(writer, team=dataset.team).live_size == first.live_size
    assert len(space.list_samples(writer, team=dataset.team)) == 2


def test_every_day_is_noted(dataset: Dataset, writer: User) -> None:
    space.sample_space()
    space.sample_space()
    assert VersionSpace.objects.count() == 3
    assert SpaceSample.objects.filter(dataset=None).count() == 1
    page = space.list_dataset_spaces(writer, team=dataset.team)
    assert [(item.dataset.name, item.sample and item.sample.live_size) for item in page.items] == [
        ("images", 1350),
        ("others", 307),
    ]
    stale = space.list_dataset_spaces(writer, team=dataset.team, limit=1, seconds=0)
    assert [(item.dataset.name, item.is_current) for item in stale.items] == [("images", False)]
    rest = space.list_dataset_spaces(writer, team=dataset.team, limit=1, cursor=stale.next_cursor)
    assert [item.dataset.name for item in rest.items] == ["others"]


def test_other_teams_are_not_looked_at(dataset: Dataset, writer: User) -> None:
    make_available_version(make_dataset(make_team("other"), "images"), {"new": NEW})
    assert figures(dataset, writer, 2).own_size == 50


def test_the_api(dataset: Dataset, writer: User) -> None:
    client = api_client(writer)
    version = client.get(f"{API}/datasets/images/versions/latest/space").json()
    assert version == {
        "logical_size": 1050,
        "stored_size": 1050,
        "shared_size": 1000,
        "own_size": 50,
        "added_size": 50,
    }
    answer = client.get(f"{API}/datasets/images/space").json()
    assert (answer["live_size"], answer["own_size"], answer["shared_size"]) == (1350, 1050, 300)
    assert client.get(f"{API}/space").json()["stored_size"] == 1357
    items = client.get(f"{API}/space/datasets?limit=1").json()
    assert items["items"][0]["space"]["live_size"] == 1350
    assert items["next_cursor"]
    assert [item["live_size"] for item in client.get(f"{API}/space/history").json()["items"]] == [1357]
    assert [item["live_size"] for item in client.get(f"{API}/datasets/images/space/history").json()["items"]] == [1350]
    assert client.get(f"{API}/datasets/images/versions/9/space").status_code == 404
    make_version(dataset)
    assert client.get(f"{API}/datasets/images/versions/3/space").status_code == 409


def test_the_pages(dataset: Dataset, team: Team) -> None:
    client = page_client(make_member(team, Role.READER))
    day = timezone.now().date() - timedelta(days=3)
    old = {"version_count": 1, "logical_size": 9, "live_size": 600, "trash_size": 0, "open_size": 0, "key": "x"}
    SpaceSample.objects.create(team=team, day=day, **old)
    page = client.get("/teams/vision/space/").content.decode()
    assert "1.36 kB" in page
    assert '<polygon class="is-live"' in page
    assert "Size of all versions" in page
    assert f"{URL}space/" in page
    page = client.get(f"{URL}space/").content.decode()
    for text in ("Only here", "images@2", "1.05 kB", "Stored bytes of images"):
        assert text in page
    assert "Counting" not in page
    assert f"{URL}space/" in client.get(URL).content.decode()
    assert "Only here" in client.get(f"{URL}versions/2/").content.decode()


def test_a_version_is_counted_when_its_page_is_there(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    page = client.get(f"{URL}versions/2/").content.decode()
    assert 'hx-get="?space"' in page
    part = client.get(f"{URL}versions/2/?space", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert "Only here" in part
    assert "hx-get" not in part


def test_empty(team: Team, writer: User) -> None:
    client = page_client(writer)
    assert "Nothing is stored yet" in client.get("/teams/vision/space/").content.decode()
    make_dataset(team, "images")
    assert "No sealed version yet" in client.get(f"{URL}space/").content.decode()


def test_strangers(dataset: Dataset) -> None:
    stranger = make_user()
    for path in ("/teams/vision/space/", f"{URL}space/"):
        assert page_client(stranger).get(path).status_code == 404
    for path in ("space", "space/history", "space/datasets", "datasets/images/space", "datasets/images/space/history"):
        assert api_client(stranger).get(f"{API}/{path}").status_code == 404
    with pytest.raises(NotFound):
        figures(dataset, stranger, 1)
    with pytest.raises(NotFound):
        space.measure_dataset_own(stranger, dataset=dataset)
