"""Files made by other people's software, as users bring them: by the real tools, and what packages ship."""

from __future__ import annotations

import contextlib
import io
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from datasets_app.previews.base import PreviewError
from datasets_app.previews.registry import recognise
from tests.e2e.specimens import arrays, models
from tests.previews.test_kinds import page, texts

ROWS = [[1, "cät", 4.5, "2026-01-02"], [2, 'a "dog", big', None, "2026-03-04"]]


def frame() -> pd.DataFrame:
    return pd.DataFrame(ROWS, columns=["id", "label", "weight", "day"])


def run(*command: str, folder: Path, given: bytes = b"") -> None:
    """Run a tool of the system; skip the test where it is missing."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    subprocess.run(command, cwd=folder, input=given, check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("codec", ["uncompressed", "snappy", "gzip", "zstd"])
def test_parquet_by_duckdb(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.parquet"
    with duckdb.connect() as connection:
        rows = "SELECT range AS n, 'row ' || range AS label, range % 2 = 0 AS even, [range, 1] AS list FROM range(5000)"
        connection.execute(f"COPY ({rows}) TO '{path}' (FORMAT parquet, COMPRESSION {codec}, ROW_GROUP_SIZE 2048)")
    shown = page(path.read_bytes(), "a.parquet", page="30")
    assert shown.data["rows"][0] == ["2900", "row 2900", "True", "[2900, 1]"]


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.tsv", "a.jsonl", "a.json", "a.feather", "a.parquet"]
)
def test_tables_by_pandas(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if ".csv" in name or ".tsv" in name:
        frame().to_csv(path, index=False, sep="\t" if name.endswith("tsv") else ",")
    elif name.endswith("jsonl"):
        frame().to_json(path, orient="records", lines=True)
    elif name.endswith("json"):
        frame().to_json(path, orient="records")
    elif name.endswith("feather"):
        frame().to_feather(path)
    else:
        frame().to_parquet(path)
    shown = page(path.read_bytes(), name)
    assert [column["name"] for column in shown.data["columns"]] == ["id", "label", "weight", "day"]
    assert [row[1] for row in shown.data["rows"]] == ["cät", 'a "dog", big']
    assert shown.data["rows"][1][2] in {None, "nan"}


def shipped() -> list[Path]:
    """Sound files that SciPy tests itself with: of all bit depths, byte orders, and damaged ones."""
    about = find_spec("scipy")
    folders = [Path(folder) for folder in about.submodule_search_locations or ()] if about is not None else []
    return sorted(path for folder in folders for path in (folder / "io" / "tests" / "data").glob("*.wav"))


def test_sound_that_scipy_ships() -> None:
    found = shipped()
    if not found:
        pytest.skip("SciPy came without its tests")
    shown = []
    for path in found:
        # Big-endian and cut files may be refused, in words; any other exception fails the test.
        if recognise(path.read_bytes()[:4096], path.name) is not None:
            with contextlib.suppress(PreviewError):
                shown.append(page(path.read_bytes(), path.name))
    assert len(shown) * 2 > len(found)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("a.tar", "tar -cf a.tar in"),
        ("a.tar.gz", "tar -czf a.tar.gz in"),
        ("a.tar.xz", "tar -cJf a.tar.xz in"),
        ("old.tar", "tar --format=v7 -cf old.tar in"),
        ("gnu.tar", "tar --format=gnu -cf gnu.tar in"),
        ("a.zip", "zip -qr a.zip in"),
    ],
    ids=["tar", "gz", "xz", "v7", "gnu", "zip"],
)
def test_archives_by_the_tools(tmp_path: Path, name: str, command: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "words.txt").write_text("hello\n")
    (folder / f"{'long' * 22}.txt").write_text("long\n")
    run(*command.split(), folder=tmp_path)
    data = (tmp_path / name).read_bytes()
    assert {entry[0] for entry in page(data, name).data["entries"]} == {"in/words.txt", f"in/{'long' * 22}.txt"}
    assert page(data, name, member="in/words.txt").data["data"]["lines"] == [[["", "hello"]]]


def test_encrypted_by_openssl(tmp_path: Path) -> None:
    run("openssl", "enc", "-aes-256-cbc", "-pbkdf2", "-k", "x", "-out", "a.enc", folder=tmp_path, given=b"secret")
    assert dict(page((tmp_path / "a.enc").read_bytes(), "a.enc").facts)["Format"] == "openssl enc"


def test_text_in_other_encodings() -> None:
    for encoding in ("utf-16", "utf-8-sig", "cp1252"):
        assert texts(page("Grüße an alle Leser\n".encode(encoding), "a.txt")) == ["Grüße an alle Leser"], encoding


def test_rows_of_excel_as_csv() -> None:
    sink = io.StringIO()
    frame().to_csv(sink, sep=";", decimal=",", index=False)
    shown = page(sink.getvalue().encode("utf-8-sig"), "a.csv")
    assert shown.data["columns"][0]["name"] == "id"
    assert shown.data["rows"][0][:2] == ["1", "cät"]


def test_models_by_the_packages_of_their_formats(tmp_path: Path) -> None:
    made = models(tmp_path) | arrays()
    shown = page(made["models/tiny.gguf"], "tiny.gguf")
    about, tensors = (section["rows"] for section in shown.data["sections"][:2])
    assert ["general.name", "Tiny llama"] in about
    assert ["llama.context_length", "512"] in about
    assert [row[:3] for row in tensors] == [["output.weight", "64 x 4", "F16"], ["token_embd.weight", "64 x 4", "Q8_0"]]
    assert dict(shown.facts)["Parameters"] == "512"
    shown = page(made["models/tiny.onnx"], "tiny.onnx")
    said = str(shown.facts) + str(shown.data)
    for word in ("onnx.helper", "MatMul", "Relu", "weights", "8 x 4", "ai.onnx 21"):
        assert word in said, word
    shown = page(made["arrays/model.safetensors"], "model.safetensors", item="encoder.weight")
    assert dict(shown.facts)["Parameters"] == "144"
    assert shown.data["sections"][1]["rows"][1][:3] == ["1", "8", "9"]
