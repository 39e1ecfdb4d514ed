"""What the command remembers between runs, also while several of it run at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from flexai_cli.cache import Cache, Unfinished
from flexai_cli.chunks import Chunk, Stat
from tests.cli.conftest import Flexai, write_files
from tests.servers import ROOT
from tests.store.naive import digest_of

HOLDS = """
import sys
from pathlib import Path
from flexai_cli.cache import Cache
from flexai_cli.digest import Root
from flexai_cli.chunks import Chunk, Stat

cache = Cache(Path(sys.argv[1]))
for number in range(100):
    about = Stat(1, 1, 1, number)
    chunk = Chunk(f"/folder/{number}", "", ["a"], ["a"], [about], [bytes(32)], is_all=True)
    cache.keep(chunk, [0])
    cache.keep_root(chunk, Root(bytes(32), 1, 1))
print("ready", flush=True)
sys.stdin.read()
cache.close()
"""


def remember(folder: Path, number: int) -> None:
    cache = Cache(folder)
    cache.begin(f"push {number}", Unfinished("key", number))
    cache.close()


def test_a_push_that_lasts_does_not_block_others(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        started = time.monotonic()
        remember(tmp_path, 1)
        assert time.monotonic() - started < 5
        process.communicate("")
        assert process.returncode == 0
    cache = Cache(tmp_path)
    assert cache.unfinished("push 1") == Unfinished("key", 1)
    kept = Chunk("/folder/99", "", ["a"], ["a"], [Stat(1, 1, 1, 99)], [None], is_all=True)
    cache.fill(kept, whole=True)
    assert kept.root is not None
    cache.close()


def test_many_begin_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(6) as pool:
        list(pool.map(remember, [tmp_path] * 30, range(30)))
    cache = Cache(tmp_path)
    assert [cache.unfinished(f"push {number}") for number in range(30)] == [Unfinished("key", n) for n in range(30)]
    cache.close()


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b""])
def test_a_damaged_cache_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "digests.sqlite3").write_bytes(content)
    remember(tmp_path, 1)
    cache = Cache(tmp_path)
    assert cache.unfinished("push 1") is not None
    cache.close()


@pytest.mark.server
def test_another_name_in_the_dataset_is_another_digest(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "a", {"x": b"bytes"})
    old = time.time() - 100
    os.utime(folder / "x", (old, old))
    # The times say only after a while that a file is not being written.
    time.sleep(0.2)
    made = flexai.json("dataset", "push", "renamed", "--file", f"{folder}/x=y")
    assert made["digest"] == digest_of({"y": b"bytes"})
    assert flexai.json("dataset", "push", "renamed", "--file", f"{folder}/x=y")["status"] == "unchanged"
    again = flexai.json("dataset", "push", "renamed", "--file", folder / "x")
    assert (again["status"], again["digest"]) == ("created", digest_of({"x": b"bytes"}))
