"""What those who run the installation see and do about all that is stored: collections, damage, the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datasets_app.models import AuditEvent, CollectionRun, Damage, RemovedObject, StorageSample, Verification
from datasets_app.permissions import require_operator
from datasets_app.services.garbage import start_collection
from datasets_app.services.garbage.explaining import Explanation, explain_blob
from datasets_app.services.integrity import verify_everything
from datasets_app.services.paging import Page, take_page
from datasets_app.services.validation import invalid_field
from datasets_app.store.digest import parse_digest

if TYPE_CHECKING:
    from datasets_app.models import User

SHOWN_RUNS: Final = 10
SHOWN_DAMAGES: Final = 50
SHOWN_SAMPLES: Final = 1_000
MOST_ID: Final = 2**63 - 1
REPORT_WORDS: Final = {
    "dataset": "datasets, out of the trash",
    "version": "versions, out of the trash or untouched",
    "upload": "uploads that are over",
    "staging": "staging files",
    "tree": "directories",
    "blob": "blobs",
    "pack": "packs",
    "compacted": "half-empty packs, rewritten",
    "unknown": "objects that no row knows",
    "partial": "half-written objects",
    "waiting": "blobs that wait for the end of their grace period",
    "wasted": "bytes in half-empty packs",
}


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A line of a collection's report: a kind, how many, how many bytes, and the kind in words."""

    kind: str
    count: int
    size: int
    words: str


@dataclass(frozen=True)
class StorageState:
    """What the page about storage shows. Runs are the newest first, samples the oldest first.

    `damages` are the first 50 of `damage_count`, each with its paths.
    """

    now: StorageSample | None
    samples: list[StorageSample]
    collections: list[CollectionRun]
    verifications: list[Verification]
    damages: list[Damage]
    damage_count: int

    @property
    def collecting(self) -> CollectionRun | None:
        """The collection or dry run under way."""
        return next((run for run in self.collections if run.status in CollectionRun.ACTIVE), None)

    @property
    def verifying(self) -> Verification | None:
        """The verification of everything under way."""
        return next((run for run in self.verifications if run.is_active and run.scope == "all"), None)

    @property
    def dry_run(self) -> CollectionRun | None:
        """The newest dry run that has ended, when nothing was collected since."""
        newest = next((run for run in self.collections if run.status not in CollectionRun.ACTIVE), None)
        return newest if newest is not None and newest.is_dry_run else None


def view_storage(actor: User) -> StorageState:
    """Tell how much is stored, what was collected and verified, and what is damaged."""
    require_operator(actor)
    samples = list(StorageSample.objects.order_by("-at")[:SHOWN_SAMPLES])
    damages = Damage.objects.open()
    return StorageState(
        now=samples[0] if samples else None,
        samples=samples[::-1],
        collections=list(CollectionRun.objects.select_related("created_by")[:SHOWN_RUNS]),
        verifications=list(Verification.objects.select_related("created_by", "dataset__team")[:SHOWN_RUNS]),
        damages=list(
            damages.select_related("blob__pack", "directory").prefetch_related("paths__version__dataset__team")[
                :SHOWN_DAMAGES
            ]
        ),
        damage_count=damages.count(),
    )


def list_collections(actor: User, *, cursor: str | None = None, limit: int = 50) -> Page[CollectionRun]:
    """Return one page of the collections and dry runs, the newest first."""
    require_operator(actor)
    rows = CollectionRun.objects.select_related("created_by")
    return take_page(rows, order=("-created_at", "-id"), cursor=cursor, limit=limit)


def list_verifications(actor: User, *, cursor: str | None = None, limit: int = 50) -> Page[Verification]:
    """Return one page of the verifications, the newest first."""
    require_operator(actor)
    rows = Verification.objects.select_related("created_by", "dataset__team")
    return take_page(rows, order=("-created_at", "-id"), cursor=cursor, limit=limit)


def list_damages(actor: User, *, cursor: str | None = None, limit: int = 50) -> Page[Damage]:
    """Return one page of what is damaged now, with its paths, the last found first."""
    require_operator(actor)
    rows = Damage.objects.open().select_related("blob__pack", "directory")
    rows = rows.prefetch_related("paths__version__dataset__team")
    return take_page(rows, order=("-id",), cursor=cursor, limit=limit)


def list_removals(
    actor: User, *, kind: str = "", run: int | None = None, cursor: str | None = None, limit: int = 50
) -> Page[RemovedObject]:
    """Return one page of the journal of removals, the last first: all, of a kind, or of one collection."""
    require_operator(actor)
    rows = RemovedObject.objects.select_related("run")
    if kind:
        if kind not in RemovedObject.Kind.values:
            raise invalid_field("kind", f"A kind is one of {', '.join(RemovedObject.Kind.values)}.")
        rows = rows.filter(kind=kind)
    if run is not None:
        rows = rows.filter(run=run) if 0 < run <= MOST_ID else rows.none()
    return take_page(rows, order=("-id",), cursor=cursor, limit=limit)


def collect(actor: User, *, is_dry_run: bool) -> CollectionRun:
    """Ask for a collection, or for a dry run that only counts; Conflict while one of its kind is under way."""
    require_operator(actor)
    run = start_collection(actor, is_dry_run=is_dry_run)
    if not is_dry_run:
        AuditEvent.objects.record(actor, team=None, verb="started collection", subject=str(run.pk))
    return run


def verify_all(actor: User) -> Verification:
    """Ask for all that is stored to be read again; Conflict while that is under way."""
    require_operator(actor)
    run = verify_everything(actor)
    AuditEvent.objects.record(actor, team=None, verb="started verification", subject=str(run.pk))
    return run


def explain(actor: User, *, digest: str) -> Explanation:
    """Tell why bytes with this SHA-256 (hex, with or without `sha256:`) are stored, or when they were removed."""
    require_operator(actor)
    try:
        parsed = parse_digest(digest.strip())
    except ValueError as error:
        raise invalid_field("digest", str(error)) from error
    return explain_blob(parsed)


def report_rows(run: CollectionRun) -> list[ReportRow]:
    """Return a collection's report in words, in the order in which it works."""
    found = [(kind, words, run.report[kind]) for kind, words in REPORT_WORDS.items() if kind in run.report]
    return [ReportRow(kind, row["count"], row["size"], words) for kind, words, row in found]
