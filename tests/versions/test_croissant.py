"""The Croissant document of a version, judged and read by mlcroissant."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import Client

from datasets_app.models import Role, Version
from datasets_app.services import croissant
from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team, make_user
from tests.previews.test_kinds import picture

pytestmark = pytest.mark.django_db


def table(**columns: list[Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


FILES = {
    "README.md": b"---\nlicense: cc-by-4.0\n---\n# Animals\n",
    "animals.csv": b"id,label,weight\n1,cat,4.5\n2,dog,30\n",
    "train/0.parquet": table(id=[1], tags=[["a", "b"]]),
    "train/1.parquet": table(id=[2], tags=[["c"]]),
    "photos/gr\u00fc\u00dfe 1.png": picture("RGB", (4, 4)),
    "LICENSE": b"words\n",
}


@pytest.fixture
def version() -> Version:
    dataset = make_dataset(make_team(), "animals", description="Animals and\nwhat they weigh.", tags=["raw", "german"])
    return make_available_version(dataset, FILES)


@pytest.fixture
def reader(version: Version) -> Client:
    return api_client(make_member(version.dataset.team, Role.READER))


def address(version: Version) -> str:
    return f"/api/v1/teams/{version.dataset.team.name}/datasets/animals/versions/{version.number}/croissant.json"


def judge(document: dict[str, Any], **options: Any) -> Any:  # noqa: ANN401 - an mlcroissant.Dataset
    """Let mlcroissant read it; it must find nothing wrong and nothing missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlcroissant

        dataset = mlcroissant.Dataset(jsonld=document, **options)
    issues = dataset.metadata.ctx.issues
    assert not issues.errors, issues.report()
    return dataset


def test_it_works(version: Version, reader: Client) -> None:
    answer = reader.get(address(version))
    assert answer["Content-Type"] == "application/ld+json"
    assert "animals-1.croissant.json" in answer["Content-Disposition"]
    document = json.loads(answer.content)
    judge(document)
    assert document["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert document["license"] == "cc-by-4.0"
    assert document["identifier"] == version.digest
    assert document["keywords"] == ["german", "raw"]
    files = {one["name"]: one for one in document["distribution"] if one["@type"] == "cr:FileObject"}
    assert set(files) == set(FILES)
    for path, one in files.items():
        assert one["contentUrl"].startswith("http://testserver/api/v1/")
        assert reader.get(one["contentUrl"].removeprefix("http://testserver")).getvalue() == FILES[path]
    first, second = document["recordSet"]
    assert [(field["name"], field["dataType"]) for field in first["field"]] == [
        ("id", "sc:Integer"),
        ("label", "sc:Text"),
        ("weight", "sc:Float"),
    ]
    assert second["field"][1]["isArray"]
    assert second["field"][0]["source"]["fileSet"] == {"@id": "train-parquet-files"}


def test_records_can_be_read_by_it(version: Version, reader: Client, tmp_path: Path) -> None:
    (tmp_path / "animals.csv").write_bytes(FILES["animals.csv"])
    document = json.loads(reader.get(address(version)).content)
    dataset = judge(document, mapping={"animals.csv": tmp_path / "animals.csv"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rows = list(dataset.records("animals-records"))
    assert [row["animals-records/weight"] for row in rows] == [4.5, 30.0]
    assert [row["animals-records/label"] for row in rows] == [b"cat", b"dog"]


def test_a_large_version_names_its_manifest(version: Version, reader: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.setattr(croissant, "MOST_FILES", 3)
    document = json.loads(reader.get(address(version)).content)
    judge(document)
    manifest = document["distribution"][0]
    listed = reader.get(address(version).replace("croissant.json", "manifest")).getvalue()
    assert manifest["sha256"] == hashlib.sha256(listed).hexdigest()
    assert {one["includes"] for one in document["distribution"][1:]} >= {"**/*.parquet", "**/*.png"}


def test_odd_names(reader: Client, version: Version) -> None:
    odd = make_available_version(
        version.dataset,
        {"a b/c?d#e.csv": b'"x y","","a/b"\n1,2,3\n', "empty.csv": b"", "broken.parquet": b"PAR1no", "%41.txt": b"x"},
    )
    judge(json.loads(reader.get(address(odd)).content))


def test_strangers_get_nothing(version: Version) -> None:
    assert api_client(make_user()).get(address(version)).status_code == 404
    assert Client().get(address(version)).status_code == 401
