"""Imports in a worker: whose turn it is, one turn, and the end of an import.

The queue only wakes workers. A worker that finds a slot of its machine free takes up the import that has waited longest
for a turn, lists or copies for a while, and gives way.
"""

from __future__ import annotations

import errno
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from datasets_app.errors import AppError, Conflict
from datasets_app.models import Import, ImportPart, Team, Version
from datasets_app.queue import enqueue
from datasets_app.services import slots
from datasets_app.services.connections import open_source
from datasets_app.services.copier import Copier
from datasets_app.services.import_record import lock_version
from datasets_app.services.import_watch import Watch
from datasets_app.services.listing import list_files
from datasets_app.services.versions import start_sealing
from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.patience import OutageError, StoppedError

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    from datasets_app.sources.base import Tree

logger = logging.getLogger(__name__)

RUN_TASK: Final = "datasets_app.run_imports"
TURN_SECONDS: Final = 20.0
# Pauses of 2, 4, 8, ... 60 seconds, about five minutes in all; then what gets no answer has failed.
MOST_OUTAGES: Final = 8
LONGEST_PAUSE: Final = 60.0
# What a store may ask for.
LONGEST_WISH: Final = 900.0
# After so many workers that died while they listed, a person has to look.
MOST_DEATHS: Final = 20
DELETED_AT_ONCE: Final = 1_000


class Turn(NamedTuple):
    """What is to do next for an import: to list, with the lister's lease, or to copy."""

    run_id: int
    lease: uuid.UUID | None


def run_imports() -> bool:
    """Work at one import for a while, if this machine has a free slot; tell whether there was something to do.

    Asks for others to do the same, while there is more.
    """
    with slots.hold_slot("imports", settings.IMPORT_SLOTS) as free:
        turn = _take_turn() if free else None
        if turn is not None:
            if _is_work_left():
                enqueue(RUN_TASK)
            _work(turn)
    if turn is None:
        return False
    if _is_work_left():
        enqueue(RUN_TASK)
    return True


def reap_imports() -> None:
    """Start imports whose turn it is, end those that are done, and wake workers for what nobody works at."""
    waiting = Import.objects.filter(status=Import.Status.WAITING).order_by()
    for team_id in set(waiting.values_list("version__dataset__team", flat=True)):
        start_waiting(team_id)
    for run_id in Import.objects.filter(status=Import.Status.COPYING).values_list("pk", flat=True):
        conclude(run_id)
    _clear_parts()
    with_work = sum(1 for _ in _find_work())
    for _ in range(min(with_work, settings.IMPORT_SLOTS)):
        enqueue(RUN_TASK)


def start_waiting(team_id: int) -> None:
    """Let the team's imports begin that have waited longest, as many as may run at once."""
    now = timezone.now()
    with transaction.atomic():
        # Held, so that two that start at once don't both see room for one.
        list(Team.objects.select_for_update(no_key=True).filter(pk=team_id).values_list("pk", flat=True))
        theirs = Import.objects.filter(version__dataset__team=team_id)
        room = settings.IMPORTS_PER_TEAM - theirs.running().count()
        next_ones = theirs.filter(status=Import.Status.WAITING).order_by("served_at", "pk")
        started = 0
        for run in next_ones[: max(0, room)]:
            status = Import.Status.COPYING if run.is_listed else Import.Status.LISTING
            started += Import.objects.filter(pk=run.pk, status=Import.Status.WAITING).update(
                status=status, started_at=run.started_at or now
            )
    if started:
        enqueue(RUN_TASK)


def conclude(run_id: int) -> None:
    """End an import of which nothing is left to do, and seal its version if no file has failed."""
    with transaction.atomic():
        lock_version(run_id)
        listed = Import.objects.select_for_update(of=("self",)).filter(pk=run_id, status=Import.Status.COPYING)
        run = listed.select_related("version__dataset__team").first()
        if run is None or ImportPart.objects.waiting().filter(run=run_id).exists():
            return
        failed = run.failed_files + run.refused_files
        if failed:
            end_import(
                run, Import.Status.FAILED, f"{failed:,} of {run.listed_files + run.refused_files:,} files failed."
            )
        elif not run.listed_files:
            left_out = " that the patterns let through" if run.skipped_files else ""
            end_import(run, Import.Status.FAILED, f"There are no files{left_out} at {run.source_path}.")
        else:
            finish(run)
    start_waiting(run.version.dataset.team_id)


def finish(run: Import, **facts: object) -> None:
    """End an import well, inside a transaction that holds its version; `facts` are kept in the version's source."""
    version = run.version
    version.source = describe_source(run) | facts
    Version.objects.filter(pk=version.pk).update(source=version.source)
    end_import(run, Import.Status.FINISHED, "")
    if not run.seal:
        return
    try:
        with transaction.atomic():
            start_sealing(version)
    except Conflict as error:
        Version.objects.filter(pk=version.pk).update(status=Version.Status.ERROR, error=error.detail)


def fail(run_id: int, detail: str) -> None:
    """End an import that can't go on; what it has brought stays, for a retry."""
    with transaction.atomic():
        lock_version(run_id)
        run = (
            Import.objects.select_for_update(of=("self",))
            .select_related("version__dataset__team")
            .active()
            .filter(pk=run_id)
            .first()
        )
        if run is None:
            return
        end_import(run, Import.Status.FAILED, detail)
    start_waiting(run.version.dataset.team_id)


