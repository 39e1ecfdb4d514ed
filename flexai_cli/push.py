"""Push: make a version out of files of this machine. Interrupted anywhere, the same push continues."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from flexai_cli.cache import Cache, Unfinished
from flexai_cli.digest import Root
from flexai_cli.errors import Different, FlexaiError, Incomplete, Problem, UsageError
from flexai_cli.folder import Folder
from flexai_cli.manifest import overlay_root, read_manifest
from flexai_cli.progress import Progress
from flexai_cli.sending import Sender, Target
from flexai_cli.session import Session
from flexai_cli.settings import cache_folder
from flexai_cli.sources import STANDARD_INPUT, build_tree

# Seconds between two looks at a version that is being sealed.
FIRST_LOOK: Final = 0.02
LONGEST_LOOK: Final = 1.0


@dataclass(frozen=True)
class PushOptions:
    """How to push. `base` is the number of a version whose other files stay; None for the files given, and no others.

    `skip_failed` seals without files that can't be read or sent; `seal` False leaves the version open.
    """

    exclude: Sequence[str] = ()
    message: str = ""
    base: int | None = None
    seal: bool = True
    skip_failed: bool = False
    use_cache: bool = True


@dataclass
class PushResult:
    """What a push did. Sizes in bytes; `sent_size` travelled. `failed` are {path (of this machine), detail}."""

    status: Literal["created", "unchanged", "open"]
    team: str
    dataset: str
    version: int
    digest: str | None
    file_count: int
    size: int
    sent_size: int = 0
    seconds: float = 0.0
    failed: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


class Push:
    """One push of `mappings` (SRC, DEST) into a dataset, which is made where it is missing."""

    def __init__(  # noqa: PLR0913 - the parts of one call
        self,
        session: Session,
        team: str,
        dataset: str,
        mappings: Sequence[tuple[str, str | None]],
        options: PushOptions,
        progress: Progress,
    ) -> None:
        self._session = session
        self._team = team
        self._dataset = dataset
        self._mappings = mappings
        self._options = options
        self._progress = progress

    def run(self) -> PushResult:
        """Push, up to the sealed version. Raise Incomplete, naming the files, where some could not be taken."""
        started = time.monotonic()
        home = cache_folder()
        key = self._key()
        with _only_one(home, key), _spool(home) as spool:
            cache = Cache(home if self._options.use_cache else None)
            try:
                tree = build_tree(self._mappings, spool)
                result = self._push(Folder(tree, self._options.exclude, cache, self._progress), cache, key)
            finally:
                cache.close()
        result.seconds = time.monotonic() - started
        return result

    def _push(self, folder: Folder, cache: Cache, key: str) -> PushResult:
        self._await_sealing(cache, key)
        latest = self._latest()
        if latest is not None and latest["digest"]:
            root = self._root(folder)
            self._stop_at_failures(folder, "Nothing was pushed.")
            if root is not None and str(root) == latest["digest"]:
                self._drop_unfinished(cache, key)
                return self._result("unchanged", folder, latest["latest_version"], str(root))
        if latest is None:
            self._create_dataset()
        return self._fill(folder, cache, key)

    def _root(self, folder: Folder) -> Root | None:
        """Return the digest that the version would have; None where only the server can tell."""
        if self._options.base is None:
            return folder.hash()
        base = read_manifest(self._session, self._team, self._dataset, self._options.base)
        return overlay_root(base, folder.listed())

    def _fill(self, folder: Folder, cache: Cache, key: str) -> PushResult:
        number = self._open_version(cache, key)
        target = Target(self._session, self._team, self._dataset, number)
        label = f"{self._dataset}@{number}"
        root = folder.send(Sender(target, self._progress, folder.fail))
        self._stop_at_failures(folder, f"{label} stays open: the same command goes on with it.")
        if root is None:
            self._drop_unfinished(cache, key)
            self._stop_at_failures(folder, "No other files are left.", always=True)
            raise UsageError("There are no files to push.")
        declared = [failure.path for failure in folder.failures if failure.path]
        if declared:
            target.remove(declared)
        staged = self._session.get(*target.parts).get("staged")
        if staged is not None and staged["file_count"] != root.file_count:
            # An earlier try left files that are gone here since. The bytes are there, so another round is quick.
            self._drop_unfinished(cache, key)
            return self._fill(folder, cache, key)
        if not self._options.seal:
            return self._result("open", folder, number, None)
        version = seal(target)
        if self._options.base is None and version["digest"] != str(root):
            raise Different(f"{label} has the digest {version['digest']}, but the files here have {root}.")
        cache.finish(key)
        result = self._result("created", folder, number, version["digest"])
        result.file_count, result.size, result.warnings = version["file_count"], version["size"], version["warnings"]
        return result

    def _latest(self) -> dict[str, Any] | None:
        """Return the dataset, with the digest of its latest version; None when there is none of that name."""
        try:
            found: dict[str, Any] = self._session.get("teams", self._team, "datasets", self._dataset)
        except Problem as error:
            if error.status != 404:  # noqa: PLR2004
                raise
            return None
        return found

    def _create_dataset(self) -> None:
        try:
            self._session.create("teams", self._team, "datasets", body={"name": self._dataset})
        except Problem as error:
            # Somebody else was quicker, which is fine.
            if error.status != 409:  # noqa: PLR2004
                raise

    def _open_version(self, cache: Cache, key: str) -> int:
        """Return the version of the same push that was interrupted, or a new one."""
        found = cache.unfinished(key)
        if found is not None and found.number is not None:
            if self._is_open(found.number):
                return found.number
            found = None
        # The key is known before the version is: should the answer be lost, asking again makes no second one.
        found = found or Unfinished(str(uuid.uuid4()), None)
        cache.begin(key, found)
        body = {"base": self._options.base, "message": self._options.message}
        made = self._session.post(*self._parts, "versions", body=body, key=found.creation)
        cache.begin(key, Unfinished(found.creation, made["number"]))
        return int(made["number"])

    def _is_open(self, number: int) -> bool:
        try:
            status = self._session.get(*self._parts, "versions", number)["status"]
        except Problem as error:
            if error.status != 404:  # noqa: PLR2004
                raise
            return False
        return status in {"uploading", "error"}

    def _await_sealing(self, cache: Cache, key: str) -> None:
        """Let a version become available whose push was interrupted after its last step."""
        found = cache.unfinished(key)
        if found is None or found.number is None:
            return
        with suppress(Problem):
            target = Target(self._session, self._team, self._dataset, found.number)
            if wait_until_sealed(target)["status"] == "available":
                cache.finish(key)

    def _drop_unfinished(self, cache: Cache, key: str) -> None:
        found = cache.unfinished(key)
        if found is not None and found.number is not None:
            with suppress(Problem):
                self._session.post(*self._parts, "versions", found.number, "abandon")
        cache.finish(key)

    @property
    def _parts(self) -> tuple[str, ...]:
        return ("teams", self._team, "datasets", self._dataset)

    def _stop_at_failures(self, folder: Folder, what_now: str, *, always: bool = False) -> None:
        if folder.failures and (always or not self._options.skip_failed):
            raise Incomplete(
                f"{len(folder.failures)} files could not be taken. {what_now} "
                "Mend them, leave them out by --exclude, or push without them by --skip-failed.",
                items=folder.named_failures(),
            )

    def _result(
        self, status: Literal["created", "unchanged", "open"], folder: Folder, number: int, digest: str | None
    ) -> PushResult:
        sent = self._progress.moved_bytes
        counts = (folder.file_count, folder.size)
        failed = folder.named_failures()
        return PushResult(status, self._team, self._dataset, number, digest, *counts, sent_size=sent, failed=failed)

    def _key(self) -> str:
        """Name what makes two pushes the same one."""
        sources = [
            (source if source == STANDARD_INPUT else os.path.abspath(source), to)  # noqa: PTH100
            for source, to in self._mappings
        ]
        about = [self._session.login.url, self._team, self._dataset, self._options.base, sources]
        return hashlib.sha256(json.dumps([*about, list(self._options.exclude)]).encode()).hexdigest()


def seal(target: Target) -> dict[str, Any]:
    """Ask for the seal; return the version once it is available."""
    try:
        target.session.post(*target.parts, "seal")
    except Problem as error:
        # 409 without files: an earlier request, whose answer was lost, has done it.
        if error.status != 409 or error.items:  # noqa: PLR2004
            raise
    version = wait_until_sealed(target)
    if version["status"] != "available":
        raise FlexaiError(
            f"{target.dataset}@{target.number} could not be sealed: {version['error'] or version['status']}"
        )
    return version


def wait_until_sealed(target: Target) -> dict[str, Any]:
    """Return the version as soon as it is no longer pending."""
    pause = FIRST_LOOK
    while True:
        version: dict[str, Any] = target.session.get(*target.parts)
        if version["status"] != "pending":
            return version
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_LOOK)


@contextmanager
def _only_one(home: Path, key: str) -> Iterator[None]:
    """Let nobody else run the same push meanwhile: the two would send every byte twice."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    locks = home / "locks"
    locks.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = locks / key
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FlexaiError("The same push is running already.") from None
        yield
        path.unlink(missing_ok=True)


@contextmanager
def _spool(home: Path) -> Iterator[Path]:
    """Give a folder for standard input; it is emptied afterwards."""
    folder = home / f"stdin-{uuid.uuid4()}"
    try:
        yield folder
    finally:
        if folder.exists():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
