"""What was found out about the files of a tree, once for all versions that have it."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.lease import Leased, LeasedQuerySet


class SummaryQuerySet(LeasedQuerySet["Summary"]):
    """Summaries."""

    def active(self) -> Self:
        """Keep those that are not made yet."""
        return self.filter(status__in=Summary.ACTIVE)


class Summary(Leased):
    """What the files below the root directory with this digest are. Read through a version, like the tree itself.

    First all files are counted, then they are looked into; `position` is how many of them were, and `state` what was
    found in them, so that any worker goes on from there. `figures` is what there is to show. No foreign key to the
    root: the digest says it all, and the collector of unused trees need not know of this.
    """

    class Status(models.TextChoices):
        """Waiting -> running -> finished or failed."""

        WAITING = "waiting"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    class Phase(models.TextChoices):
        """What is being done."""

        COUNT = "count"
        LOOK = "look"

    ACTIVE = (Status.WAITING, Status.RUNNING)

    digest = models.BinaryField(max_length=32, unique=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.COUNT)
    position = models.PositiveBigIntegerField(default=0)
    state = models.JSONField(default=dict)
    figures = models.JSONField(default=dict)
    # Of the rules that it was made by: an older one is made anew.
    edition = models.PositiveSmallIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = SummaryQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="summary_status", condition=Q(status__in=["waiting", "running", "finished", "failed"])
            ),
            models.CheckConstraint(name="summary_phase", condition=Q(phase__in=["count", "look"])),
        )
        indexes = (models.Index(name="summary_status_lease", fields=("status", "lease_until")),)

    def __str__(self) -> str:
        """Return whose it is."""
        return f"summary of sha256:{bytes(self.digest).hex()}"

    @property
    def is_active(self) -> bool:
        """Whether it is not made yet."""
        return self.status in self.ACTIVE
