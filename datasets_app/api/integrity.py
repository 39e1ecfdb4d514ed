"""Routes about integrity: what was verified, what is damaged, and a new verification of a dataset."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer
from datasets_app.models import Verification
from datasets_app.services.datasets import get_dataset
from datasets_app.services.integrity import Integrity, verify_dataset, view_integrity
from datasets_app.services.versions import find_version

router = Router()


class VerificationAnswer(Answer):
    """A run that reads stored bytes again: of one dataset, or of everything (`dataset` is null). Sizes in bytes.

    `status` is waiting, running, finished or failed; `phase` is packs (the bytes), trees or manifests.
    """

    id: int
    team: str | None
    dataset: str | None
    status: str
    phase: str
    total_size: int
    read_size: int
    blob_count: int
    directory_count: int
    damaged_count: int
    healed_count: int
    error: str
    created_by: str | None
    created_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, run: Verification) -> Self:
        """Render a run."""
        return cls(
            id=run.pk,
            team=run.dataset.team.name if run.dataset is not None else None,
            dataset=run.dataset.name if run.dataset is not None else None,
            status=run.status,
            phase=run.phase,
            total_size=run.total_size,
            read_size=run.read_size,
            blob_count=run.blob_count,
            directory_count=run.directory_count,
            damaged_count=run.damaged_count,
            healed_count=run.healed_count,
            error=run.error,
            created_by=run.created_by.get_username() if run.created_by else None,
            created_at=run.created_at,
            finished_at=run.finished_at,
        )


class CoveringAnswer(Answer):
    """How far a verification is, without what it counts beside this dataset. Sizes in bytes."""

    status: str
    read_size: int
    total_size: int
    created_at: datetime
    finished_at: datetime | None
    error: str

    @classmethod
    def of(cls, run: Verification | None) -> Self | None:
        """Render a run; nothing for none."""
        return cls(**{name: getattr(run, name) for name in cls.model_fields}) if run is not None else None


class DamagedPathAnswer(Answer):
    """A damaged file (`cause` is missing or changed) or directory (tree; an empty path is the whole version)."""

    version: int
    path: str
    cause: str
    found_at: datetime


class IntegrityAnswer(Answer):
    """What is known of stored bytes. At `verified_at` all of it was read; null when nothing has read the newest yet.

    `paths` are the first 100 of `damaged_count`. `running` covers it now, `last` is what ended last.
    """

    damaged: bool
    damaged_count: int
    verified_at: datetime | None
    last: CoveringAnswer | None
    running: CoveringAnswer | None
    paths: list[DamagedPathAnswer]

    @classmethod
    def of(cls, found: Integrity) -> Self:
        """Render what is known."""
        return cls(
            damaged=found.is_damaged,
            damaged_count=found.damaged_count,
            verified_at=found.verified_at,
            last=CoveringAnswer.of(found.last),
            running=CoveringAnswer.of(found.running),
            paths=[
                DamagedPathAnswer(
                    version=row.version.number, path=row.path, cause=row.damage.cause, found_at=row.damage.found_at
                )
                for row in found.paths
            ],
        )


@router.get(
    "/integrity", response=IntegrityAnswer, operation_id="get_dataset_integrity", summary="Whether a dataset is whole"
)
def dataset_integrity(request: ApiRequest, team: Path[str], name: Path[str]) -> IntegrityAnswer:
    """Tell when the dataset's stored bytes were last read and compared, and which paths are damaged."""
    dataset = get_dataset(request.auth, team=team, name=name)
    return IntegrityAnswer.of(view_integrity(request.auth, dataset=dataset))


@router.post("/verify", response={202: VerificationAnswer}, operation_id="verify_dataset", summary="Verify a dataset")
def verify(request: ApiRequest, team: Path[str], name: Path[str]) -> Any:  # noqa: ANN401
    """Read all that the dataset holds again, in the background. 409 while that is under way. Needs the role writer."""
    dataset = get_dataset(request.auth, team=team, name=name)
    return Status(202, VerificationAnswer.of(verify_dataset(request.auth, dataset=dataset)))


@router.get(
    "/versions/{number}/integrity",
    response=IntegrityAnswer,
    operation_id="get_version_integrity",
    summary="Whether a version is whole",
)
def version_integrity(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str]) -> IntegrityAnswer:
    """Tell the same of one version."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    return IntegrityAnswer.of(view_integrity(request.auth, dataset=version.dataset, version=version))
