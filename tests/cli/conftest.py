"""The real command, as a process of its own, and a real server that the tests of a run share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.servers import ROOT, LiveApplication, serve_with_account

SECONDS = 120
# PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which the next program then does not get.
DROP_RIGHTS = """
import ctypes, os, sys
if os.geteuid() == 0:
    assert [ctypes.CDLL(None).prctl(24, right, 0, 0, 0) for right in (1, 2)] == [0, 0]
os.execv(sys.executable, [sys.executable, "-m", "flexai_cli", *sys.argv[1:]])
"""


@dataclass(frozen=True)
class Flexai:
    """Runs the command with a login, settings and a cache of its own."""

    home: Path
    url: str
    token: str
    team: str = "lab"
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the command."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FLEXAI_")}
        ours = {
            "FLEXAI_URL": self.url,
            "FLEXAI_TOKEN": self.token,
            "FLEXAI_TEAM": self.team,
            "FLEXAI_CONFIG_DIR": str(self.home / "config"),
            "FLEXAI_CACHE_DIR": str(self.home / "cache"),
            "FLEXAI_PATIENCE": "30",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            "COLUMNS": "200",
        }
        return {name: value for name, value in (kept | ours | dict(self.more)).items() if value}

    def start(
        self, *arguments: str | Path, cwd: Path | None = None, limits: Mapping[int, int] | None = None
    ) -> subprocess.Popen[str]:
        """Start the command; `limits` are those of the system for its process (resource.RLIMIT_*)."""
        preset = "".join(f"resource.setrlimit({kind}, ({limit}, {limit})); " for kind, limit in (limits or {}).items())
        program = ["-c", f"import resource; {preset}from flexai_cli.entry import main; main()"]
        return subprocess.Popen(
            [sys.executable, *(program if limits else ["-m", "flexai_cli"]), *map(str, arguments)],
            env=self.environment,
            cwd=cwd or self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *arguments: str | Path, code: int = 0, cwd: Path | None = None, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end, and check its exit code."""
        process = self.start(*arguments, cwd=cwd)
        out, err = process.communicate(stdin, timeout=SECONDS)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}{err}"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def unprivileged(self, *arguments: str | Path, code: int) -> str:
        """Run the command without root's right to read everything, where the tests run as root."""
        done = subprocess.run(
            [sys.executable, "-c", DROP_RIGHTS, *map(str, arguments)],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
        )
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def json(self, *arguments: str | Path, code: int = 0, cwd: Path | None = None) -> Any:  # noqa: ANN401
        """Run the command with --json; return what it printed."""
        return json.loads(self.run(*arguments, "--json", code=code, cwd=cwd).stdout)


@pytest.fixture(scope="session")
def shared_application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApplication]:
    """Run one application for all tests that neither stop it nor mind what others left in it."""
    folder = tmp_path_factory.mktemp("cli") / "application"
    # The stores that it imports from are servers of the tests.
    with serve_with_account(folder, ALLOWED_SOURCE_NETWORKS="127.0.0.0/8") as application:
        yield application


@pytest.fixture
def flexai(shared_application: LiveApplication, tmp_path: Path) -> Flexai:
    """Give the command, signed in as an admin of the team `lab`."""
    return make_flexai(shared_application, tmp_path)


def make_flexai(application: LiveApplication, tmp_path: Path) -> Flexai:
    """Return the command for a server."""
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return Flexai(home, application.url, application.token, application.team)


def write_files(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Lay out files; return the folder."""
    for path, data in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return folder


def read_files(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
