"""Run real sandboxes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datasets_app.runners.base import Limits, Mount, Outcome, RunSpec
from datasets_app.runners.local import LocalRunner


@dataclass
class Bench:
    """A place to run one job in, and what came of it."""

    folder: Path
    runner: LocalRunner

    @property
    def output(self) -> Path:
        """Where the job's output is kept."""
        return self.folder / "output"

    @property
    def log(self) -> str:
        """What the job printed."""
        return (self.folder / "log.txt").read_text(errors="replace")

    def spec(self, *command: str, **changes: Any) -> RunSpec:
        """Describe a run."""
        self.output.mkdir(exist_ok=True)
        mounts = tuple(Mount(name, path) for name, path in changes.pop("mounts", {}).items())
        return RunSpec(
            name=changes.pop("name", "job-1"),
            command=command,
            output_dir=self.output,
            log_path=self.folder / "log.txt",
            mounts=mounts,
            limits=Limits(**changes.pop("limits", {})),
            **changes,
        )

    def run(self, *command: str, should_stop: Callable[[], bool] = lambda: False, **changes: Any) -> Outcome:
        """Run a command to its end."""
        return self.runner.start(self.spec(*command, **changes)).wait(should_stop=should_stop, heartbeat=lambda: None)

    def shell(self, script: str, **changes: Any) -> Outcome:
        """Run a shell script to its end."""
        return self.run("bash", "-c", script, **changes)

    def python(self, script: str, **changes: Any) -> Outcome:
        """Run a Python script to its end."""
        return self.run("python3", "-c", script, **changes)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Return a sandbox on this machine."""
    return Bench(tmp_path, LocalRunner(stop_seconds=2))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Make a materialised version, as jobs get it."""
    folder = tmp_path / "mounts" / "version"
    (folder / "日本" / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("alpha")
    (folder / "日本" / "sub" / "übung.bin").write_bytes(bytes(range(256)))
    (folder / "empty").touch()
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder


def living(mark: str) -> list[int]:
    """Numbers of processes that have `mark` in their command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "cmdline").read_bytes() and (folder / "stat").read_text().split()[2] != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def supervise_elsewhere(spec: RunSpec) -> subprocess.Popen[str]:
    """Start a run from another process, which prints the run's state once it runs."""
    script = (
        "import json,sys; from pathlib import Path; from datasets_app.runners.base import *;"
        "from datasets_app.runners.local import LocalRunner;"
        "plan=json.loads(sys.argv[1]);"
        "run=LocalRunner().start(RunSpec(name='far',command=tuple(plan['command']),output_dir=Path(plan['output']),"
        "log_path=Path(plan['log'])));"
        "print(json.dumps(dict(run.state)),flush=True);"
        "run.wait(should_stop=lambda: False, heartbeat=lambda: None)"
    )
    plan = {"command": spec.command, "output": str(spec.output_dir), "log": str(spec.log_path)}
    return subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(plan)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
