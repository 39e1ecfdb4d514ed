"""Routes for those who run the installation: all that is stored, collections, verifications, damage, the journal."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Self

from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.integrity import VerificationAnswer
from datasets_app.api.schemas import Answer, Body, Page
from datasets_app.models import CollectionRun, Damage, RemovedObject, StorageSample
from datasets_app.services import storage
from datasets_app.services.garbage.explaining import Explanation

router = Router()


class StorageAnswer(Answer):
    """What the whole installation stored when the last collection ended (`at`). Sizes in bytes.

    `pack_size` are objects of the store, `blob_size` distinct bytes, `logical_size` all available versions, as if
    nothing were shared, `unused_size` what of `pack_size` nothing needs any more.
    """

    at: datetime
    pack_size: int
    pack_count: int
    blob_size: int
    blob_count: int
    logical_size: int
    unused_size: int

    @classmethod
    def of(cls, sample: StorageSample) -> Self:
        """Render a sample."""
        return cls(**{name: getattr(sample, name) for name in cls.model_fields})


class StorageStateAnswer(Answer):
    """The newest figures (null before the first collection), those before, and how much is damaged."""

    now: StorageAnswer | None
    history: list[StorageAnswer]
    damage_count: int


class NewCollection(Body):
    """A collection to start; a dry run only counts what would go."""

    dry_run: bool = False


class ReportAnswer(Answer):
    """How many of a kind were removed (by a dry run: would be), and their bytes."""

    kind: str
    count: int
    size: int
    words: str


class CollectionAnswer(Answer):
    """A collection, or a dry run. `status` is waiting, running, finished or failed; `step` what it does now."""

    id: int
    dry_run: bool
    status: str
    step: str
    report: list[ReportAnswer]
    notes: list[str]
    error: str
    created_by: str | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, run: CollectionRun) -> Self:
        """Render a run."""
        return cls(
            id=run.pk,
            dry_run=run.is_dry_run,
            status=run.status,
            step=run.step,
            report=[ReportAnswer(**asdict(row)) for row in storage.report_rows(run)],
            notes=run.notes,
            error=run.error,
            created_by=run.created_by.get_username() if run.created_by else None,
            created_at=run.created_at,
            finished_at=run.finished_at,
        )


class DamagedPlace(Answer):
    """A path of a version; an empty one is the whole version."""

    team: str
    version: str
    path: str


class DamageAnswer(Answer):
    """Something damaged: a blob (`sha256`, in `pack`), or a directory's rows. At most 1000 places are known of each."""

    cause: str
    detail: str
    sha256: str | None
    pack: str | None
    found_at: datetime
    places: list[DamagedPlace]

    @classmethod
    def of(cls, damage: Damage) -> Self:
        """Render a damage."""
        return cls(
            cause=damage.cause,
            detail=damage.detail,
            sha256=damage.blob.hex if damage.blob is not None else None,
            pack=damage.blob.pack.key if damage.blob is not None else None,
            found_at=damage.found_at,
            places=[
                DamagedPlace(team=row.version.dataset.team.name, version=row.version.label, path=row.path)
                for row in damage.paths.all()
            ],
        )


class JournalAnswer(Answer):
    """An entry of the journal. `key` by `kind`: a key of the store, a digest, an upload's id, team/dataset@number.

    `removed_at` is null while an object of the store has yet to go. `run` is the collection's id.
    """

    kind: str
    key: str
    size: int
    reason: str
    run: int | None
    created_at: datetime
    removed_at: datetime | None

    @classmethod
    def of(cls, row: RemovedObject) -> Self:
        """Render an entry."""
        return cls(
            kind=row.kind,
            key=row.key,
            size=row.size,
            reason=row.reason,
            run=row.run_id,
            created_at=row.created_at,
            removed_at=row.removed_at,
        )


