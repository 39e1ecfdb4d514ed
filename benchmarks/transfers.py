"""Measure bringing folders in: this server beside other tools, on the same bytes, in one run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.folders import Shape, clear, hash_folder, make_folder
from benchmarks.peers import Cost, Dvc, Peer, install_peer, rclone, this_server
from benchmarks.report import Goal, table

OURS = "this server"
AGAIN = "this server, same folder again"
RCLONE = "`rclone copy` into `rclone serve s3`"
DVC = "`dvc add`, `dvc push` to a folder"
HASHING = "SHA-256 of every file, one process"
SMALL, LARGE = "small", "large"


@dataclass
class Results:
    """Costs by folder and tool, and the bytes of files that the server received for each "same folder again"."""

    shapes: list[Shape]
    costs: dict[tuple[str, str], list[Cost]] = field(default_factory=dict)
    resent: list[int] = field(default_factory=list)

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


def measure_transfers(cache: Path, scratch: Path, *, runs: int, shapes: list[Shape]) -> Results:
    """Bring every folder in by every tool, `runs` times, always in the same order and into new places.

    New files go into directories that did not exist: on some disks, writing where much was deleted is far slower.
    """
    folders = [(shape, make_folder(cache, shape)) for shape in shapes]
    dvc_program = install_peer(cache, "dvc")
    results = Results(shapes)
    for run in range(1, runs + 1):
        print(f"run {run} of {runs}", file=sys.stderr)
        place = scratch / f"run-{run}"
        place.mkdir()
        for shape, folder in folders:
            results.add(shape, HASHING, Cost(*hash_folder(folder)))
        with this_server(place) as server:
            for shape, folder in folders:
                with _quiet_disk():
                    cost, digest = server.upload(folder)
                results.add(shape, OURS, cost)
                before = server.received_bytes()
                with _quiet_disk():
                    cost, same = server.upload(folder)
                results.add(shape, AGAIN, cost)
                results.resent.append(server.received_bytes() - before)
                if digest != same:
                    sys.exit(f"The same folder got two digests: {digest} and {same}")
        with rclone(place) as peer:
            _measure(results, RCLONE, peer, folders)
        _measure(results, DVC, Dvc(dvc_program, place), folders)
        # The next run is to find as much free memory as this one: virtual machines get more of it slowly.
        clear(place)
    return results


def _measure(results: Results, who: str, peer: Peer, folders: list[tuple[Shape, Path]]) -> None:
    for shape, folder in folders:
        with _quiet_disk():
            cost = peer.bring_in(folder)
        results.add(shape, who, cost)


@contextmanager
def _quiet_disk() -> Iterator[None]:
    """Let nobody pay for what another wrote."""
    os.sync()
    yield


def transfer_report(results: Results) -> list[str]:
    """Markdown: one table for each folder."""
    lines = []
    for shape in results.shapes:
        ours = results.seconds(shape, OURS)
        rows = []
        for who in (OURS, RCLONE, DVC, AGAIN, HASHING):
            seconds = results.seconds(shape, who)
            rows.append(
                [
                    who,
                    f"{seconds:.2f}",
                    f"{results.cpu_seconds(shape, who):.2f}",
                    f"{shape.count / seconds:,.1f}" if shape.count < 100 else f"{shape.count / seconds:,.0f}",
                    f"{shape.total / seconds / 1e6:,.0f}",
                    f"{seconds / ours:.2f}",
                ]
            )
        lines += [f"### {shape.title}", ""]
        lines += table(["", "seconds", "CPU seconds", "files/s", "MB/s", "time relative to ours"], rows)
        lines.append("")
    lines.append(
        f"Bytes of files that the server received for the same folders again: {sum(results.resent)} "
        "(the sizes of all uploads that it has rows of, before and after)."
    )
    return [*lines, ""]


def transfer_goals(results: Results) -> list[Goal]:
    """Compare with what has to hold."""
    goals = [Goal("bytes sent for the same folder again", sum(results.resent), "at most", 0)]
    for shape in results.shapes:
        ours = results.seconds(shape, OURS)
        faster = {who: results.seconds(shape, who) / ours for who in (RCLONE, DVC)}
        hashing = results.seconds(shape, HASHING)
        least = {RCLONE: 5.0, DVC: 5.0} if shape.name == SMALL else {RCLONE: 2.5, DVC: 1.25}
        goals += [Goal(f"{shape.title}: faster than {who}", faster[who], "at least", least[who]) for who in faster]
        if shape.name == SMALL:
            goals.append(Goal(f"{shape.title}: files/s", shape.count / ours, "at least", 10_000))
        else:
            goals.append(Goal(f"{shape.title}: speed relative to hashing", hashing / ours, "at least", 0.3))
        again = results.seconds(shape, AGAIN) / hashing
        goals.append(Goal(f"{shape.title}: the same again, time relative to hashing", again, "at most", 3))
    return goals
