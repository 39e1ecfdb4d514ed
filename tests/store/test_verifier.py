"""The stand-alone verifier: a program of one file that agrees with the published vectors, and finds what differs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Mapping
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.factories import api_client, make_available_version, make_dataset, make_member, make_team
from tests.store.vectors import ACCEPTED, REFUSED, VERSIONS

PROGRAM = Path(__file__).parents[2] / "static" / "flexai_verify.py"
FILES = {"a/b.txt": b"one", "a/c.txt": b"two", "top": b""}


def load() -> ModuleType:
    spec = spec_from_file_location("flexai_verify", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


verifier = load()


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return folder


def manifest(folder: Path, files: Mapping[str, bytes]) -> Path:
    lines = [
        json.dumps({"path": path, "size": len(content), "sha256": sha256(content).hexdigest()})
        for path, content in files.items()
    ]
    target = folder / "manifest.ndjson"
    target.write_text("\n".join(lines) + "\n", "utf-8")
    return target


def verify(*arguments: str | Path) -> int:
    return int(verifier.main([str(item) for item in arguments]))


def digest_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert verify(folder) == 0
    return capsys.readouterr().out.splitlines()[0]


def test_it_works_by_itself(tmp_path: Path) -> None:
    """Without this project, or any other package, on the path."""
    _, files, digest = VERSIONS[3]
    write(tmp_path, files)
    command = [sys.executable, "-I", "-S", str(PROGRAM), str(tmp_path), digest]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [digest, "5 files, 10 bytes", "It is as it should be."]


@pytest.mark.parametrize(("name", "files", "digest"), VERSIONS, ids=[name for name, _, _ in VERSIONS])
def test_the_vectors(
    name: str, files: dict[str, bytes], digest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in" / "no files" / "count").mkdir(parents=True)
    folder = write(tmp_path / "in", files)
    assert digest_of(folder, capsys) == digest, name
    assert verify("--manifest", manifest(tmp_path, files), digest) == 0
    assert capsys.readouterr().out.splitlines()[0] == digest
    assert verify(folder, digest, "--manifest", tmp_path / "manifest.ndjson") == 0


@pytest.mark.parametrize("path", ACCEPTED)
def test_paths_that_can_be(path: str) -> None:
    line = json.dumps({"path": path, "size": 0, "sha256": sha256().hexdigest()})
    assert set(verifier.read_manifest([line])) == {unicodedata.normalize("NFC", path)}


@pytest.mark.parametrize(("path", "why"), REFUSED, ids=[f"{number}" for number in range(len(REFUSED))])
def test_paths_that_cannot_be(path: str, why: str) -> None:
    line = json.dumps({"path": path, "size": 0, "sha256": sha256().hexdigest()})
    with pytest.raises(verifier.CannotTellError):
        verifier.manifest_digest(verifier.read_manifest([line]))


def test_what_differs_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = manifest(tmp_path, FILES | {"gone": b"1"})
    folder = write(tmp_path / "in", FILES)
    (folder / "a/b.txt").write_bytes(b"0ne")
    (folder / "a/c.txt").write_bytes(b"longer")
    (folder / "more").write_bytes(b"")
    assert verify(folder, "--manifest", wanted) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "4 files, 9 bytes"
    assert lines[3:] == [
        "changed: a/b.txt (other bytes, of the same size)",
        "changed: a/c.txt (6 bytes, not 3)",
        "not in the manifest: more",
        "missing: gone",
    ]
    assert verify(folder, f"sha256:{'0' * 64}") == 1
    assert f"It should be sha256:{'0' * 64}." in capsys.readouterr().out


def test_a_manifest_of_another_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "in", FILES)
    digest = digest_of(folder, capsys)
    other = manifest(tmp_path, {"a": b""})
    assert verify(folder, digest, "--manifest", other) == 1
    assert "another version's manifest" in capsys.readouterr().out


@pytest.mark.django_db
def test_a_manifest_that_was_downloaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the server writes it, whatever the order and the characters of its paths."""
    files = FILES | {"ä/ö.txt": b"umlauts", 'a b/quote"d': b"odd", "z/" + "long" * 50: b"x" * 3000}
    version = make_available_version(make_dataset(make_team("lab"), "images"), files)
    client = api_client(make_member(version.dataset.team, "reader"))
    answer = client.get("/api/v1/teams/lab/datasets/images/versions/1/manifest")
    assert answer.status_code == 200
    downloaded = tmp_path / "manifest.ndjson"
    downloaded.write_bytes(answer.getvalue())
    folder = write(tmp_path / "in", files)
    assert verify(folder, "--manifest", downloaded) == 0
    assert version.digest in capsys.readouterr().out
    (folder / "top").write_bytes(b"other")
    assert verify(folder, "--manifest", downloaded) == 1
    assert "top" in capsys.readouterr().out


def test_links_are_followed_but_not_round_and_round(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write(tmp_path / "in", FILES)
    digest = digest_of(folder, capsys)
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "a").symlink_to(folder / "a")
    (linked / "top").symlink_to(folder / "top")
    assert digest_of(linked, capsys) == digest
    (linked / "loop").symlink_to(linked)
    assert verify(linked) == 2
    assert "a link to a directory above it" in capsys.readouterr().err


def test_what_cannot_be_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty, pipe = tmp_path / "empty", tmp_path / "pipe"
    empty.mkdir()
    pipe.mkdir()
    os.mkfifo(pipe / "fifo")
    broken = tmp_path / "broken"
    for text in ("", "{}", "no json", '{"path": "a", "size": 1, "sha256": "00"}'):
        broken.write_text(text)
        assert verify("--manifest", broken) == 2
    assert verify(empty) == 2
    assert verify(pipe) == 2
    assert verify(tmp_path / "nowhere") == 2
    assert verify(empty, "sha256:short") == 2
    assert verify() == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_deep_folder(tmp_path: Path) -> None:
    """Of as many levels as a path has room for."""
    path = "/".join(["d"] * 1999 + ["f"])
    digest = verifier.manifest_digest({path: verifier.File(0, sha256().hexdigest())})
    assert digest.file_count == 1
