"""Retention rules: off by default, tried before they are set, and careful when they are applied."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from datasets_app import tasks
from datasets_app.errors import Conflict, Forbidden, Invalid, NotFound
from datasets_app.models import AuditEvent, Dataset, Job, JobDataset, RetentionRule, Role, Team, User, Version
from datasets_app.services import retention
from datasets_app.services.archiving import archive_dataset
from datasets_app.services.labels import set_label
from datasets_app.services.retention import Limits, apply_rules, dry_run, get_rule, set_rule
from datasets_app.services.trash import restore_version
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_user,
    make_version,
    page_client,
)

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]
URL = "/teams/vision/datasets/images/retention/"
API = "/api/v1/teams/vision/datasets/images/retention"


@pytest.fixture
def dataset(team: Team) -> Dataset:
    """Make five versions; the first has bytes of its own."""
    dataset = make_dataset(team, "images")
    for number in range(1, 6):
        files = {"shared": b"s" * 100} | ({"own": b"o" * 33} if number == 1 else {f"n{number}": b""})
        make_available_version(dataset, files)
    return dataset


@pytest.fixture(autouse=True)
def _ages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fifth version be 10 days old, the first 50; when one was sealed can't be changed in the database."""

    def kept(version: Version, place: int, limits: Limits) -> str:
        version.sealed_at = timezone.now() - timedelta(days=60 - 10 * version.number)
        return str(original(version, place, limits))

    original = vars(retention)["_kept"]
    monkeypatch.setattr(retention, "_kept", kept)


def left(dataset: Dataset) -> list[int]:
    return list(dataset.versions.available().order_by("number").values_list("number", flat=True))


def going(dataset: Dataset, actor: User, limits: Limits) -> list[int]:
    return [verdict.version.number for verdict in dry_run(actor, dataset=dataset, limits=limits).going]


def put(dataset: Dataset, actor: User, limits: Limits, *, is_on: bool = True) -> None:
    set_rule(actor, dataset=dataset, is_on=is_on, limits=limits)


def test_it_works(dataset: Dataset, writer: User) -> None:
    assert not get_rule(writer, dataset=dataset).is_on
    put(dataset, writer, Limits(keep_last=2), is_on=False)
    assert apply_rules() == 0, "off by default"
    put(dataset, writer, Limits(keep_last=2))
    tasks.apply_retention()
    assert left(dataset) == [4, 5]
    gone = dataset.versions.get(number=1)
    assert gone.deleted_at
    assert gone.deleted_by is None
    assert "a retention rule" in page_client(writer).get("/teams/vision/trash/").content.decode()
    assert AuditEvent.objects.filter(verb="deleted version", subject="images@1").exists()
    assert apply_rules() == 0


def test_it_is_applied_once_a_day(dataset: Dataset, writer: User) -> None:
    """What somebody restores stays out of the trash for the rest of the day at least."""
    put(dataset, writer, Limits(keep_last=2))
    assert apply_rules() == 3
    restore_version(writer, team="vision", dataset="images", number=3)
    tasks.apply_retention()
    assert left(dataset) == [3, 4, 5]
    put(dataset, writer, Limits(keep_last=3))
    assert apply_rules() == 0
    put(dataset, writer, Limits(keep_last=2), is_on=True)
    assert apply_rules() == 1, "a rule that was changed is applied anew"
    restore_version(writer, team="vision", dataset="images", number=3)
    RetentionRule.objects.update(applied_at=timezone.now() - timedelta(days=1))
    assert apply_rules() == 1


def test_what_is_kept(dataset: Dataset, writer: User) -> None:
    assert going(dataset, writer, Limits(keep_last=1)) == [4, 3, 2, 1]
    assert going(dataset, writer, Limits(older_than_days=35)) == [2, 1]
    assert going(dataset, writer, Limits(keep_last=4, older_than_days=35)) == [1]
    assert going(dataset, writer, Limits(older_than_days=1)) == [4, 3, 2, 1], "the newest always stays"
    set_label(writer, dataset=dataset, name="prod", version=dataset.versions.get(number=2))
    assert going(dataset, writer, Limits(keep_last=1)) == [4, 3, 1]
    assert going(dataset, writer, Limits(keep_last=1, keep_labelled=False)) == [4, 3, 2, 1]
    make_version(dataset, base=3)
    job = Job.objects.create(team=dataset.team, name="train", kind="training", command=["x"], created_by=writer)
    pinned = dataset.versions.get(number=4)
    JobDataset.objects.create(
        job=job,
        version=pinned,
        dataset_name="images",
        version_number=4,
        digest=f"sha256:{'0' * 64}",
        mount_name="images",
    )
    found = dry_run(writer, dataset=dataset, limits=Limits(keep_last=1))
    assert [verdict.version.number for verdict in found.going] == [1]
    assert {verdict.version.number: verdict.reason for verdict in found.verdicts} == {
        5: "the newest always stays",
        4: "the job train uses it",
        3: "@6, not sealed yet, starts from it",
        2: "has the label prod",
        1: "not among the last 1",
    }
    assert found.freed_size == 33
    put(dataset, writer, Limits(keep_last=1))
    assert apply_rules() == 1
    assert left(dataset) == [2, 3, 4, 5]


