"""How far an import has come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datasets_app.models import Import, ImportPart, ImportProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_PROBLEMS: Final = 100
# A rate that is older says nothing about now.
STALE_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Files and bytes of an import. Sizes in bytes, speeds a second; times None where nothing is known.

    `refused_files` can't be files of a dataset: they are not among the `listed_files`, but are among the `found_files`.
    `saved_size` did not have to be moved. `failed_files` includes what was refused. `problems` are the last
    100 while it runs, and the first 100 when it has ended: `services.imports.list_problems` gives all. Of an import
    that ended without all files: `may_retry` tells whether trying again is of use, `has_untried` whether files are left
    that were not tried, so nothing can be left out yet.
    """

    is_listed: bool
    listed_files: int
    refused_files: int
    listed_size: int
    linked_files: int
    copied_files: int
    copied_size: int
    failed_files: int
    skipped_files: int
    saved_size: int
    speed: float
    files_speed: float
    seconds_left: float | None
    seconds: float | None
    problems: list[ImportProblem]
    may_retry: bool
    has_untried: bool

    @property
    def found_files(self) -> int:
        """Files that the source has, also those that can't be fetched."""
        return self.listed_files + self.refused_files

    @property
    def done_files(self) -> int:
        """Files that are here."""
        return self.linked_files + self.copied_files

    @property
    def done_size(self) -> int:
        """Bytes that are here."""
        return self.saved_size + self.copied_size

    @property
    def percent(self) -> int:
        """How much of what is listed is here, by bytes, or by files where there are no bytes; 100 only for all."""
        done, total = (self.done_size, self.listed_size) if self.listed_size else (self.done_files, self.listed_files)
        return min(99 if self.done_files < self.listed_files else 100, 100 * done // total) if total else 0


def measure_import(run: Import) -> ImportProgress:
    """Count how far the import has come, for a caller who may see it. While it is under way, from its row alone."""
    files_speed, speed = _speeds(run.samples) if run.is_active and not run.is_paused else (0.0, 0.0)
    # While it runs, what has just happened; of an import that has ended, what came first.
    problems = ImportProblem.objects.filter(run=run).order_by("-pk" if run.is_active else "pk")[:SHOWN_PROBLEMS]
    begun, ended = run.started_at, run.finished_at
    is_incomplete = run.status in Import.INCOMPLETE
    return ImportProgress(
        is_listed=run.is_listed,
        listed_files=run.listed_files,
        refused_files=run.refused_files,
        listed_size=run.listed_size,
        linked_files=run.linked_files,
        copied_files=run.copied_files,
        copied_size=run.copied_size,
        failed_files=run.failed_files + run.refused_files,
        skipped_files=run.skipped_files,
        saved_size=run.linked_size,
        speed=speed,
        files_speed=files_speed,
        seconds_left=_seconds_left(run, files_speed, speed),
        seconds=((ended.timestamp() if ended else time.time()) - begun.timestamp()) if begun else None,
        problems=list(problems) if run.failed_files or run.refused_files else [],
        may_retry=is_incomplete and run.connection_id is not None and is_retriable(run),
        has_untried=is_incomplete and has_untried(run),
    )


def is_retriable(run: Import) -> bool:
    """Whether an import that has ended without all files has something left to do."""
    if not run.is_listed or ImportPart.objects.unfinished().filter(run=run).exists():
        return True
    # Nothing has failed, so it ended in the moment before it was found to be done.
    return bool(run.listed_files) and not run.failed_files and not run.refused_files


def has_untried(run: Import) -> bool:
    """Whether there are files that it has not even tried to fetch, or not listed."""
    return not run.is_listed or ImportPart.objects.waiting().filter(run=run).exists()


def _speeds(samples: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Files and bytes a second over the last samples, each of which is (time, files, bytes)."""
    if not samples:
        return 0.0, 0.0
    first, last = samples[0], samples[-1]
    # To the present: what stands still gets slower and slower.
    seconds = time.time() - first[0]
    if seconds <= 0 or time.time() - last[0] > STALE_SECONDS:
        return 0.0, 0.0
    return (last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds


def _seconds_left(run: Import, files_speed: float, speed: float) -> float | None:
    """Whatever takes longer: the bytes that are missing, or the files."""
    if not run.is_listed or not run.is_active:
        return None
    files = run.listed_files - run.linked_files - run.copied_files - run.failed_files
    size = run.listed_size - run.linked_size - run.copied_size
    if files <= 0:
        return 0.0
    if files_speed <= 0:
        return None
    return max(files / files_speed, size / speed if speed > 0 and size > 0 else 0.0)
