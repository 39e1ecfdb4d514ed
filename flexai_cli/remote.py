"""Push from a remote store: the server copies, and we watch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flexai_cli.cache import Cache
from flexai_cli.errors import FlexaiError, Incomplete, Problem
from flexai_cli.progress import Progress
from flexai_cli.sealing import wait_until_sealed
from flexai_cli.session import Session
from flexai_cli.settings import cache_folder
from flexai_cli.target import Target
from flexai_cli.unfinished import Draft, ensure_dataset, key_of

ACTIVE: Final = frozenset({"waiting", "listing", "copying"})
# Seconds between two looks.
LOOK: Final = 0.5


@dataclass(frozen=True)
class RemoteOptions:
    """What to import: everything below `source_path` of a connection, by patterns; `revision` where there are some."""

    connection: str
    source_path: str
    revision: str = ""
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    message: str = ""
    base: int | None = None
    seal: bool = True
    skip_failed: bool = False


def start_import(session: Session, team: str, dataset: str, options: RemoteOptions) -> Target:
    """Make the dataset where it is missing, a version, and an import into it; return the version.

    An import that the same push began, and that still goes on, is returned instead of a second one.
    """
    cache = Cache(cache_folder(), digests=False)
    try:
        draft = Draft(session, team, dataset, cache, _key(session, team, dataset, options))
        return _start(session, team, dataset, options, draft)
    finally:
        cache.close()


def _start(session: Session, team: str, dataset: str, options: RemoteOptions, draft: Draft) -> Target:
    begun = draft.begun()
    run = None if begun is None else _look(begun)
    if begun is not None and run is not None:
        if run["status"] in ACTIVE:
            return begun
        draft.finish()
    try:
        session.get("teams", team, "datasets", dataset)
    except Problem as error:
        if error.status != 404:  # noqa: PLR2004
            raise
        ensure_dataset(session, team, dataset)
    target = draft.open(base=options.base, message=options.message)
    body = {
        "connection": options.connection,
        "source_path": options.source_path,
        "revision": options.revision,
        "include": list(options.include),
        "exclude": list(options.exclude),
        "seal": options.seal,
    }
    try:
        session.create(*target.parts, "import", body=body)
    except Problem:
        # Nothing was brought in: leave no empty version behind.
        draft.drop()
        raise
    return target


def _key(session: Session, team: str, dataset: str, options: RemoteOptions) -> str:
    return key_of(session.login.url, team, dataset, vars(options) | {"message": "", "skip_failed": False})


def _look(target: Target) -> dict[str, Any] | None:
    """Look up the import into a version; None when it was not begun."""
    try:
        run: dict[str, Any] = target.session.get(*target.parts, "import")
    except Problem as error:
        if error.status not in {404, 410}:
            raise
        return None
    return run


def follow_import(target: Target, options: RemoteOptions, progress: Progress) -> dict[str, Any]:
    """Wait until the import has ended; return the version.

    Raise Incomplete, naming objects, where some failed, and FlexaiError where the whole of it did.
    """
    progress.restart("importing")
    while True:
        run: dict[str, Any] = target.session.get(*target.parts, "import")
        progress.handled_files = run["linked_files"] + run["copied_files"]
        progress.handled_bytes = run["saved_size"] + run["copied_size"]
        progress.saved_bytes, progress.moved_bytes = run["saved_size"], run["copied_size"]
        if run["is_listed"]:
            progress.total_files, progress.total_bytes = run["listed_files"], run["listed_size"]
        if run["status"] not in ACTIVE:
            break
        time.sleep(LOOK)
    if run["status"] == "failed" and run["failed_files"] and options.skip_failed:
        target.session.post(*target.parts, "import", "leave-out")
        return follow_import(target, RemoteOptions(**{**vars(options), "skip_failed": False}), progress)
    if run["status"] != "finished":
        items = [{"path": row["path"] or row["key"], "detail": row["detail"]} for row in run["problems"]]
        about = f"The import into {target.dataset}@{target.number} has {run['status']}"
        why = str(run["error"]).rstrip(".") or "see below"
        if not items:
            raise FlexaiError(f"{about}: {why}.")
        rest = "The version stays open: retry or leave out what failed on its page."
        raise Incomplete(f"{about}: {why}. {rest}", items=items)
    return wait_until_sealed(target)
