"""Measure versions of a million files: what differs between two, and what only one of them holds.

    python -m benchmarks.diff [--files 1000000]      also a part of `python -m benchmarks`

Each database gets three versions: the first, one with 100 files changed in 100 directories, and one with a file changed
in each of the 1,000 directories, which share no directory with the first. Figures are medians.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import rows
from benchmarks.report import Goal, describe_machine, goal_table, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

HERE = Path(__file__).resolve().parent
REPEATS = 5
MOST_SECONDS = 1.0
MOST_GROWTH_MIB = 100
DATABASES = ("SQLite", "PostgreSQL")
FEW = "diff: 100 files in 100 directories"
Found = dict[str, dict[str, Any]]


def build(files: int) -> dict[str, Any]:
    """Make the three versions."""
    from django.db import connection, transaction

    from datasets_app.models import StagedFile, User, Version
    from datasets_app.models.bulk import insert_rows
    from datasets_app.services.versions import create_version, run_seal
    from datasets_app.store.paths import to_key

    rows.stage(files)
    rows.seal(files)
    each = files // rows.DIRECTORIES
    actor = User.objects.get(username="bench")
    dataset = Version.objects.select_related("dataset__team").get(dataset__name="many", number=1).dataset

    def derive(directories: Iterable[int]) -> None:
        version = create_version(actor, dataset=dataset, base=1)
        columns = ("version_id", "path", "size", "blob_id", "offset", "error")
        changed = (
            (version.pk, to_key(f"set-{d:04}/sample-{d * each + 5:07}.bin"), rows.BLOB_BYTES, d + 1, 0, "")
            for d in directories
        )
        with transaction.atomic():
            insert_rows(StagedFile, columns, changed)
            Version.objects.filter(pk=version.pk).update(status="pending")
        run_seal(version.pk)

    derive(range(0, rows.DIRECTORIES, rows.DIRECTORIES // 100))
    derive(range(rows.DIRECTORIES))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return {}


def measure(_files: int) -> dict[str, Any]:
    """Time the services, and see how much the process grew."""
    from datasets_app.models import User, Version
    from datasets_app.services.comparing import compare_versions
    from datasets_app.services.weighing import weigh, weigh_own

    actor = User.objects.get(username="bench")
    found = Version.objects.filter(dataset__name="many").select_related("dataset__team", "root")
    first, few, every = found.order_by("number")
    peak = _Peak()
    peak.start()
    figures = {}
    for title, new, count in (("100 files in 100 directories", few, 100), ("a file in every directory", every, None)):

        def compare(new: Version = new) -> int:
            tallies = compare_versions(actor, old=first, new=new).tallies
            return tallies["changed"].files if tallies else -1

        if count is not None and compare() != count:
            sys.exit(f"{compare()} changes, not {count}")
        figures[f"diff: {title}"] = _seconds(compare)
    for title, version in (("100 files", few), ("a file in every directory", every)):
        mine, others = found.filter(pk=version.pk), found.exclude(pk=version.pk)
        figures[f"own bytes: {title}"] = _seconds(lambda mine=mine, others=others: weigh_own(mine, beside=others))  # type: ignore[misc]
    figures["stored bytes of one version"] = _seconds(lambda: weigh(found.filter(pk=first.pk)))
    return {"figures": figures, "growth_mib": peak.growth()}


def _seconds(what: Callable[[], object]) -> float:
    def once() -> float:
        started = time.perf_counter()
        what()
        return time.perf_counter() - started

    once()
    return median(once() for _ in range(REPEATS))


def _anonymous_mib() -> float:
    """Read the memory that is the process's own: SQLite maps up to 128 MiB of its file, which the kernel can drop."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


class _Peak(threading.Thread):
    """Look every few milliseconds how much memory the process has."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.first = self.most = _anonymous_mib()
        self.done = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        while not self.done.wait(0.005):
            self.most = max(self.most, _anonymous_mib())

    def growth(self) -> float:
        """Stop; return the growth in MiB."""
        self.done.set()
        self.join()
        return self.most - self.first


def _run(step: str, files: int, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.diff", f"--step={step}", f"--files={files}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{step} failed: {done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure_diffs(scratch: Path, *, files: int, databases: Sequence[str] = DATABASES) -> Found:
    """Build and measure on each database, below the folder `scratch`; return what was measured by database."""
    from tests.postgresql import start_postgresql

    found = {}
    for database in databases:
        folder = scratch / f"diff-{database.lower()}"
        folder.mkdir()
        environment = {**os.environ, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "flexai_site.settings"}
        if database == "PostgreSQL":
            environment["DATABASE_URL"] = start_postgresql()
        _run("build", files, environment)
        found[database] = _run("measure", files, environment)
    return found


def diff_report(found: Found, *, files: int) -> list[str]:
    """Write what was measured as Markdown."""
    names = list(next(iter(found.values()))["figures"])
    lines = [[name, *(f"{one['figures'][name]:.2f}" for one in found.values())] for name in names]
    lines.append(["growth of the process, MiB", *(f"{one['growth_mib']:.0f}" for one in found.values())])
    return [f"### Versions of {files:,} files, seconds", "", *table(["", *found], lines), ""]


def diff_goals(found: Found) -> list[Goal]:
    """Say what is to be reached: a diff of few files is quick and takes no memory, however large the versions are."""
    return [
        goal
        for database, one in found.items()
        for goal in (
            Goal(f"{database}: diff of 100 files, s", one["figures"][FEW], "at most", MOST_SECONDS),
            Goal(f"{database}: growth of the process, MiB", one["growth_mib"], "at most", MOST_GROWTH_MIB),
        )
    ]


def report(files: int, databases: Sequence[str]) -> None:
    """Measure, and print Markdown."""
    cache = HERE / ".cache"
    cache.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="diff-", dir=cache))
    try:
        found = measure_diffs(scratch, files=files, databases=databases)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print("\n".join([describe_machine(), "", *diff_report(found, files=files), *goal_table(diff_goals(found))]))


def main() -> None:
    """Report, or run one step in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--only", choices=DATABASES)
    parser.add_argument("--step", choices=["build", "measure"])
    chosen = parser.parse_args()
    if chosen.step is None:
        report(chosen.files, [chosen.only] if chosen.only else DATABASES)
        return
    import django

    django.setup()
    print(json.dumps((build if chosen.step == "build" else measure)(chosen.files)))


if __name__ == "__main__":
    main()