def test_a_label_that_is_set_meanwhile(dataset: Dataset, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    put(dataset, writer, Limits(keep_last=1))
    judged = retention.judge

    def judge(owner: Dataset, limits: Limits) -> list[retention.Verdict]:
        verdicts = judged(owner, limits)
        set_label(writer, dataset=owner, name="prod", version=owner.versions.get(number=1))
        return verdicts

    monkeypatch.setattr(retention, "judge", judge)
    assert apply_rules() == 3
    assert left(dataset) == [1, 5]


def test_a_rule_that_is_switched_off_meanwhile(dataset: Dataset, writer: User, monkeypatch: pytest.MonkeyPatch) -> None:
    put(dataset, writer, Limits(keep_last=1))
    judged = retention.judge

    def judge(owner: Dataset, limits: Limits) -> list[retention.Verdict]:
        verdicts = judged(owner, limits)
        put(owner, writer, limits, is_on=False)
        return verdicts

    monkeypatch.setattr(retention, "judge", judge)
    assert apply_rules() == 0


def test_an_archived_dataset_is_left_alone(dataset: Dataset, writer: User) -> None:
    put(dataset, writer, Limits(keep_last=1))
    archive_dataset(writer, team="vision", name="images")
    assert apply_rules() == 0
    dataset.refresh_from_db()
    with pytest.raises(Conflict):
        put(dataset, writer, Limits(keep_last=2))


def test_bad_input(team: Team, writer: User) -> None:
    dataset = make_dataset(team, "images")
    for limits in (Limits(), Limits(keep_last=0), Limits(older_than_days=-1), Limits(keep_last=10**6)):
        with pytest.raises(Invalid):
            put(dataset, writer, limits)
        with pytest.raises(Invalid):
            dry_run(writer, dataset=dataset, limits=limits)


def test_readers_and_strangers(dataset: Dataset, team: Team) -> None:
    reader, stranger = make_member(team, Role.READER), make_user()
    assert going(dataset, reader, Limits(keep_last=4)) == [1]
    with pytest.raises(Forbidden):
        put(dataset, reader, Limits(keep_last=1))
    for call in (lambda: put(dataset, stranger, Limits(keep_last=1)), lambda: get_rule(stranger, dataset=dataset)):
        with pytest.raises(NotFound):
            call()
    assert page_client(stranger).get(URL).status_code == 404
    page = page_client(reader).get(URL).content.decode()
    assert "No rule is set" in page
    assert "Save" not in page
    assert page_client(reader).post(URL, {"keep_last": 1}).status_code == 403
    assert api_client(stranger).get(API).status_code == 404


def test_the_api(dataset: Dataset, writer: User) -> None:
    client = api_client(writer)
    assert client.get(API).json() == {
        "is_on": False,
        "keep_last": None,
        "older_than_days": None,
        "keep_labelled": True,
        "updated_at": None,
        "updated_by": None,
    }
    trial = client.post(f"{API}/dry-run", {"keep_last": 4}, content_type="application/json").json()
    assert (trial["going_count"], trial["staying_count"], trial["freed_size"]) == (1, 4, 33)
    assert trial["items"][-1] == {
        "number": 1,
        "goes": True,
        "reason": "not among the last 4",
        "file_count": 2,
        "size": 133,
    }
    assert len(left(dataset)) == 5
    wrong = client.put(API, {"is_on": True}, content_type="application/json")
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "keep_last")
    answer = client.put(API, {"is_on": True, "older_than_days": 35}, content_type="application/json").json()
    assert (answer["is_on"], answer["updated_by"]) == (True, "wren")
    assert client.get(API).json() == answer
    assert apply_rules() == 2


def test_the_page(dataset: Dataset, writer: User) -> None:
    client = page_client(writer)
    page = client.get(URL).content.decode()
    assert "What this rule would do now" not in page
    page = client.post(URL, {"keep_last": "4", "keep_labelled": "on", "step": "try"}).content.decode()
    assert "Would go" in page
    assert "not among the last 4" in page
    assert not get_rule(writer, dataset=dataset).keep_last, "only tried"
    wrong = client.post(URL, {"is_on": "on"})
    assert wrong.status_code == 422
    assert "Say how many versions to keep" in wrong.content.decode()
    page = client.post(URL, {"keep_last": "4", "is_on": "on"}, follow=True).content.decode()
    assert "it is applied once a day" in page
    assert "Would go" in page
    assert not get_rule(writer, dataset=dataset).keep_labelled
    assert URL in client.get("/teams/vision/datasets/images/").content.decode()
