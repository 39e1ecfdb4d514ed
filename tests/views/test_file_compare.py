"""Two files side by side, and SQL over tables of a version: pages and API."""

from __future__ import annotations

import io

import pytest
from django.test import Client
from django.urls import reverse

from datasets_app.models import Role, Version
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    page_client,
)
from tests.previews.test_kinds import parquet, picture

pytestmark = pytest.mark.django_db
OLD = {
    "notes.txt": b"one\ntwo\nthree\n",
    "rows.csv": b"id,label\n1,cat\n2,dog\n",
    "same.txt": b"equal\n",
    "a.png": picture("RGB", (20, 10)),
    "train/0.parquet": parquet(10),
    "train/1.parquet": parquet(20),
}
NEW = OLD | {
    "notes.txt": b"one\n2 <b>\nthree\n",
    "rows.csv": b"id,label\n1,cat\n2,ox\n3,hen\n",
    "a.png": picture("RGB", (22, 10)),
}


@pytest.fixture
def versions() -> list[Version]:
    dataset = make_dataset(make_team(), "animals")
    return [make_available_version(dataset, files) for files in (OLD, NEW)]


@pytest.fixture
def reader(versions: list[Version]) -> Client:
    return page_client(make_member(versions[0].dataset.team, Role.READER))


def address(version: Version, path: str, page: str = "file_compare") -> str:
    return reverse(page, args=(version.dataset.team.name, "animals", version.number, path))


def test_it_works(versions: list[Version], reader: Client) -> None:
    text = reader.get(address(versions[0], "notes.txt"), {"with": "2"}).content.decode()
    assert "<del>two</del>" in text
    assert "<ins>2 &lt;b&gt;</ins>" in text
    table = reader.get(address(versions[0], "rows.csv"), {"with": "2"}).content.decode()
    assert "<del>dog</del><ins>ox</ins>" in table
    assert "1 added" in table
    pictures = reader.get(address(versions[0], "a.png"), {"with": "2"}).content.decode()
    assert pictures.count("?part=picture") == 2
    assert "Both are the same bytes" in reader.get(address(versions[0], "same.txt"), {"with": "2"}).content.decode()


def test_a_file_is_compared_with_the_version_before(versions: list[Version], reader: Client) -> None:
    answer = reader.get(address(versions[1], "notes.txt"))
    assert answer.status_code == 302
    assert answer["Location"] == address(versions[0], "notes.txt") + "?with=2"
    assert "Choose what to compare it with" in reader.get(address(versions[0], "notes.txt")).content.decode()


def test_the_pages_lead_there(versions: list[Version], reader: Client) -> None:
    team = versions[0].dataset.team.name
    assert address(versions[0], "notes.txt") in reader.get(address(versions[0], "notes.txt", "file_detail")).text
    changes = reader.get(reverse("version_diff", args=(team, "animals", 1, 2))).content.decode()
    assert f"{address(versions[0], 'notes.txt')}?with=2" in changes


def test_another_file_and_one_that_is_not_there(versions: list[Version], reader: Client) -> None:
    found = reader.get(address(versions[0], "notes.txt"), {"with": "1", "other": "same.txt"}).content.decode()
    assert "<ins>equal</ins>" in found
    missing = reader.get(address(versions[0], "notes.txt"), {"with": "2", "other": "gone.txt"})
    assert missing.status_code == 200
    assert "There is no gone.txt" in missing.content.decode()


def test_strangers_see_nothing(versions: list[Version]) -> None:
    stranger = page_client(make_user())
    for page in (
        address(versions[0], "notes.txt"),
        reverse("version_sql", args=(versions[0].dataset.team.name, "animals", 1)),
    ):
        assert stranger.get(page, {"with": "2"}).status_code == 404


def test_over_the_api(versions: list[Version]) -> None:
    team = versions[0].dataset.team
    client = api_client(make_member(team, Role.READER))
    start = f"/api/v1/teams/{team.name}/datasets/animals/versions/1"
    found = client.get(f"{start}/compare/rows.csv", {"to": "2"}).json()
    assert found["form"] == "table"
    assert found["data"]["counts"] == [["changed", 1], ["added", 1], ["removed", 0]]
    query = {"files": "train/*.parquet", "sql": "SELECT count(*) AS n FROM data"}
    answer = client.post(f"{start}/sql", query, content_type="application/json").json()
    assert (answer["files"], answer["rows"]) == (["train/0.parquet", "train/1.parquet"], [["30"]])
    assert answer["columns"][0]["name"] == "n"
    refused = client.post(f"{start}/sql", query | {"files": "*.xyz"}, content_type="application/json")
    assert refused.status_code == 422
    assert "No table" in refused.json()["errors"][0]["detail"]
    stranger = api_client(make_user())
    assert stranger.get(f"{start}/compare/rows.csv", {"to": "2"}).status_code == 404


def test_sql_over_many_tables(versions: list[Version], reader: Client) -> None:
    page = reverse("version_sql", args=(versions[0].dataset.team.name, "animals", 1))
    empty = reader.get(page).content.decode()
    assert "Nothing asked yet" in empty
    answer = reader.get(page, {"files": "train/*", "sql": "SELECT label, count(*) FROM data GROUP BY 1 ORDER BY 1"})
    assert '<td class="num">15</td>' in answer.content.decode()
    assert "2 tables" in answer.content.decode()
    wrong = reader.get(page, {"files": "train/*", "sql": "SELECT nothing FROM data"}).content.decode()
    assert "Binder Error" in wrong
    assert "No table of" in reader.get(page, {"files": "nothing*"}).content.decode()


def test_an_answer_is_not_kept_for_other_bytes(versions: list[Version], reader: Client) -> None:
    sink = io.BytesIO(parquet(10))
    assert sink.getvalue() == OLD["train/0.parquet"]
    other = make_available_version(versions[0].dataset, {**OLD, "train/1.parquet": parquet(25)})
    page = reverse("version_sql", args=(other.dataset.team.name, "animals", other.number))
    assert ">35<" in reader.get(page, {"files": "train/*", "sql": "SELECT count(*) AS n FROM data"}).content.decode()
