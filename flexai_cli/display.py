"""Bars in the terminal: files, bytes, speed, what is saved, and the time that is left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flexai_cli.output import err, mode, seconds, size
from flexai_cli.progress import Progress

if TYPE_CHECKING:
    from rich.table import Table

PER_SECOND = 8


class Bars(Progress):
    """Counters that are shown on standard error while the work goes on, where that is a terminal."""

    @contextmanager
    def shown(self, count: Callable[[], tuple[int, int]] | None = None) -> Iterator[None]:
        """Show them; `count` finds out, meanwhile, how many files and bytes there are."""
        if mode.json or not err().is_terminal:
            yield
            return
        from rich.live import Live

        if count is not None:
            threading.Thread(target=self._count, args=(count,), daemon=True).start()
        with Live(console=err(), get_renderable=self.render, refresh_per_second=PER_SECOND, transient=True):
            yield

    def _count(self, count: Callable[[], tuple[int, int]]) -> None:
        self.total_files, self.total_bytes = count()

    def render(self) -> Table:
        """One line: what, how far, how fast, how long."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        done, total = self.handled_bytes + self.begun_bytes, self.total_bytes
        speed = done / self.seconds
        files = f"{self.handled_files:,}" + (f" of {self.total_files:,}" if self.total_files is not None else "")
        amount = size(done) + (f" of {size(total)}" if total is not None else "")
        left = f"{seconds(max(total - done, 0) / speed)} left" if total is not None and speed > 0 else ""
        table = Table.grid(padding=(0, 2))
        bar = ProgressBar(
            total=max(total, 1) if total is not None else None, completed=done, width=24, pulse=total is None
        )
        table.add_row(
            self.stage, bar, f"{files} files", amount, f"{size(int(speed))}/s", f"{size(self.saved_bytes)} saved", left
        )
        return table
