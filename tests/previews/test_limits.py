"""What a preview's process can't do: see the disk of the server, or go beyond its limits while it is busy asking."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets_app.previews.base import Ask, Budget, PreviewError
from datasets_app.previews.process import Worker, run_preview
from datasets_app.previews.sandbox import ROOT, Sandbox, sandboxed
from tests.previews.test_kinds import Bytes

# Asks for the same byte for ever, and with an argument keeps a MiB more each time.
GREEDY = """
import struct, sys
kept = []
_, length = struct.unpack(">cI", sys.stdin.buffer.read(5))
sys.stdin.buffer.read(length)
body = struct.pack(">IQQ", 0, 0, 1)
while True:
    sys.stdout.buffer.write(struct.pack(">cI", b"R", len(body)) + body)
    sys.stdout.buffer.flush()
    sys.stdin.buffer.read(6)
    if len(sys.argv) > 1:
        kept.append(bytearray(b"x" * 2**20))
"""


@contextlib.contextmanager
def greedy(*arguments: str) -> Iterator[Worker]:
    with subprocess.Popen(
        [sys.executable, "-c", GREEDY, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_worker_that_asks_without_end_is_stopped_at_its_time() -> None:
    began = time.monotonic()
    with pytest.raises(PreviewError, match="longer than 1 seconds"):
        run_preview("text", Bytes(b"x"), Ask("a"), budget=Budget(seconds=1), start=lambda *_: greedy())
    assert time.monotonic() - began < 3


def test_a_worker_that_asks_without_end_is_stopped_at_its_memory() -> None:
    limits = Budget(seconds=20, memory_bytes=200 * 2**20)
    with pytest.raises(PreviewError, match="more memory than 200 MiB"):
        run_preview("text", Bytes(b"x"), Ask("a"), budget=limits, start=lambda *_: greedy("keep"))


def seen(paths: list[Path], hidden: tuple[Path, ...] = ()) -> list[bool]:
    """Tell which paths a process in the sandbox sees."""
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    code = "import json, os, sys; print(json.dumps([os.path.exists(path) for path in sys.argv[1:]]))"
    command = sandboxed(Sandbox(hidden=hidden), ["-c", code, *map(str, paths)], memory_bytes=2**20)
    found: list[bool] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def test_the_disk_of_the_server_is_not_seen(tmp_path: Path) -> None:
    secret = Path.home() / ".profile"
    tree = [Path("/etc/passwd"), Path("/var/log"), secret, ROOT / "manage.py", tmp_path, ROOT / "datasets_app"]
    assert seen(tree) == [False] * 5 + [True]
    # Also where a folder is not of the usual ones.
    assert seen([Path("/usr/share"), Path("/usr/lib")], (Path("/usr/share"),)) == [True, True]
    assert seen([Path("/usr/share/doc")], (Path("/usr/share"),)) == [False]
