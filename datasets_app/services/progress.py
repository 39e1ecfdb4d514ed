"""How far an open version has come."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Q, Sum

from datasets_app.models import StagedFile, Version

SHOWN_FAILURES = 100


@dataclass(frozen=True, slots=True)
class StagingProgress:
    """Files and bytes that were declared for a version, how many are stored and verified, and which failed.

    `failed` holds the first 100 of `failed_count`.
    """

    file_count: int
    size: int
    stored_count: int
    stored_size: int
    failed_count: int
    failed: list[StagedFile]

    @property
    def is_complete(self) -> bool:
        """Whether everything declared is here."""
        return 0 < self.file_count == self.stored_count


def measure_staging(version: Version) -> StagingProgress:
    """Count what is staged for `version`, which the caller may see."""
    staged = StagedFile.objects.filter(version=version)
    here = Q(blob__isnull=False)
    failed = staged.failed()
    counts = staged.aggregate(
        files=Count("pk"),
        bytes=Sum("size", default=0),
        stored_files=Count("pk", filter=here),
        stored_bytes=Sum("size", filter=here, default=0),
    )
    shown = list(failed.order_by("path")[:SHOWN_FAILURES])
    total = len(shown) if len(shown) < SHOWN_FAILURES else failed.count()
    return StagingProgress(
        file_count=counts["files"],
        size=counts["bytes"],
        stored_count=counts["stored_files"],
        stored_size=counts["stored_bytes"],
        failed_count=total,
        failed=shown,
    )
