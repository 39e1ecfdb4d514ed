"""Measure the `flexai` command, push and pull, beside other tools, on the same bytes, in one run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.folders import Shape, clear, hash_folder, make_folder
from benchmarks.peers import Cost, Dvc, Rclone, cpu_of, install_peer, rclone, run_measured
from benchmarks.report import Goal, table
from benchmarks.transfers import DVC, HASHING, LARGE, RCLONE, SMALL, Results
from tests.servers import ROOT, LiveApplication, end_group, free_port, serve_application

PUSH = "`flexai dataset push`"
PULL = "`flexai dataset pull`"
UNCHANGED = "`flexai dataset push`, nothing changed, nothing remembered"
REMEMBERED = "`flexai dataset push`, nothing changed"
RCLONE_PULL = "`rclone copy` from `rclone serve s3`"
MLFLOW = "`mlflow` log_artifacts through its server"
MANY, MILLION = "many", "million"
MIB = 2**20
# Its server answers a request for each file; once is enough to see that.
MLFLOW_RUNS = 1


@dataclass
class Command:
    """The real command, signed in to a server of its own, with a memory of its own."""

    application: LiveApplication
    home: Path

    def run(self, *arguments: str | Path, forget: bool = False) -> tuple[Cost, int]:
        """Run it once; return what client and server took, and the client's most memory in bytes."""
        if forget:
            shutil.rmtree(self.home / "cache", ignore_errors=True)
        environment = {
            **os.environ,
            "FLEXAI_URL": self.application.url,
            "FLEXAI_TOKEN": self.application.token,
            "FLEXAI_TEAM": self.application.team,
            "FLEXAI_CONFIG_DIR": str(self.home / "config"),
            "FLEXAI_CACHE_DIR": str(self.home / "cache"),
            "PYTHONPATH": str(ROOT),
            # Of an installed command, the modules are compiled.
            "PYTHONPYCACHEPREFIX": str(self.home / "compiled"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        before = cpu_of(self.application.process.pid)
        started = time.perf_counter()
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "flexai_cli", *map(str, arguments), "--json"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - started
            if process.returncode:
                output.seek(0)
                sys.exit(f"flexai {arguments[1]} failed: {output.read().decode()}")
        cpu = used.ru_utime + used.ru_stime + cpu_of(self.application.process.pid) - before
        return Cost(seconds, cpu), used.ru_maxrss * 1024


@contextmanager
def our_command(place: Path) -> Iterator[Command]:
    """Start an empty server, and a command for it."""
    with serve_application(place / "flexai") as application:
        application.bootstrap()
        command = Command(application, place / "home")
        command.run("dataset", "list")
        yield command


@contextmanager
def mlflow(cache: Path, place: Path) -> Iterator[Path]:
    """Start MLflow's server with its own store of artifacts; give the Python that has the client."""
    python = install_peer(cache, "mlflow").with_name("python")
    place.mkdir()
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [str(python), "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}", "--workers=2"]
    command += [f"--backend-store-uri=sqlite:///{place}/mlflow.db", f"--artifacts-destination={place}/artifacts"]
    with (place / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        script = f"import mlflow; mlflow.set_tracking_uri({address!r}); mlflow.set_experiment('bench')"
        for _ in range(60):
            if subprocess.run([str(python), "-c", script], capture_output=True, check=False).returncode == 0:
                break
            time.sleep(1)
        os.environ["MLFLOW_TRACKING_URI"] = address
        yield python
    finally:
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        end_group(server)


def measure_command(cache: Path, scratch: Path, *, runs: int, shapes: list[Shape], many: Shape) -> Results:
    """Push and pull every folder, `runs` times, always in the same order and into new places."""
    folders = [(shape, make_folder(cache, shape)) for shape in shapes]
    many_folder = make_folder(cache, many)
    dvc_program = install_peer(cache, "dvc")
    results = Results([*shapes, many])
    for run in range(1, runs + 1):
        print(f"run {run} of {runs}", file=sys.stderr)
        place = scratch / f"run-{run}"
        place.mkdir()
        with our_command(place) as command:
            for shape, folder in folders:
                results.add(shape, HASHING, Cost(*hash_folder(folder)))
                _push(results, PUSH, command, shape, folder, forget=True)
                os.sync()
                cost, _ = command.run("dataset", "pull", shape.name, place / "pulled" / shape.name)
                results.add(shape, PULL, cost)
            command.run("dataset", "push", many.name, "--file", many_folder)
            results.add(many, HASHING, Cost(*hash_folder(many_folder)))
            _push(results, UNCHANGED, command, many, many_folder, forget=True)
            _push(results, REMEMBERED, command, many, many_folder)
        with rclone(place) as peer:
            for shape, folder in folders:
                _measure_rclone(results, peer, shape, folder, place)
        dvc = Dvc(dvc_program, place)
        for shape, folder in folders:
            os.sync()
            results.add(shape, DVC, dvc.bring_in(folder))
        if run <= MLFLOW_RUNS:
            _measure_mlflow(results, cache, place / "mlflow", *folders[0])
        # Five runs would take 60 GB.
        clear(place)
    return results


def _push(  # noqa: PLR0913
    results: Results, who: str, command: Command, shape: Shape, folder: Path, *, forget: bool = False
) -> None:
    os.sync()
    cost, _ = command.run("dataset", "push", shape.name, "--file", folder, forget=forget)
    results.add(shape, who, cost)


def _measure_rclone(results: Results, peer: Rclone, shape: Shape, folder: Path, place: Path) -> None:
    os.sync()
    results.add(shape, RCLONE, peer.bring_in(folder))
    os.sync()
    results.add(shape, RCLONE_PULL, peer.fetch(folder.name, place / "rclone-pulled" / shape.name))


def _measure_mlflow(results: Results, cache: Path, place: Path, shape: Shape, folder: Path) -> None:
    """Measure the one call; its imports, which take seconds, are not counted."""
    script = (
        "import mlflow, sys, time; mlflow.set_experiment('bench'); mlflow.start_run(); started = time.perf_counter(); "
        "mlflow.log_artifacts(sys.argv[1]); print(time.perf_counter() - started)"
    )
    with mlflow(cache, place) as python:
        os.sync()
        cost, printed = run_measured([[str(python), "-c", script, str(folder)]])
    seconds = next(line for line in printed.splitlines() if line.replace(".", "", 1).isdigit())
    results.add(shape, MLFLOW, Cost(float(seconds), cost.cpu_seconds))


def measure_memory(cache: Path, scratch: Path, *, files: int) -> tuple[int, float]:
    """Push so many tiny files; return the client's most memory in bytes, and the seconds that it took."""
    folder = make_folder(cache, Shape(MILLION, files, 100))
    place = scratch / "memory"
    place.mkdir()
    with our_command(place) as command:
        cost, most = command.run("dataset", "push", MILLION, "--file", folder)
    return most, cost.seconds


def command_report(results: Results) -> list[str]:
    """Markdown: one table for each folder."""
    lines = []
    for shape in results.shapes:
        rows = []
        for who in (PUSH, RCLONE, DVC, MLFLOW, PULL, RCLONE_PULL, UNCHANGED, REMEMBERED, HASHING):
            if (shape.name, who) not in results.costs:
                continue
            seconds = results.seconds(shape, who)
            speed = [f"{shape.count / seconds:,.1f}", f"{shape.total / seconds / 1e6:,.0f}"]
            rows.append([who, f"{seconds:.2f}", f"{results.cpu_seconds(shape, who):.2f}", *speed])
        lines += [f"### The command: {shape.title}", ""]
        lines += [*table(["", "seconds", "CPU seconds", "files/s", "MB/s"], rows), ""]
    return lines


def command_goals(results: Results) -> list[Goal]:
    """Compare with what has to hold."""
    goals = []
    for shape in results.shapes:
        if shape.name not in {SMALL, LARGE}:
            continue
        least = {RCLONE: 5.0, DVC: 5.0, MLFLOW: 10.0} if shape.name == SMALL else {RCLONE: 2.5, DVC: 1.25}
        ours = results.seconds(shape, PUSH)
        for who, bound in least.items():
            goals.append(
                Goal(f"push of {shape.title}: faster than {who}", results.seconds(shape, who) / ours, "at least", bound)
            )
        pulled = results.seconds(shape, RCLONE_PULL) / results.seconds(shape, PULL)
        goals.append(Goal(f"pull of {shape.title}: faster than {RCLONE_PULL}", pulled, "at least", 1))
    many = results.shapes[-1]
    again, remembered = results.seconds(many, UNCHANGED), results.seconds(many, REMEMBERED)
    hashing = again / results.seconds(many, HASHING)
    goals.append(Goal(f"push of unchanged {many.title}, time relative to hashing", hashing, "at most", 1.3))
    goals.append(Goal(f"push of unchanged {many.title}: faster the second time", again / remembered, "at least", 5))
    return goals


def memory_goal(files: int, most: int) -> Goal:
    """Compare the client's memory with what it may take."""
    return Goal(f"push of {files:,} files: the client's memory in MiB", most / MIB, "at most", 200)
