"""Whether jobs can run here is said before one is submitted."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import typing_extensions

from datasets_app.runners.local import LocalRunner

MODERN = 'if [ "$1" = --version ]; then echo bubblewrap 0.8.0; exit; fi'
ROOT = Path(__file__).parents[2]


def test_it_works() -> None:
    runner = LocalRunner()
    assert runner.check() is None
    assert runner.check() is None


def test_a_missing_bubblewrap_names_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told = LocalRunner().check()
    assert told is not None
    assert "sudo apt install bubblewrap" in told
    assert "sudo dnf install bubblewrap" in told


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo bubblewrap 0.4.1", "this is bubblewrap 0.4.1"),
        (f"{MODERN}; echo bwrap: setting up uid map: Permission denied >&2; exit 1", "userns=0"),
        (f"{MODERN}; echo something odd >&2; exit 1", "something odd"),
    ],
)
def test_a_bubblewrap_that_does_not_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, expected: str
) -> None:
    program = tmp_path / "bwrap"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    told = LocalRunner().check()
    assert told is not None
    assert expected in told


@pytest.mark.skipif(os.geteuid() != 0, reason="every other test is this one already")
def test_an_ordinary_user_s_server(tmp_path: Path) -> None:
    """The other half of the sandbox: with a user namespace, and the server's own uid outside."""
    python = shutil.which("python3", path="/usr/bin")
    if python is None:
        pytest.skip("needs a Python that an ordinary user can start")
    folder = Path("/var/tmp") / f"flexai-test-{os.getpid()}"  # noqa: S108 - tmp_path is root's alone
    folder.mkdir()
    os.chown(folder, 23456, 23456)
    script = """
import os, sys
from pathlib import Path
from datasets_app.runners.base import Limits, Mount, RunSpec
from datasets_app.runners.local import LocalRunner
base = Path(sys.argv[1])
for name in ("output", "data"):
    (base / name).mkdir()
(base / "data" / "a").write_text("alpha")
runner = LocalRunner(stop_seconds=2)
assert runner.check() is None, runner.check()
command = '''id -u; cat /input/images/a; echo x > /input/images/a; chmod 777 /input/images/a; touch /x;
echo kept > kept
for i in 1 2 3 4 5 6 7 8 9; do sleep 20 & done; ls -d /proc/[0-9]* | wc -l; true'''
def run(command, **limits):
    spec = RunSpec(name="mine", command=("bash", "-c", command), output_dir=base / "output", log_path=base / "log",
                   mounts=(Mount("images", base / "data"),), limits=Limits(**limits))
    return runner.start(spec).wait(should_stop=lambda: False, heartbeat=lambda: None)
print(run(command))
print((base / "log").read_text(), (base / "output/kept").stat().st_uid, (base / "data/a").read_text())
print(run("head -c 90M /dev/zero > /tmp/x; sleep 20", memory_bytes=50 * 2**20).cause or run("exit 9"))
grow = "python3 -c 'x = bytearray(90 << 20); x[::4096] = bytes(len(x) // 4096); import time; time.sleep(20)'"
print(run(grow, memory_bytes=50 * 2**20).cause)
"""
    path = f"{ROOT}:{Path(typing_extensions.__file__).parent}"
    drop = ["setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups", "--inh-caps=-all"]
    try:
        done = subprocess.run(
            [*drop, python, "-c", script, str(folder)],
            capture_output=True,
            text=True,
            env={"PYTHONPATH": path, "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
            check=False,
        )
    finally:
        shutil.rmtree(folder)
    assert done.returncode == 0, done.stderr
    assert "exit_code=0" in done.stdout
    assert done.stdout.count("Read-only file system") == 3
    assert "23456 alpha" in done.stdout
    assert done.stdout.count("Killed for memory") == 2, done.stdout
