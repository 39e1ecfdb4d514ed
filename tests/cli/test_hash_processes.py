"""Many small files are hashed by processes of their own, with the same outcome as without."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from flexai_cli import hash_processes
from flexai_cli.cache import Cache
from flexai_cli.chunks import Stat
from flexai_cli.folder import Folder
from flexai_cli.hash_process import Asked
from flexai_cli.hash_processes import HashProcesses
from flexai_cli.progress import Progress
from flexai_cli.sources import Node
from tests.store.naive import digest_of

FILES = {f"folder{number % 9}/é{number}": b"%d" % number for number in range(300)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(hash_processes, "WORTH_FILES", 0)
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    return tmp_path


@pytest.fixture
def processes() -> Iterator[HashProcesses]:
    made = HashProcesses(2)
    yield made
    made.close()
    assert children() == []


def children() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if "flexai_cli.hash_process" in one.cmdline()]


def asked(folder: Path) -> list[Asked]:
    return [(str(folder / path), Stat.of((folder / path).stat())) for path in FILES]


def right() -> list[bytes]:
    return [hashlib.sha256(data).digest() for data in FILES.values()]


def test_it_works(folder: Path, processes: HashProcesses) -> None:
    files = asked(folder)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: processes.hash(files), range(8)))
    assert found == [right()] * 8
    assert 1 <= len(children()) <= 2


def test_few_files_are_not_worth_a_process(
    folder: Path, processes: HashProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hash_processes, "WORTH_FILES", len(FILES))
    assert processes.hash(asked(folder)) == right()
    assert children() == []
    assert processes.hash(asked(folder)) == right()
    assert len(children()) == 1


def test_a_whole_folder(folder: Path) -> None:
    root = Folder(Node(folders=[str(folder)]), (), Cache(None), Progress()).hash()
    assert root is not None
    assert f"sha256:{root.digest.hex()}" == digest_of(FILES)
    assert children() == []


def test_what_changed_or_vanished_is_said(folder: Path, processes: HashProcesses) -> None:
    files = asked(folder)
    (folder / "folder0/é0").write_bytes(b"changed")
    (folder / "folder1/é1").unlink()
    found = processes.hash(files)
    assert found[:2] == ["The file changed while it was sent.", "No such file or directory."]
    assert found[2:] == right()[2:]


def test_a_killed_process_is_done_without(folder: Path, processes: HashProcesses) -> None:
    files = asked(folder)
    for _ in range(4):
        assert processes.hash(files) == right()
        for child in children():
            child.kill()
            child.wait(10)
    assert processes.hash(files) == right()


def test_no_python_to_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert HashProcesses(2).hash(asked(folder)) == right()
