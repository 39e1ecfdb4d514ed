"""Push: make a version out of files of this machine. Interrupted anywhere, the same push continues."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flexai_cli.cache import Cache
from flexai_cli.chunks import reason_of
from flexai_cli.digest import Root
from flexai_cli.errors import Different, FlexaiError, Incomplete, InTheWay, Problem, UsageError
from flexai_cli.folder import Folder
from flexai_cli.manifest import overlay_root, read_manifest
from flexai_cli.progress import Progress
from flexai_cli.sealing import seal
from flexai_cli.sending import Sender
from flexai_cli.session import Session
from flexai_cli.settings import cache_folder
from flexai_cli.sources import STANDARD_INPUT, build_tree
from flexai_cli.unfinished import Draft, ensure_dataset, key_of
from flexai_cli.words import counted


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
        with _only_one(home, key) as trouble, _spool(home) as spool:
            cache = Cache(home, digests=self._options.use_cache)
            draft = Draft(self._session, self._team, self._dataset, cache, key)
            try:
                tree = build_tree(self._mappings, spool)
                result = self._push(Folder(tree, self._options.exclude, cache, self._progress), draft)
            finally:
                cache.close()
        result.seconds = time.monotonic() - started
        result.warnings += [*trouble, *draft.warnings]
        return result

    def _push(self, folder: Folder, draft: Draft) -> PushResult:
        draft.await_sealing()
        latest = self._latest()
        if latest is not None and latest["digest"]:
            root = self._root(folder)
            self._stop_at_failures(folder, "Nothing was pushed.")
            if root is not None and str(root) == latest["digest"]:
                draft.drop()
                result = self._result("unchanged", folder, latest["latest_version"], str(root))
                result.file_count, result.size = root.file_count, root.size
                return result
        if latest is None:
            ensure_dataset(self._session, self._team, self._dataset)
        return self._fill(folder, draft)

    def _root(self, folder: Folder) -> Root | None:
        """Return the digest that the version would have; None where only the server can tell."""
        if self._options.base is None:
            return folder.hash()
        base = read_manifest(self._session, self._team, self._dataset, self._options.base)
        return overlay_root(base, folder.listed())

    def _fill(self, folder: Folder, draft: Draft) -> PushResult:
        target = draft.open(base=self._options.base, message=self._options.message)
        label = f"{self._dataset}@{target.number}"
        root = folder.send(Sender(target, self._progress, folder.fail))
        self._stop_at_failures(folder, f"{label} stays open: the same command goes on with it.")
        if root is None:
            draft.drop()
            self._stop_at_failures(folder, "No other files are left.", always=True)
            raise UsageError("There are no files to push.")
        declared = [failure.path for failure in folder.failures if failure.path]
        if declared:
            target.remove(declared)
        staged = self._session.get(*target.parts).get("staged")
        if staged is not None and staged["file_count"] != root.file_count:
            if draft.left_open:
                raise InTheWay(
                    f"{label}, which was left open, holds {staged['file_count']:,} files, and not only the "
                    f"{root.file_count:,} that were given. Seal or abandon it on its page, and push again."
                )
            # An earlier try left files that are gone here since. The bytes are there, so another round is quick.
            draft.drop()
            return self._fill(folder, draft)
        if not self._options.seal:
            draft.leave_open()
            return self._result("open", folder, target.number, None)
        version = seal(target)
        if self._options.base is None and version["digest"] != str(root):
            raise Different(f"{label} has the digest {version['digest']}, but the files here have {root}.")
        draft.finish()
        result = self._result("created", folder, target.number, version["digest"])
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

    def _stop_at_failures(self, folder: Folder, what_now: str, *, always: bool = False) -> None:
        if folder.failures and (always or not self._options.skip_failed):
            raise Incomplete(
                f"{counted(len(folder.failures), 'file')} could not be taken. {what_now} "
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
        about = (self._session.login.url, self._team, self._dataset, self._options.base, sources)
        return key_of(*about, list(self._options.exclude))


@contextmanager
def _only_one(home: Path, key: str) -> Iterator[list[str]]:
    """Let nobody else run the same push meanwhile: the two would send every byte twice. Give warnings."""
    try:
        import fcntl
    except ImportError:
        yield []
        return
    path = home / "locks" / key
    with ExitStack() as held:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = held.enter_context(path.open("w"))
        except OSError as error:
            told = f"{path.parent} can't be written to ({reason_of(error)}): nothing is remembered, so a push that is "
            yield [f"{told}interrupted begins anew. FLEXAI_CACHE_DIR names another folder."]
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise FlexaiError("The same push is running already.") from None
        yield []
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
