"""What is found out about a version's files after the seal: on its page, in the API, once for each tree."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.utils import timezone
from PIL import Image
from pytest_django.fixtures import Settings

from datasets_app.models import Directory, Role, Summary, Version
from datasets_app.previews.base import PreviewError
from datasets_app.services import looking, previewing, summaries
from datasets_app.services.summaries import VersionSummary, describe_version, forget_summaries, run_summaries
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

pytestmark = [pytest.mark.data_layer, pytest.mark.django_db(transaction=True)]

URL = "/teams/vision/datasets/pets/versions/1/"
API = f"/api/v1{URL}summary"


def picture(shade: int, **options: Any) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (40 + shade, 30), (shade, 0, 0)).save(sink, "PNG", **options)
    return sink.getvalue()


def table(columns: dict[str, list[Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


FILES = {
    **{f"train/cat/{number}.png": picture(number) for number in range(20)},
    "train/dog/a.png": picture(100),
    "train/dog/cut.png": picture(101)[:-30],
    "test/cat/known.png": picture(3),
    "rows/part-1.parquet": table({"id": [1, 2], "label": ["a", "b"]}),
    "rows/part-2.parquet": table({"id": [3], "label": ["c"]}),
    "rows/part-3.parquet": table({"id": ["4"]}),
    "people.csv": b"name,mail\nAda,ada@lab.org\nBo,bo@lab.org\n",
    "config/.env": b"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMQLE\n",
    "nul.txt": b"",
    ".DS_Store": b"\0\0\0\1Bud1",
}


def make(files: dict[str, bytes] | None = None) -> Version:
    return make_available_version(make_dataset(make_team("vision"), "pets"), FILES if files is None else files)


def finish() -> None:
    for _ in range(50):
        if not Summary.objects.active().exists():
            return
        run_summaries()
    pytest.fail("no end")


def found(version: Version) -> dict[str, list[tuple[str, str]]]:
    summary = describe(version)
    assert summary.status == "finished", summary.error
    return {finding.kind: finding.places for finding in summary.findings}


def describe(version: Version) -> VersionSummary:
    summary = describe_version(make_member(version.dataset.team, Role.READER), version=version)
    assert summary is not None
    return summary


def test_it_works() -> None:
    version = make()
    # Available before anybody has looked into it.
    assert describe(version).status == "waiting"
    finish()
    summary, findings = describe(version), found(version)
    assert (summary.looked, summary.file_count, summary.progress) == (len(FILES) - 1, len(FILES), 100)
    figures = summary.figures
    assert {name: count for name, count, _ in figures["modalities"]} == {"image": 23, "table": 4, "other": 2, "text": 1}
    assert figures["images"]["count"] == 23
    assert figures["images"]["least"] == [40, 30]
    assert (figures["tables"]["count"], figures["tables"]["rows"]) == (4, 6)
    assert findings["secrets"] == [("config/.env", "AWS access key in line 1")]
    assert findings["unreadable"] == [("train/dog/cut.png", "The picture ends too early.")]
    assert findings["personal"] == [("people.csv", "2 x e-mail address")]
    assert findings["leakage"] == [("test/cat/known.png", "the same as train/cat/3.png")]
    assert findings["schemas"] == [
        ("rows/part-3.parquet", "lacks label, id is string, not int64; unlike rows/part-1.parquet")
    ]
    assert findings["balance"] == [("train/dog", "2 files, where the largest class has 21")]
    assert findings["duplicates"] == [("test/cat/known.png", "1 more with the same bytes")]
    assert findings["empty"] == [("nul.txt", "")]
    assert findings["names"] == [("nul.txt", "a reserved name on Windows")]
    assert findings["litter"] == [(".DS_Store", "")]
    assert "licence" in findings


def test_folders_beside_the_splits_are_no_classes() -> None:
    files = {
        f"{split}/{name}/{n}.txt": b"x%d" % n for split in ("train", "val") for name in ("cat", "dog") for n in (1, 2)
    }
    version = make(files | {"docs/figures/1.txt": b"f", "docs/dog/1.txt": b"d", "train/bird/1.txt": b"b"})
    finish()
    assert found(version)["balance"] == [("train/bird", "not in val")]


def test_the_page_leads_to_the_files() -> None:
    version = make()
    client = page_client(make_member(version.dataset.team, Role.READER))
    assert "waits for a worker" in client.get(URL).content.decode()
    assert "every 2s" in client.get(f"{URL}summary/").content.decode()
    finish()
    page = client.get(URL).content.decode()
    assert f'<a href="{URL}files/config/.env">config/.env</a>' in page
    assert f'<a href="{URL}tree/train/dog">train/dog</a>' in page
    assert "AKIAIOSFODNN7EXAMQLE" not in page
    part = client.get(f"{URL}summary/").content.decode()
    assert "every 2s" not in part
    assert "<html" not in part
    assert "kinds of warnings" in client.get("/teams/vision/datasets/pets/").content.decode().replace("\n", "")


def test_the_api_has_the_same() -> None:
    version = make()
    client = api_client(make_member(version.dataset.team, Role.READER))
    answer = client.get(API).json()
    assert (answer["status"], answer["pictures"], answer["findings"]) == ("waiting", None, [])
    finish()
    answer = client.get(API).json()
    assert (answer["status"], answer["progress"], answer["file_count"]) == ("finished", 100, len(FILES))
    assert answer["tables"]["schemas"][0]["columns"] == [
        {"name": "id", "type": "int64"},
        {"name": "label", "type": "string"},
    ]
    assert answer["pictures"]["smallest"] == [40, 30]
    by_kind = {finding["kind"]: finding for finding in answer["findings"]}
    assert by_kind["empty"]["count"] == 1
    assert "AKIAIOSFODNN7EXAMQLE" not in json.dumps(answer)


def test_stranger_and_open_version() -> None:
    version = make()
    stranger = make_user()
    assert api_client(stranger).get(API).status_code == 404
    assert page_client(stranger).get(f"{URL}summary/").status_code == 404
    make_version(version.dataset)
    client = api_client(make_member(version.dataset.team))
    assert client.get(API.replace("versions/1", "versions/2")).status_code == 409
    page = page_client(make_member(version.dataset.team))
    assert page.get(URL.replace("versions/1", "versions/2") + "summary/").status_code == 409


def test_the_same_tree_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    make()
    finish()
    monkeypatch.setattr(summaries, "count_files", pytest.fail)
    second = make_available_version(make_dataset(make_team("speech"), "again"), FILES)
    assert Summary.objects.count() == 1
    assert describe(second).status == "finished"


def test_it_goes_on_where_a_worker_left_it(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make()
    monkeypatch.setattr(looking, "BATCH_FILES", 4)
    seen: list[str] = []
    real = looking.glance_at

    def glance_at(files: Any) -> Any:  # noqa: ANN401
        seen.extend(file.path for file in files)
        return real(files)

    monkeypatch.setattr(summaries, "glance_at", glance_at)
    # A turn of no time is one batch.
    run_summaries(seconds=0)
    row = Summary.objects.get()
    assert (row.status, row.phase, row.position) == ("running", "look", 5)
    summary = describe(version)
    # What is known so far is shown; what nobody can know yet is not.
    assert summary.is_active
    assert "empty" in {finding.kind for finding in summary.findings}
    assert "licence" not in {finding.kind for finding in summary.findings}
    # A worker that died in the midst of a turn: its lease runs out.
    Summary.objects.update(lease_token="6f1e8d3c-0f5c-4d5f-9d0b-1f1d3f1f0c11", lease_until=timezone.now())
    finish()
    assert sorted(seen) == sorted(path for path, data in FILES.items() if data)
    assert found(version)["secrets"]


def test_of_many_files_some_are_looked_into(settings: Settings) -> None:
    settings.SUMMARY_FILES = 10
    version = make()
    finish()
    summary = describe(version)
    assert summary.is_sample
    assert 5 <= summary.looked <= 10
    # Names and sizes are those of all.
    assert sum(line[1] for line in summary.figures["modalities"]) == len(FILES)


def test_a_file_that_kills_its_process_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make({"a.txt": b"1", "kill.txt": b"2", "c.txt": b"3", "LICENSE": b"MIT"})
    real = previewing.survey

    def survey(reader: Any, ask: Any) -> Any:  # noqa: ANN401
        if "kill.txt" in ask.options["files"]:
            raise PreviewError("The decoder crashed on this file (SIGSEGV).")
        return real(reader, ask)

    monkeypatch.setattr(looking, "survey", survey)
    finish()
    assert found(version) == {"unreadable": [("kill.txt", "The decoder crashed on this file (SIGSEGV).")]}


def test_a_machine_that_can_look_into_nothing_does_not_blame_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make()

    def survey(_reader: object, _ask: object) -> None:
        raise PreviewError("The decoder gave up on this file.")

    monkeypatch.setattr(looking, "survey", survey)
    finish()
    summary = describe(version)
    assert summary.status == "failed"
    assert "unreadable" not in {finding.kind for finding in summary.findings}
    page = page_client(make_member(version.dataset.team)).get(URL).content.decode()
    assert "The files could not be looked into." in page


def test_workers_that_die_one_after_the_other_are_the_end() -> None:
    version = make()
    Summary.objects.update(attempts=summaries.MOST_DEATHS)
    run_summaries()
    assert describe(version).status == "failed"


def test_summaries_of_older_rules_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    version = make({"a.txt": b"1"})
    finish()
    monkeypatch.setattr(summaries, "EDITION", summaries.EDITION + 1)
    assert describe(version).status == "waiting"
    finish()
    assert describe(version).status == "finished"


def test_those_of_removed_trees_are_forgotten() -> None:
    make({"a.txt": b"1"})
    assert forget_summaries() == 0
    Summary.objects.create(digest=b"x" * 32)
    assert forget_summaries() == 1
    assert Summary.objects.count() == 1
    # One whose tree went away before its turn is dropped.
    Summary.objects.update(digest=b"y" * 32)
    run_summaries()
    assert not Summary.objects.exists()
    assert Directory.objects.exists()
