"""Tables and goals as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple


class Goal(NamedTuple):
    """A measured value and the bound that it should keep."""

    name: str
    value: float
    kind: Literal["at least", "at most"]
    bound: float

    @property
    def met(self) -> bool:
        """Whether the value keeps the bound."""
        return self.value >= self.bound if self.kind == "at least" else self.value <= self.bound


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table whose first column is text and whose others are numbers."""
    marks = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (head, marks, *rows)]


def goal_table(goals: Iterable[Goal]) -> list[str]:
    """Lines of a table of goals."""
    rows = [
        [goal.name, f"{goal.value:,.2f}", f"{goal.kind} {goal.bound:,g}", "yes" if goal.met else "**no**"]
        for goal in goals
    ]
    return [*table(["goal", "measured", "wanted", "met"], rows), ""]


def describe_machine() -> str:
    """Name what the numbers depend on, in one sentence."""
    system = "Linux"
    release = Path("/etc/os-release")
    if release.exists():
        about = dict(line.split("=", 1) for line in release.read_text().splitlines() if "=" in line)
        system = about.get("PRETTY_NAME", system).strip('"')
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB of memory, {system}, Python {platform.python_version()}."
