"""`flexai://` read by those that people use: fsspec, pandas, pyarrow, DuckDB, datasets; and the Python client."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

from flexai_cli import Client, FlexaiError
from flexai_cli.filesystem import FlexaiFileSystem
from tests.servers import LiveApplication

pytestmark = [
    pytest.mark.server,
    # The readers' own.
    pytest.mark.filterwarnings("default"),
]
ROWS = 3000


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    """Do what the package's entry point does where it is installed."""
    fsspec.register_implementation("flexai", FlexaiFileSystem, clobber=True)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Some rows of two years."""
    return pd.DataFrame(
        {"id": range(ROWS), "year": [2023 + n % 2 for n in range(ROWS)], "text": [f"t{n}" for n in range(ROWS)]}
    )


@pytest.fixture(scope="module")
def client(
    shared_application: LiveApplication, tmp_path_factory: pytest.TempPathFactory, frame: pd.DataFrame
) -> Iterator[Client]:
    """Give a client, and a dataset `tables` with a partitioned folder, a CSV file and something large."""
    folder = tmp_path_factory.mktemp("tables")
    pq.write_to_dataset(pa.Table.from_pandas(frame), folder / "parquet", partition_cols=["year"])
    frame.to_csv(folder / "rows.csv", index=False)
    (folder / "large.bin").write_bytes(os.urandom(10 * 2**20))
    names = {"FLEXAI_URL": shared_application.url, "FLEXAI_TOKEN": shared_application.token}
    names |= {"FLEXAI_TEAM": "", "FLEXAI_CACHE_DIR": str(folder.with_name("cache"))}
    with pytest.MonkeyPatch.context() as patch, Client(shared_application.url, shared_application.token) as client:
        for name, value in names.items():
            patch.setenv(name, value)
        assert client.push("tables", folder).version == 1
        yield client


def test_fsspec(client: Client) -> None:
    system = fsspec.filesystem("flexai")
    assert system.ls("flexai://", detail=False) == ["lab"]
    assert "lab/tables" in system.ls("lab", detail=False)
    assert {row["name"]: row["type"] for row in system.ls("lab/tables@1")} == {
        "lab/tables@1/parquet": "directory",
        "lab/tables@1/large.bin": "file",
        "lab/tables@1/rows.csv": "file",
    }
    assert system.isdir("lab/tables@1/parquet")
    assert system.isfile("flexai://lab/tables/rows.csv")
    assert system.glob("flexai://lab/tables@1/**/*.csv") == ["lab/tables@1/rows.csv"]
    assert not system.exists("lab/tables@1/missing")
    assert not system.exists("lab/tables@9/rows.csv")
    assert not system.exists("lab/missing/rows.csv")
    assert system.size("lab/tables@1/large.bin") == 10 * 2**20
    assert system.modified("lab/tables@1/rows.csv").year >= 2024
    for ask in (system.open, system.ls):
        with pytest.raises(FileNotFoundError):
            ask("lab/tables@1/missing")
    with pytest.raises(NotImplementedError):
        system.open("lab/tables@1/new", "wb")


def test_ranges(client: Client, shared_application: LiveApplication) -> None:
    system = fsspec.filesystem("flexai")
    path = "lab/tables@1/large.bin"
    whole = system.cat_file(path)
    assert len(whole) == 10 * 2**20
    assert system.cat_file(path, 5, 15) == whole[5:15]
    assert system.cat_file(path, -10) == whole[-10:]
    assert system.cat_file(path, 7, 7) == b""
    assert system.cat_file(path, len(whole) + 5, len(whole) + 9) == b""
    before = shared_application.log.count("files/large.bin")
    with client.open("tables@1", "large.bin", block_size=2**20) as file:
        file.seek(9 * 2**20)
        assert file.read(100) == whole[9 * 2**20 :][:100]
        assert file.read(100) == whole[9 * 2**20 + 100 :][:100]
        file.seek(0)
        assert file.read(10) == whole[:10]
    # One question for the size, and one for each block, not for each read.
    assert shared_application.log.count("files/large.bin") - before <= 4


def test_a_folder_of_more_than_one_page(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{n:02}.txt" for n in range(7)]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    client.push("paged", tmp_path)
    monkeypatch.setattr("flexai_cli.filesystem.PAGE_ROWS", 3)
    system = FlexaiFileSystem(client=client, skip_instance_cache=True)
    assert system.ls("lab/paged@1", detail=False) == [f"lab/paged@1/{name}" for name in names]


def test_a_forked_process_has_a_connection_of_its_own(client: Client) -> None:
    system = fsspec.filesystem("flexai")
    path = "lab/tables@1/large.bin"
    whole = system.cat_file(path)
    pid = os.fork()
    if pid == 0:
        # Nothing of pytest may run in the child.
        try:
            os._exit(0 if system.cat_file(path, 5, 100_000) == whole[5:100_000] else 1)
        finally:
            os._exit(2)
    for _ in range(5):
        assert system.cat_file(path, 7, 200_000) == whole[7:200_000]
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_it_can_be_pickled(client: Client) -> None:
    system = pickle.loads(pickle.dumps(fsspec.filesystem("flexai")))  # noqa: S301
    assert system.isfile("lab/tables@1/rows.csv")


def test_pandas(client: Client, frame: pd.DataFrame) -> None:
    assert pd.read_csv("flexai://lab/tables@1/rows.csv").equals(frame)


def test_pyarrow_dataset(client: Client, frame: pd.DataFrame) -> None:
    system = fsspec.filesystem("flexai")
    found = pads.dataset("lab/tables@1/parquet", filesystem=system, partitioning="hive", format="parquet")
    table = found.to_table(filter=pads.field("year") == 2024, columns=["id"])
    assert sorted(table["id"].to_pylist()) == [n for n in range(ROWS) if n % 2]
    assert found.count_rows() == ROWS


def test_duckdb(client: Client, frame: pd.DataFrame) -> None:
    import duckdb

    with duckdb.connect() as database:
        database.register_filesystem(fsspec.filesystem("flexai"))
        files = "['flexai://lab/tables@1/parquet/*/*.parquet']"
        query = f"SELECT year, count(*) FROM read_parquet({files}, hive_partitioning=true)"
        rows: list[Any] = database.sql(f"{query} GROUP BY year ORDER BY year").fetchall()
    assert [(int(year), count) for year, count in rows] == [(2023, ROWS // 2), (2024, ROWS // 2)]


def test_load_dataset(client: Client, tmp_path: Path) -> None:
    from datasets import load_dataset

    found = load_dataset(
        "csv", data_files="flexai://lab/tables@1/rows.csv", split="train", cache_dir=str(tmp_path), streaming=False
    )
    assert (len(found), found[5]["text"]) == (ROWS, "t5")
    streamed = load_dataset("csv", data_files="flexai://lab/tables@1/rows.csv", split="train", streaming=True)
    assert next(iter(streamed))["text"] == "t0"


def test_client(client: Client, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"bytes")
    made = client.push("by-client", {"deep/name": tmp_path / "f", "other": str(tmp_path / "f")}, message="m")
    assert (made.status, made.file_count) == ("created", 2)
    assert [row.path for row in client.files("by-client")] == ["deep/name", "other"]
    assert client.pull("by-client@1", tmp_path / "out").fetched_count == 2
    assert (tmp_path / "out/deep/name").read_bytes() == b"bytes"
    assert [row["number"] for row in client.versions("by-client")] == [1]
    assert client.version("by-client")["message"] == "m"
    assert client.datasets.update("by-client", tags=["x"])["tags"] == ["x"]
    assert [row["name"] for row in client.datasets.list(tag="x")] == ["by-client"]
    assert client.datasets.create("empty-one", description="d")["description"] == "d"
    client.datasets.delete("empty-one")
    with pytest.raises(FlexaiError):
        client.datasets.get("empty-one")
    client.datasets.restore("empty-one")
    assert client.datasets.get("empty-one")["status"] == "empty"