def end_import(run: Import, status: str, detail: str) -> None:
    """Write down how an import ended, inside a transaction that holds its version."""
    Import.objects.filter(pk=run.pk).update(status=status, error=detail, finished_at=timezone.now(), paused_until=None)
    if status == Import.Status.FINISHED:
        changes = {"status": Version.Status.UPLOADING, "error": ""}
    else:
        changes = {"status": Version.Status.ERROR, "error": detail}
    Version.objects.filter(pk=run.version_id, status__in=Version.OPEN).update(**changes)


def describe_source(run: Import) -> dict[str, object]:
    """Say where a version comes from, as its `source` keeps it."""
    return {
        "kind": "import",
        "provider": run.provider,
        "connection": run.connection_name,
        "path": run.source_path,
        "revision": run.revision,
        "pinned": run.pinned,
        "include": run.include,
        "exclude": run.exclude,
        "prefix": run.prefix,
    }


def _ready() -> Iterator[Import]:
    yield from Import.objects.running().unpaused().order_by("served_at", "pk").iterator(chunk_size=100)


def _find_work() -> Iterator[tuple[Import, bool]]:
    """Find imports that a worker could take up now, and say whether there is listing to be done, else copying."""
    for run in _ready():
        if not run.is_listed and Import.objects.filter(pk=run.pk).unleased().exists():
            yield run, True
        elif ImportPart.objects.waiting().filter(run=run).unleased().exists():
            yield run, False


def _is_work_left() -> bool:
    return next(_find_work(), None) is not None


def _take_turn() -> Turn | None:
    for run, is_listing in _find_work():
        rows = Import.objects.running().unpaused().filter(pk=run.pk)
        # A pause ends here, and what is said about it.
        begun: dict[str, Any] = {"served_at": timezone.now(), "paused_until": None, "error": ""}
        if is_listing:
            lease = rows.filter(is_listed=False).claim(seconds=settings.LEASE_SECONDS, **begun)
            if lease is not None:
                return Turn(run.pk, lease)
        elif rows.update(**begun):
            return Turn(run.pk, None)
    return None


def _work(turn: Turn) -> None:
    """Do one turn. Whatever goes wrong in it is the import's, and is told there."""
    watch = Watch(turn.run_id, seconds=TURN_SECONDS)
    mine = Import.objects.filter(pk=turn.run_id)
    try:
        if turn.lease is not None:
            watch.hold(mine, turn.lease)
        _list_or_copy(turn, watch)
    except StoppedError:
        logger.info("import %s: this worker's turn was ended", turn.run_id)
    except OutageError as error:
        _pause(turn.run_id, error.cause.detail, wish=error.cause.retry_after)
    except SourceError as error:
        if error.transient:
            _pause(turn.run_id, error.detail, wish=error.retry_after)
        else:
            fail(turn.run_id, error.detail)
    except AppError as error:
        _pause(turn.run_id, error.detail)
    except Exception as error:
        logger.exception("import %s failed in this worker", turn.run_id)
        _pause(turn.run_id, _describe(error))
    finally:
        watch.stop.set()
        if turn.lease is not None:
            mine.release(turn.lease, attempts=0)
    conclude(turn.run_id)


def _list_or_copy(turn: Turn, watch: Watch) -> None:
    run = Import.objects.select_related("connection__team", "version").get(pk=turn.run_id)
    if run.attempts > MOST_DEATHS:
        raise SourceError(Cause.INVALID, f"{MOST_DEATHS} workers died while they listed it.")
    tree = _open_tree(run, watch)
    watch.begin()
    watch.patience.probe = lambda: next(tree.list_files(), None)
    if turn.lease is not None:
        list_files(run, turn.lease, tree, watch, wake=lambda: enqueue(RUN_TASK))
    else:
        Copier(run, tree, watch, may_fail=run.outages >= MOST_OUTAGES).run()


def _open_tree(run: Import, watch: Watch) -> Tree:
    if run.connection is None:
        raise SourceError(Cause.INVALID, f"The connection {run.connection_name} was deleted.")
    source = open_source(run.connection)
    # In a thread: a store that keeps us waiting must not cost us the lease.
    with ThreadPoolExecutor(1, thread_name_prefix="open") as pool:
        try:
            return watch.wait(
                pool.submit(watch.patience.call, source.open, run.source_path, revision=run.pinned or run.revision)
            )
        finally:
            pool.shutdown(wait=False)


def _pause(run_id: int, detail: str, *, wish: float | None = None) -> None:
    """Leave an import alone for a while; after too many pauses in a row, it has failed."""
    now = timezone.now()
    with transaction.atomic():
        run = Import.objects.select_for_update(of=("self",)).running().filter(pk=run_id).first()
        if run is None or (run.paused_until is not None and run.paused_until > now):
            return
        outages = run.outages + 1
        seconds = min(wish, LONGEST_WISH) if wish else min(LONGEST_PAUSE, 2.0**outages)
        Import.objects.filter(pk=run_id).update(
            outages=outages, error=detail, paused_until=now + timedelta(seconds=seconds)
        )
    if outages > MOST_OUTAGES:
        fail(run_id, detail)


def _describe(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return "The server's disk is full."
    return f"The server had an error of its own ({type(error).__name__}); its log says more."


def _clear_parts() -> None:
    """Delete the parts of what has ended well: they are of no use any more, and many."""
    done = ImportPart.objects.filter(run__status=Import.Status.FINISHED)
    ImportPart.objects.filter(pk__in=list(done.values_list("pk", flat=True)[:DELETED_AT_ONCE])).delete()
