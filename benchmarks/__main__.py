"""`python -m benchmarks` (`make bench`): measure, print a report in Markdown, keep it in benchmarks/results/."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import command, diff, imports, previews
from benchmarks.folders import Shape, clear
from benchmarks.report import Goal, describe_machine, goal_table
from benchmarks.rows import measure_rows, rows_goals, rows_report
from benchmarks.transfers import LARGE, SMALL, measure_transfers, transfer_goals, transfer_report

HERE = Path(__file__).resolve().parent
CACHE = HERE / ".cache"
RESULTS = HERE / "results"
PARTS = ("transfers", "command", "memory", "imports", "rows", "diff", "previews")


def main() -> None:
    """Run what was asked for; the exit code is 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="one run on a fifth of the data: for trends, not for goals"
    )
    parser.add_argument("--runs", type=int, help="runs of each transfer, of which the median counts (default 3)")
    parser.add_argument(
        "--only",
        choices=PARTS,
        help="measure one part only",
    )
    chosen = parser.parse_args()
    runs = chosen.runs or (1 if chosen.quick else 3)
    part = 5 if chosen.quick else 1
    CACHE.mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=CACHE))
    lines = [f"Measured on {describe_machine()} Medians of {runs}; client and server on the same machine.", ""]
    goals: list[Goal] = []
    shapes = [Shape(SMALL, 10_000 // part, 20_000), Shape(LARGE, 4, 500 * 10**6 // part)]
    try:
        if chosen.only in {None, "transfers"}:
            results = measure_transfers(CACHE, scratch, runs=runs, shapes=shapes)
            lines += transfer_report(results)
            goals += transfer_goals(results)
            clear(scratch)
        if chosen.only in {None, "command"}:
            many = Shape(command.MANY, 100_000 // part, 20_000)
            pushed = command.measure_command(
                CACHE, scratch, runs=chosen.runs or (1 if chosen.quick else 5), shapes=shapes, many=many
            )
            lines += command.command_report(pushed)
            goals += command.command_goals(pushed)
            clear(scratch)
        for name, measure in _OTHERS.items():
            if chosen.only in {None, name}:
                told, wanted = measure(scratch, part, runs)
                lines += told
                goals += wanted
                clear(scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    lines += ["### Goals", "", *goal_table(goals)]
    text = "\n".join(lines)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}.md").write_text(text)
    sys.exit(0 if chosen.quick or all(goal.met for goal in goals) else 1)


def _measure_memory(scratch: Path, part: int, _runs: int) -> tuple[list[str], list[Goal]]:
    count = 1_000_000 // part
    most, seconds = command.measure_memory(CACHE, scratch, files=count)
    line = f"Push of {count:,} files of 100 bytes: {seconds:.0f} s, {most / 2**20:.0f} MiB of memory."
    return [line, ""], [command.memory_goal(count, most)]


def _measure_imports(scratch: Path, part: int, runs: int) -> tuple[list[str], list[Goal]]:
    remote = [Shape(imports.SMALL, 20_000 // part, 100_000), Shape(imports.LARGE, 4, 2**30 // part)]
    found = imports.measure_imports(CACHE, scratch, runs=runs, shapes=remote)
    return imports.import_report(found), imports.import_goals(found)


def _measure_diffs(scratch: Path, part: int, _runs: int) -> tuple[list[str], list[Goal]]:
    files = 1_000_000 // part
    differing = diff.measure_diffs(scratch, files=files)
    return diff.diff_report(differing, files=files), diff.diff_goals(differing)


def _measure_rows(scratch: Path, part: int, _runs: int) -> tuple[list[str], list[Goal]]:
    layers = measure_rows(scratch, files=1_000_000 // part)
    return rows_report(layers), rows_goals(layers)


def _measure_previews(scratch: Path, part: int, _runs: int) -> tuple[list[str], list[Goal]]:
    copies = max(2, previews.COPIES // part)
    looks = previews.measure_previews(scratch, huge_bytes=previews.HUGE_BYTES // part, copies=copies)
    return previews.previews_report(looks), previews.previews_goals(looks)


_OTHERS: dict[str, Callable[[Path, int, int], tuple[list[str], list[Goal]]]] = {
    "memory": _measure_memory,
    "imports": _measure_imports,
    "rows": _measure_rows,
    "previews": _measure_previews,
    "diff": _measure_diffs,
}


if __name__ == "__main__":
    main()
