"""What deleting would free and leave, exactly: within the team, each blob once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.template.defaultfilters import date
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from datasets_app.models import Dataset, Job, Label, Team, User, Version
from datasets_app.services.removal import (
    describe_dataset_removal,
    describe_version_purge,
    describe_version_removal,
)
from datasets_app.services.trash import delete_version
from datasets_app.services.weighing import weigh, weigh_own, weigh_staged
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_version,
    page_client,
    stage_files,
)
from tests.lifecycle.test_trash import use_in_job

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]


def test_it_works(team: Team, writer: User) -> None:
    dataset = make_dataset(team, "images")
    first = make_available_version(dataset, {"a": b"1", "same/x": b"22", "same/y": b"22"})
    make_available_version(dataset, {"b": b"333"}, base=1)
    other = make_dataset(team, "others")
    make_available_version(other, {"copy": b"1"})
    use_in_job(first, Job.Status.SUCCEEDED)
    Label.objects.create(dataset=dataset, name="prod", version=first)
    removal = describe_version_removal(writer, version=first)
    # The second version holds all of it.
    assert (removal.freed_size, removal.kept_size, removal.logical_size, removal.file_count) == (0, 3, 5, 3)
    assert ([label.name for label in removal.labels], removal.jobs, removal.obstacles) == (["prod"], ["train-1"], [])
    whole = describe_dataset_removal(writer, dataset=dataset)
    # "22" once, though it is there twice in each version; "1" is also in the other dataset.
    assert (whole.freed_size, whole.kept_size, whole.version_count, whole.open_count) == (5, 1, 2, 0)
    assert whole.logical_size == 5 + 8


def test_when_it_is_purged_and_when_its_bytes_come_back(team: Team, writer: User, settings: LazySettings) -> None:
    """They are not the same day: the grace period comes after the trash."""
    settings.TRASH_DAYS, settings.GRACE_HOURS = 14, 48
    version = make_available_version(make_dataset(team, "images"), {"a": b"1"})
    removal = describe_version_removal(writer, version=version)
    assert removal.freed_at - removal.purge_at == timedelta(days=2)
    page = page_client(writer).get("/teams/vision/datasets/images/versions/1/delete/").content.decode()
    assert f"({date(removal.purge_at, 'j M Y')}): until then it can be restored" in page
    assert f"({date(removal.freed_at, 'j M Y')}), by the first collection" in page
    delete_version(writer, version=version)
    purge = describe_version_purge(make_member(team, "admin"), version=version)
    assert purge.freed_at - purge.purge_at == timedelta(days=2)
    answer = api_client(writer).get("/api/v1/teams/vision/datasets/images/removal").json()
    assert answer["freed_at"] > answer["purged_at"]


def test_what_is_in_the_trash_keeps_nothing(team: Team, writer: User) -> None:
    """Figures of the trash add up: what two deleted versions share is freed with the second."""
    dataset = make_dataset(team, "images")
    first = make_available_version(dataset, {"a": b"shared"})
    second = make_available_version(dataset, {"b": b"shared"})
    assert describe_version_removal(writer, version=first).freed_size == 0
    delete_version(writer, version=first)
    assert describe_version_removal(writer, version=second).freed_size == 6


def test_what_an_open_version_has_taken_stays(team: Team, writer: User) -> None:
    dataset = make_dataset(team, "images")
    first = make_available_version(dataset, {"a": b"one", "b": b"four"})
    stage_files(make_version(make_dataset(team, "others")), {"copy": b"four"})
    removal = describe_version_removal(writer, version=first)
    assert (removal.freed_size, removal.kept_size) == (3, 4)


def test_other_teams_are_not_looked_at(team: Team, writer: User) -> None:
    """Else anybody could find out by a deletion whether another team has certain bytes."""
    first = make_available_version(make_dataset(team, "images"), {"a": b"secret"})
    make_available_version(make_dataset(make_team(), "images"), {"a": b"secret"})
    assert describe_version_removal(writer, version=first).freed_size == 6


def test_an_empty_dataset(team: Team, writer: User) -> None:
    removal = describe_dataset_removal(writer, dataset=make_dataset(team, "images"))
    assert (removal.version_count, removal.freed_size, removal.kept_size) == (0, 0, 0)


TREES = st.dictionaries(
    st.lists(st.sampled_from("xyz"), min_size=1, max_size=3).map(lambda parts: "/".join([*parts, "f"])),
    st.sampled_from([b"1", b"22", b"333", b"4444"]),
    min_size=1,
    max_size=6,
)


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=2, max_size=4), cut=st.integers(1, 3))
def test_equal_to_sets(db: None, trees: list[dict[str, bytes]], cut: int) -> None:
    """Any versions, weighed by sets of their bytes."""
    dataset = make_dataset(make_team())
    versions = [make_available_version(dataset, tree) for tree in trees]
    blobs = [set(tree.values()) for tree in trees]
    cut = min(cut, len(trees) - 1)
    mine, theirs = set().union(*blobs[:cut]), set().union(*blobs[cut:])
    chosen = Version.objects.filter(pk__in=[version.pk for version in versions[:cut]])
    others = Version.objects.filter(pk__in=[version.pk for version in versions[cut:]])
    assert weigh(chosen) == sum(map(len, mine))
    assert weigh_own(chosen, beside=others) == sum(map(len, mine - theirs))


def test_staged_files_beside_versions(team: Team) -> None:
    dataset: Dataset = make_dataset(team, "images")
    make_available_version(dataset, {"a": b"22"})
    version = make_version(dataset)
    stage_files(version, {"a": b"22", "b": b"333", "c": b"333"})
    assert weigh_staged(version.staged.all(), beside=Version.objects.available()) == 3
    assert weigh_staged(version.staged.none(), beside=Version.objects.none()) == 0
    assert weigh(Version.objects.none()) == 0
    actor = make_member(team)
    assert describe_dataset_removal(actor, dataset=dataset).open_count == 1
