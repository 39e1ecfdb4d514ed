"""Integrity: verifications as rows that any worker continues, what they found, and when a dataset was last verified."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Q, Sum
from django.utils import timezone

from datasets_app.errors import Conflict, Unavailable
from datasets_app.models import (
    AuditEvent,
    Blob,
    Damage,
    DamagedPath,
    Dataset,
    Directory,
    File,
    Pack,
    Subdirectory,
    User,
    Verification,
    Version,
)
from datasets_app.models.lease import LeaseLostError
from datasets_app.permissions import require
from datasets_app.queue import enqueue
from datasets_app.services import manifests
from datasets_app.services.damages import heal, record_damage, trace_damage
from datasets_app.services.verifying import check_again, check_directory, check_manifest, check_pack

if TYPE_CHECKING:
    import uuid

logger = logging.getLogger(__name__)

TASK: Final = "datasets_app.verify"
ALL: Final = "all"
# A worker reads for so long, then makes room for others; the row goes on where it was.
SLICE_SECONDS: Final = 60
MOST_ATTEMPTS: Final = 20
BATCH: Final = 200
SHOWN: Final = 100
PHASES: Final = (Verification.Phase.PACKS, Verification.Phase.TREES, Verification.Phase.MANIFESTS)

_LIVE = f"""
WITH RECURSIVE live(id) AS (
    SELECT root_id FROM {Version._meta.db_table} WHERE dataset_id = %s AND root_id IS NOT NULL
    UNION SELECT s.child_id FROM live JOIN {Subdirectory._meta.db_table} s ON s.parent_id = live.id
)
"""  # noqa: S608 - only names of our own tables
_PACKS_OF_DATASET = f"""
{_LIVE} SELECT DISTINCT b.pack_id FROM live JOIN {File._meta.db_table} f ON f.directory_id = live.id
JOIN {Blob._meta.db_table} b ON b.id = f.blob_id WHERE b.pack_id > %s ORDER BY b.pack_id LIMIT %s
"""  # noqa: S608
_TREES_OF_DATASET = f"{_LIVE} SELECT id FROM live WHERE id > %s ORDER BY id LIMIT %s"  # noqa: S608


@dataclass(frozen=True)
class Integrity:
    """What is known of a dataset's stored bytes. `verified_at`: all that it held then was read and was whole, or not.

    `paths` are the first 100 of `damaged_count` damaged paths. `running` is a verification that covers it now, `last`
    the one that ended last, also when that was before the newest version, or when it failed.
    """

    verified_at: datetime | None
    last: Verification | None
    running: Verification | None
    damaged_count: int
    paths: list[DamagedPath]

    @property
    def is_damaged(self) -> bool:
        """Whether anything is damaged."""
        return self.damaged_count > 0


def verify_dataset(actor: User, *, dataset: Dataset) -> Verification:
    """Ask for all that the dataset holds to be read again; Conflict while that is under way."""
    require(actor, "dataset.verify", dataset)
    run = _create(actor, dataset=dataset)
    AuditEvent.objects.record(actor, team=dataset.team, verb="verified dataset", subject=dataset.name)
    enqueue(TASK, run_id=run.pk)
    return run


def verify_everything(actor: User | None) -> Verification:
    """Ask for all that is stored to be read again; Conflict while that is under way."""
    run = _create(actor, dataset=None)
    enqueue(TASK, run_id=run.pk)
    return run


def verify_now(*, dataset: Dataset | None = None, progress: Callable[[Verification], None]) -> Verification:
    """Read everything, or what a dataset holds, in this process, as fast as it goes."""
    run = _create(None, dataset=dataset)
    while run.is_active:
        run_verification(run.pk, seconds=1, rate=0)
        run.refresh_from_db()
        progress(run)
    return run


def view_integrity(actor: User, *, dataset: Dataset, version: Version | None = None) -> Integrity:
    """Tell when the dataset, or one of its versions, was last verified, and what is damaged."""
    require(actor, "dataset.view", dataset)
    return describe_integrity(dataset, version=version)


def describe_integrity(dataset: Dataset, *, version: Version | None = None) -> Integrity:
    """Do the same for a caller who may see it."""
    covering = Verification.objects.filter(Q(scope=ALL) | Q(dataset=dataset))
    versions = dataset.versions.available()
    newest = versions.order_by("-sealed_at").values_list("sealed_at", flat=True).first()
    if version is not None:
        newest = version.sealed_at
    done = covering.filter(status=Verification.Status.FINISHED)
    if newest is not None:
        # What was sealed since has been hashed as it came, but not read again.
        done = done.filter(created_at__gte=newest)
    damaged = DamagedPath.objects.filter(damage__in=Damage.objects.open())
    if version is not None:
        damaged = damaged.filter(version=version)
    else:
        damaged = damaged.filter(version__dataset=dataset, version__deleted_at=None)
    return Integrity(
        verified_at=done.order_by("-finished_at").values_list("finished_at", flat=True).first(),
        last=covering.exclude(status__in=Verification.ACTIVE).order_by("-finished_at", "-id").first(),
        running=covering.active().order_by("-created_at").first(),
        damaged_count=damaged.count(),
        paths=list(damaged.select_related("version__dataset", "damage").order_by("version", "path")[:SHOWN]),
    )


def run_verification(run_id: int, *, seconds: float = SLICE_SECONDS, rate: int | None = None) -> None:
    """Go on with a verification for about so long. May run twice and may die anywhere.

    `rate` is in bytes a second (VERIFY_BYTES_PER_SECOND unless given; 0: as fast as it goes).
    """
    mine = Verification.objects.filter(pk=run_id)
    lease = mine.active().claim(seconds=settings.LEASE_SECONDS, status=Verification.Status.RUNNING)
    if lease is None:
        return
    mine.filter(started_at=None).update(started_at=timezone.now())
    run = mine.get()
    worker = _Worker(run, lease, seconds, settings.VERIFY_BYTES_PER_SECOND if rate is None else rate)
    try:
        is_done = worker.work()
    except LeaseLostError:
        return
    except Unavailable as error:
        # The store does not answer: nothing is lost for that. The clock tries again.
        logger.warning("%s waits: %s", run, error.detail)
        worker.give_back(error=error.detail)
        return
    except Exception as error:
        logger.exception("%s failed", run)
        over = run.attempts >= MOST_ATTEMPTS
        worker.give_back(error=type(error).__name__, status=Verification.Status.FAILED if over else run.status)
        return
    if is_done:
        worker.give_back(error="", status=Verification.Status.FINISHED, finished_at=timezone.now())
        logger.info("%s ended: %d blobs, %d damaged", run, run.blob_count, run.damaged_count)
    else:
        worker.give_back(error="", attempts=0)
        enqueue(TASK, run_id=run.pk)


def wake_verifications() -> None:
    """Start the verification that is due, take up what waits, and look into damages that readers met."""
    newest = Verification.objects.filter(scope=ALL).order_by("-created_at").first()
    due = timezone.now() - timedelta(days=settings.VERIFY_DAYS)
    # A new installation has nothing to verify yet: what it takes in is hashed on the way.
    oldest = Pack.objects.filter(stored=True, created_at__lte=due)
    if settings.VERIFY_DAYS and (newest is None or newest.created_at <= due) and oldest.exists():
        verify_everything(None)
    for run in Verification.objects.active().unleased().filter(created_at__lt=timezone.now() - timedelta(seconds=5)):
        enqueue(TASK, run_id=run.pk)
    follow_up()


def follow_up() -> None:
    """Confirm what readers found missing, and find what it touches; false alarms are forgotten."""
    for damage in Damage.objects.open().filter(is_traced=False).select_related("blob__pack")[:BATCH]:
        try:
            verdict = check_again(damage.blob) if damage.blob is not None else None
        except Unavailable:
            return
        if damage.blob is not None and (verdict is None or verdict.cause is None):
            Damage.objects.filter(pk=damage.pk, is_traced=False).delete()
        else:
            trace_damage(damage)


def _create(actor: User | None, *, dataset: Dataset | None) -> Verification:
    try:
        with transaction.atomic():
            run: Verification = Verification.objects.create(
                dataset=dataset,
                scope=f"dataset:{dataset.pk}" if dataset is not None else ALL,
                created_by=actor,
                total_size=_count_bytes(dataset),
            )
    except IntegrityError as error:
        raise Conflict("A verification is under way already. Its result will be shown when it has ended.") from error
    return run


def _count_bytes(dataset: Dataset | None) -> int:
    """Count the bytes to read: those of all blobs, or of all in the packs that the dataset uses."""
    if dataset is None:
        return int(Blob.objects.aggregate(size=Sum("size", default=0))["size"])
    total = 0
    for packs in _pages(lambda last: _query(_PACKS_OF_DATASET, [dataset.pk, last, BATCH]), 0):
        total += Blob.objects.filter(pack__in=packs).aggregate(size=Sum("size", default=0))["size"]
    return total


def _pages(fetch: Callable[[int], list[int]], last: int) -> Iterator[list[int]]:
    while page := fetch(last):
        yield page
        last = page[-1]


def _query(statement: str, parameters: list[int]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [pk for (pk,) in cursor.fetchall()]


class _Worker:
    """One worker's time with a verification: keeps the lease and the pace, and writes down how far it came."""

    def __init__(self, run: Verification, lease: uuid.UUID, seconds: float, rate: int) -> None:
        self._run = run
        self._mine = Verification.objects.filter(pk=run.pk)
        self._lease = lease
        self._rate = rate
        self._begun = time.monotonic()
        self._end = self._begun + seconds
        self._renewed = self._begun
        self._read = 0
        # What this worker has added since it last wrote it down.
        self._news: dict[str, int] = {}

    def work(self) -> bool:
        """Go through the phases; False when the time is over before they are."""
        for phase in PHASES[PHASES.index(Verification.Phase(self._run.phase)) :]:
            if phase != self._run.phase:
                self._run.phase, self._run.cursor = phase, 0
            step = {"packs": self._check_packs, "trees": self._check_trees, "manifests": self._check_manifests}[phase]
            for ids in _pages(self._fetcher(phase), self._run.cursor):
                for pk in ids:
                    step(pk)
                    self._run.cursor = pk
                    if time.monotonic() > self._end:
                        return False
                    if time.monotonic() > self._renewed + settings.LEASE_SECONDS / 4:
                        self._save()
            self._save()
        return True

    def give_back(self, **changes: object) -> None:
        """Write down how far it came, and let another worker go on."""
        if self._save():
            self._mine.release(self._lease, **changes)

    def _fetcher(self, phase: str) -> Callable[[int], list[int]]:
        dataset = self._run.dataset_id
        if phase == Verification.Phase.MANIFESTS:
            versions = Version.objects.filter(status=Version.Status.AVAILABLE).exclude(manifest_key="").order_by("pk")
            mine = versions.filter(dataset=dataset) if dataset is not None else versions
            return lambda last: list(mine.filter(pk__gt=last).values_list("pk", flat=True)[:BATCH])
        if dataset is not None:
            statement = _PACKS_OF_DATASET if phase == Verification.Phase.PACKS else _TREES_OF_DATASET
            return lambda last: _query(statement, [dataset, last, BATCH])
        if phase == Verification.Phase.PACKS:
            packs = Pack.objects.filter(stored=True).order_by("pk").values_list("pk", flat=True)
            return lambda last: list(packs.filter(pk__gt=last)[:BATCH])
        directories = Directory.objects.filter(closed=True).order_by("pk").values_list("pk", flat=True)
        return lambda last: list(directories.filter(pk__gt=last)[:BATCH])

    def _check_packs(self, pk: int) -> None:
        pack = Pack.objects.filter(pk=pk, stored=True).first()
        if pack is None:
            return
        self._count("pack_count")
        known = {row.blob_id: row for row in Damage.objects.open().filter(blob__pack=pack)}
        for blob, cause in check_pack(pack, tick=self._tick):
            self._count("blob_count")
            if cause is not None:
                detail = f"pack {pack.key} at {blob.offset}, {blob.size} bytes"
                record_damage(cause, blob=blob, detail=detail, run=self._run)
                self._count("damaged_count")
            elif blob.pk in known:
                heal(known[blob.pk])
                self._count("healed_count")

    def _check_trees(self, pk: int) -> None:
        directory = Directory.objects.filter(pk=pk).first()
        if directory is None:
            return
        self._count("directory_count")
        self._tick(0)
        wrong = check_directory(directory)
        # Collected while it was read?
        if wrong and Directory.objects.filter(pk=pk).exists():
            record_damage(Damage.Cause.TREE, directory=directory, detail=wrong, run=self._run)
            self._count("damaged_count")
        elif not wrong:
            for damage in Damage.objects.open().filter(directory=pk):
                heal(damage)
                self._count("healed_count")

    def _check_manifests(self, pk: int) -> None:
        """Write a manifest that is lost or damaged again: the rows have all that it holds."""
        version = Version.objects.filter(pk=pk).select_related("root", "dataset__team", "base", "created_by").first()
        self._tick(0)
        if version is None or check_manifest(version):
            return
        logger.error("the manifest of %s was lost or damaged; it is written again", version.label)
        manifests.restore_manifest(version, progress=lambda _rows: self._tick(0))
        self._count("healed_count")

    def _tick(self, size: int) -> None:
        """Count bytes that were read; wait where that was faster than allowed."""
        self._read += size
        self._count("read_size", size)
        ahead = self._read / self._rate - (time.monotonic() - self._begun) if self._rate else 0
        if ahead > 0:
            time.sleep(min(ahead, 1))
        if time.monotonic() > self._renewed + settings.LEASE_SECONDS / 4:
            self._renew()

    def _count(self, name: str, number: int = 1) -> None:
        self._news[name] = self._news.get(name, 0) + number
        setattr(self._run, name, getattr(self._run, name) + number)

    def _renew(self) -> None:
        if not self._mine.renew(self._lease, seconds=settings.LEASE_SECONDS):
            raise LeaseLostError
        self._renewed = time.monotonic()

    def _save(self) -> bool:
        """Write down how far it came, if the run is still ours."""
        news = {name: F(name) + number for name, number in self._news.items()}
        place = {"phase": self._run.phase, "cursor": self._run.cursor}
        saved = self._mine.filter(lease_token=self._lease).update(**place, **news)
        self._news = {}
        if saved:
            self._renew()
        return bool(saved)
