"""Pull: bring a version's files to this machine. Every byte is verified; what is there already stays."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flexai_cli.cache import Cache
from flexai_cli.chunks import PULL_FOLDER
from flexai_cli.digest import TreeDigest
from flexai_cli.errors import Different, Incomplete, UsageError
from flexai_cli.labels import Label
from flexai_cli.local import LocalFiles
from flexai_cli.manifest import Listed, read_manifest
from flexai_cli.paths import normalise
from flexai_cli.patterns import Patterns
from flexai_cli.pipeline import BATCH_BYTES, BATCH_FILES, LARGE_BYTES, STREAMS
from flexai_cli.progress import Progress
from flexai_cli.receiving import Receiver
from flexai_cli.session import Session
from flexai_cli.settings import cache_folder
from flexai_cli.words import counted

WAITING_BATCHES: Final = 2 * STREAMS


@dataclass(frozen=True)
class PullOptions:
    """What to fetch: patterns as in .gitignore."""

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    use_cache: bool = True


@dataclass
class PullResult:
    """What a pull did. Sizes in bytes; `fetched_*` travelled, the rest was there already."""

    team: str
    dataset: str
    version: int
    digest: str
    directory: str
    file_count: int = 0
    size: int = 0
    fetched_count: int = 0
    fetched_size: int = 0
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)


class Pull:
    """One pull of a version (by default the latest) into a folder."""

    def __init__(  # noqa: PLR0913 - the parts of one call
        self, session: Session, team: str, label: Label, directory: Path, options: PullOptions, progress: Progress
    ) -> None:
        self._session = session
        self._team = team
        self._label = label
        self._directory = directory
        self._patterns = Patterns(include=options.include, exclude=options.exclude)
        self._use_cache = options.use_cache
        self._progress = progress

    def run(self) -> PullResult:
        """Fetch. Raise Incomplete, naming files, where some could not be fetched or written."""
        started = time.monotonic()
        version = find_version(self._session, self._team, self._label)
        self._progress.restart("fetching")
        if self._patterns.takes_all:
            self._progress.total_files, self._progress.total_bytes = version["file_count"], version["size"]
        scratch = self._directory / PULL_FOLDER
        try:
            scratch.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self._directory} can't be written to: {error.strerror}.") from None
        receiver = Receiver(
            self._session, self._team, self._label.dataset, version["number"], self._directory, self._progress
        )
        with _one_after_another(self._directory, self._progress):
            # Another pull, that we have waited for, took its own away.
            scratch.mkdir(parents=True, exist_ok=True)
            count, total = self._fetch(receiver, version)
            if receiver.failures:
                failed = [{"path": path, "detail": why} for path, why in sorted(receiver.failures.items())]
                what = f"{counted(len(failed), 'file')} could not be fetched. The same command tries again."
                raise Incomplete(what, items=failed)
            shutil.rmtree(scratch, ignore_errors=True)
        warnings = list(version["warnings"])
        if not count:
            warnings.append(f"No file of {self._label.dataset}@{version['number']} matches the patterns.")
        return PullResult(
            team=self._team,
            dataset=self._label.dataset,
            version=version["number"],
            digest=version["digest"],
            directory=str(self._directory),
            file_count=count,
            size=total,
            fetched_count=receiver.count,
            fetched_size=self._progress.moved_bytes,
            seconds=time.monotonic() - started,
            warnings=warnings,
        )

    def _fetch(self, receiver: Receiver, version: dict[str, Any]) -> tuple[int, int]:
        """Fetch what is missing or different; return count and size of all that was wanted."""
        cache = Cache(cache_folder() if self._use_cache else None)
        waiting: deque[Future[None]] = deque()
        pool = ThreadPoolExecutor(STREAMS, thread_name_prefix="flexai")
        count = total = 0
        try:
            local = LocalFiles(self._directory, cache, pool)
            for files in batches(self._wanted(version)):
                missing = local.missing(files)
                size = sum(file.size for file in files)
                count, total = count + len(files), total + size
                saved = size - sum(file.size for file in missing)
                self._progress.saved(saved)
                self._progress.handled(len(files) - len(missing), saved)
                if missing:
                    waiting.append(pool.submit(receiver.fetch, missing))
                while len(waiting) > WAITING_BATCHES:
                    waiting.popleft().result()
            for future in waiting:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            cache.close()
        pool.shutdown()
        return count, total

    def _wanted(self, version: dict[str, Any]) -> Iterator[Listed]:
        """Every file that matches; in the end, the manifest itself is checked against the version's digest."""
        tree = TreeDigest()
        for file in read_manifest(self._session, self._team, self._label.dataset, version["number"]):
            if normalise(file.path) != file.path:
                raise Different(f"The server names a file {file.path!r}, which no dataset may hold.")
            tree.add(file.path, file.sha256, file.size)
            if self._patterns.takes(file.path):
                yield file
        if str(tree.finish()) != version["digest"]:
            raise Different(f"The server's list of files has not the digest {version['digest']} of the version.")


@contextmanager
def _one_after_another(directory: Path, progress: Progress) -> Iterator[None]:
    """Wait for other pulls into the same folder: two would write into each other's half-fetched files.

    Processes of one training run often pull at once; those that waited find all files there.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    stage, descriptor = progress.stage, os.open(directory, os.O_RDONLY)
    try:
        # Some network file systems lock no folders.
        with suppress(OSError):
            progress.stage = "waiting for another pull into this folder"
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        progress.stage = stage
        yield
    finally:
        os.close(descriptor)


def find_version(session: Session, team: str, label: Label) -> dict[str, Any]:
    """Return a version that can be read: the one that is named, or the latest."""
    wanted: str | int | None = label.version
    if not wanted:
        wanted = session.get("teams", team, "datasets", label.dataset)["latest_version"]
        if wanted is None:
            raise UsageError(f"{label.dataset} has no version that is available yet.")
    version: dict[str, Any] = session.get("teams", team, "datasets", label.dataset, "versions", wanted)
    if version["status"] != "available":
        raise UsageError(f"{label.dataset}@{wanted} is {version['status']}: its files can be read once it is sealed.")
    return version


def batches(files: Iterator[Listed]) -> Iterator[list[Listed]]:
    """Cut the work: large files alone, small ones up to what is fetched at once."""
    batch: list[Listed] = []
    size = 0
    for file in files:
        if file.size >= LARGE_BYTES:
            yield [file]
            continue
        if batch and (len(batch) == BATCH_FILES or size + file.size > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch
