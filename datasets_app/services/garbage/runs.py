"""Collections: rows with a lease, started by the clock, by a command or by a button, one at a time."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from datasets_app.errors import Conflict
from datasets_app.models import CollectionRun, StorageSample, User
from datasets_app.models.lease import LeaseLostError
from datasets_app.queue import enqueue
from datasets_app.services.garbage import journal
from datasets_app.services.garbage.blobs import collect_blobs
from datasets_app.services.garbage.compaction import compact_packs, list_healed
from datasets_app.services.garbage.figures import take_sample
from datasets_app.services.garbage.leftovers import abandon_idle, collect_staging, collect_uploads
from datasets_app.services.garbage.measuring import measure
from datasets_app.services.garbage.objects import collect_objects, is_local
from datasets_app.services.garbage.packs import collect_packs
from datasets_app.services.garbage.purge import purge_trash
from datasets_app.services.garbage.sweep import Sweep
from datasets_app.services.garbage.trees import collect_trees

logger = logging.getLogger(__name__)

TASK = "datasets_app.collect_garbage"
MOST_ATTEMPTS = 3
# To list a remote store costs requests, and finds only what crashes left.
LIST_HOURS = 20
KEPT_RUNS = 200

STEPS: Final[tuple[tuple[str, Callable[[Sweep], None]], ...]] = (
    ("finishing earlier removals", journal.finish),
    ("trash", purge_trash),
    ("idle versions", abandon_idle),
    ("uploads", collect_uploads),
    ("staging files", collect_staging),
    ("trees", collect_trees),
    ("blobs", collect_blobs),
    ("packs", collect_packs),
    ("removing objects", journal.finish),
    ("compaction", compact_packs),
    ("lists of slices", list_healed),
    ("unknown objects", collect_objects),
    ("journal", journal.trim),
)


def start_collection(actor: User | None, *, is_dry_run: bool = False, forget_unknown: bool = False) -> CollectionRun:
    """Ask for a collection; a worker takes it up. Raises Conflict while another one is waiting or running."""
    run = _create(actor, is_dry_run=is_dry_run, forget_unknown=forget_unknown)
    enqueue(TASK, run_id=run.pk)
    return run


def collect_now(
    actor: User | None = None, *, is_dry_run: bool = False, forget_unknown: bool = False, now: datetime | None = None
) -> CollectionRun:
    """Collect in this process, as the command does; `now` stands for the present time.

    One that waits, or whose worker died, is brought to its end first: there may be no worker. Conflict while one is
    under way.
    """
    for left in CollectionRun.objects.active().unleased().filter(is_dry_run=is_dry_run):
        run_collection(left.pk, now=now)
    run = _create(actor, is_dry_run=is_dry_run, forget_unknown=forget_unknown)
    run_collection(run.pk, now=now)
    run.refresh_from_db()
    return run


def run_collection(run_id: int, *, now: datetime | None = None) -> None:
    """Do a collection that waits, or whose worker died. May run twice and may die anywhere."""
    mine = CollectionRun.objects.filter(pk=run_id)
    lease = mine.filter(status__in=CollectionRun.ACTIVE).claim(
        seconds=settings.LEASE_SECONDS, status=CollectionRun.Status.RUNNING, started_at=timezone.now()
    )
    if lease is None:
        return
    run = mine.get()
    if run.attempts > MOST_ATTEMPTS:
        _end(run, lease, Sweep(run=run), [f"{run.attempts - 1} workers died in it."])
        return
    sweep = Sweep(now=now or timezone.now(), run=run, beat=_heartbeat(run, lease))
    try:
        errors = _measure(sweep) if run.is_dry_run else _do(run, sweep)
    except LeaseLostError:
        logger.warning("%s was taken from this worker", run)
        return
    _end(run, lease, sweep, errors)


def wake_collections() -> None:
    """Start the collection that is due, and take up what lost its worker or was never started."""
    newest = CollectionRun.objects.filter(is_dry_run=False).order_by("-created_at").first()
    due = timezone.now() - timedelta(hours=settings.COLLECT_HOURS)
    # With 0, by command or button only.
    if settings.COLLECT_HOURS and (newest is None or newest.created_at <= due):
        try:
            start_collection(None)
        except Conflict:
            logger.info("the collection before is not over yet")
    for run in CollectionRun.objects.active().unleased().filter(created_at__lt=timezone.now() - timedelta(seconds=5)):
        enqueue(TASK, run_id=run.pk)


def _create(actor: User | None, *, is_dry_run: bool, forget_unknown: bool) -> CollectionRun:
    try:
        with transaction.atomic():
            run: CollectionRun = CollectionRun.objects.create(
                created_by=actor, is_dry_run=is_dry_run, forget_unknown=forget_unknown
            )
    except IntegrityError as error:
        raise Conflict("A collection is waiting or running already. Look at its report when it has ended.") from error
    return run


def _do(run: CollectionRun, sweep: Sweep) -> list[str]:
    """Take all steps; one that fails doesn't keep the others from their work. Returns what went wrong."""
    errors = []
    for name, step in STEPS:
        if step is collect_objects and not _listing_is_due(sweep):
            continue
        CollectionRun.objects.filter(pk=run.pk).update(step=name, report=sweep.report())
        try:
            step(sweep)
        except LeaseLostError:
            raise
        except Exception as error:
            logger.exception("the step %s of a collection failed", name)
            errors.append(f"{name}: {type(error).__name__}")
        sweep.beat()
    take_sample(sweep)
    return errors


def _measure(sweep: Sweep) -> list[str]:
    measure(sweep, with_objects=_listing_is_due(sweep))
    return []


def _listing_is_due(sweep: Sweep) -> bool:
    if is_local() or (sweep.run is not None and (sweep.run.created_by_id or sweep.run.forget_unknown)):
        return True
    since = sweep.now - timedelta(hours=LIST_HOURS)
    return not CollectionRun.objects.filter(created_at__gt=since, report__has_key="listed").exists()


def _end(run: CollectionRun, lease: uuid.UUID, sweep: Sweep, errors: list[str]) -> None:
    mine = CollectionRun.objects.filter(pk=run.pk)
    mine.release(
        lease,
        status=CollectionRun.Status.FAILED if errors else CollectionRun.Status.FINISHED,
        error="; ".join(errors),
        step="",
        report=sweep.report(),
        notes=sweep.notes,
        finished_at=timezone.now(),
    )
    for note in sweep.notes:
        logger.warning("collection %s: %s", run.pk, note)
    logger.info("collection %s ended", run.pk, extra={"report": sweep.report()})
    old = timezone.now() - timedelta(days=settings.JOURNAL_DAYS)
    CollectionRun.objects.filter(created_at__lt=old).exclude(status__in=CollectionRun.ACTIVE).delete()
    StorageSample.objects.filter(at__lt=timezone.now() - timedelta(days=3 * settings.JOURNAL_DAYS)).delete()


def _heartbeat(run: CollectionRun, lease: uuid.UUID) -> Callable[[], None]:
    renewed = time.monotonic()

    def beat() -> None:
        nonlocal renewed
        if time.monotonic() - renewed < settings.LEASE_SECONDS / 4:
            return
        if not CollectionRun.objects.filter(pk=run.pk).renew(lease, seconds=settings.LEASE_SECONDS):
            raise LeaseLostError
        renewed = time.monotonic()

    return beat