class BlobAnswer(Answer):
    """Why bytes with a digest are stored. Without `stored` there are none; lists have at most 100 items.

    `versions` are sealed ones (`in_trash` those of them in the trash), `uploads` open ones. When nothing holds it,
    `goes_at` is the earliest time at which a collection removes it; null when no collection has noticed yet.
    """

    sha256: str
    stored: bool
    size: int | None
    pack: str | None
    offset: int | None
    version_count: int
    versions: list[str]
    in_trash: list[str]
    upload_count: int
    uploads: list[str]
    unused_since: datetime | None
    goes_at: datetime | None
    removals: list[JournalAnswer]

    @classmethod
    def of(cls, found: Explanation) -> Self:
        """Render an explanation."""
        blob = found.blob
        named = [(f"{version.dataset.team}/{version.label}", version) for version in found.versions]
        return cls(
            sha256=found.sha256,
            stored=blob is not None,
            size=blob.size if blob is not None else None,
            pack=blob.pack.key if blob is not None else None,
            offset=blob.offset if blob is not None else None,
            version_count=found.version_count,
            versions=[name for name, _ in named],
            in_trash=[name for name, version in named if version.deleted_at or version.dataset.deleted_at],
            upload_count=found.staged_count,
            uploads=[f"{row.version.dataset.team}/{row.version.label}: {row.path}" for row in found.staged],
            unused_since=found.unused_since,
            goes_at=found.goes_at,
            removals=[JournalAnswer.of(row) for row in found.removals],
        )


@router.get("", response=StorageStateAnswer, operation_id="get_storage", summary="What is stored in all")
def get(request: ApiRequest) -> StorageStateAnswer:
    """Return the installation's figures. Like all routes here, for its administrators only."""
    state = storage.view_storage(request.auth)
    return StorageStateAnswer(
        now=StorageAnswer.of(state.now) if state.now is not None else None,
        history=[StorageAnswer.of(row) for row in state.samples],
        damage_count=state.damage_count,
    )


@router.get("/collections", response=Page[CollectionAnswer], operation_id="list_collections", summary="Collections")
def list_collections(request: ApiRequest, cursor: str | None = None, limit: int = 50) -> Page[CollectionAnswer]:
    """Return collections and dry runs with their reports, the newest first."""
    page = storage.list_collections(request.auth, cursor=cursor, limit=limit)
    return Page[CollectionAnswer](items=[CollectionAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.post(
    "/collections", response={202: CollectionAnswer}, operation_id="start_collection", summary="Start a collection"
)
def collect(request: ApiRequest, payload: NewCollection) -> Any:  # noqa: ANN401
    """Start a collection or a dry run in the background. 409 while one of its kind is under way."""
    return Status(202, CollectionAnswer.of(storage.collect(request.auth, is_dry_run=payload.dry_run)))


@router.get(
    "/verifications", response=Page[VerificationAnswer], operation_id="list_verifications", summary="Verifications"
)
def list_verifications(request: ApiRequest, cursor: str | None = None, limit: int = 50) -> Page[VerificationAnswer]:
    """Return the verifications, of everything and of datasets, the newest first."""
    page = storage.list_verifications(request.auth, cursor=cursor, limit=limit)
    items = [VerificationAnswer.of(row) for row in page.items]
    return Page[VerificationAnswer](items=items, next_cursor=page.next_cursor)


@router.post(
    "/verifications",
    response={202: VerificationAnswer},
    operation_id="start_verification",
    summary="Verify everything",
)
def verify(request: ApiRequest) -> Any:  # noqa: ANN401
    """Read all that is stored again, in the background. 409 while that is under way."""
    return Status(202, VerificationAnswer.of(storage.verify_all(request.auth)))


@router.get("/damages", response=Page[DamageAnswer], operation_id="list_damages", summary="What is damaged")
def list_damages(request: ApiRequest, cursor: str | None = None, limit: int = 50) -> Page[DamageAnswer]:
    """Return what is damaged now, with the versions and paths that it touches."""
    page = storage.list_damages(request.auth, cursor=cursor, limit=limit)
    return Page[DamageAnswer](items=[DamageAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/removals", response=Page[JournalAnswer], operation_id="list_removals", summary="The journal of removals")
def list_removals(
    request: ApiRequest, kind: str = "", run: int | None = None, cursor: str | None = None, limit: int = 50
) -> Page[JournalAnswer]:
    """Return everything that was removed, the last first: all, of a kind, or by one collection."""
    page = storage.list_removals(request.auth, kind=kind, run=run, cursor=cursor, limit=limit)
    return Page[JournalAnswer](items=[JournalAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


@router.get("/blobs/{digest}", response=BlobAnswer, operation_id="explain_blob", summary="Why a blob is stored")
def explain(request: ApiRequest, digest: Path[str]) -> BlobAnswer:
    """Tell what holds the bytes with this SHA-256, or when they go, or when they were removed."""
    return BlobAnswer.of(storage.explain(request.auth, digest=digest))
