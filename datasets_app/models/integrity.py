"""What was verified, and what was found damaged."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.blob import Blob
from datasets_app.models.dataset import Dataset, Version
from datasets_app.models.fields import TreePathField
from datasets_app.models.lease import Leased, LeasedQuerySet
from datasets_app.models.team import User
from datasets_app.models.tree import Directory


class VerificationQuerySet(LeasedQuerySet["Verification"]):
    """Verifications."""

    def active(self) -> Self:
        """Keep those that have not ended."""
        return self.filter(status__in=Verification.ACTIVE)


class Verification(Leased):
    """One run that reads stored bytes again: all of them, or those of one dataset. Goes on at `phase` and `cursor`.

    Sizes are bytes. `scope` is "all" or "dataset:<id>".
    """

    class Status(models.TextChoices):
        """Waiting -> running -> finished or failed."""

        WAITING = "waiting"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    class Phase(models.TextChoices):
        """What is read: bytes, then trees, then manifests."""

        PACKS = "packs"
        TREES = "trees"
        MANIFESTS = "manifests"

    ACTIVE = (Status.WAITING, Status.RUNNING)

    dataset = models.ForeignKey(Dataset, null=True, on_delete=models.CASCADE, related_name="verifications")
    scope = models.CharField(max_length=40, default="all")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    phase = models.CharField(max_length=10, choices=Phase.choices, default=Phase.PACKS)
    # The last id that was dealt with in this phase.
    cursor = models.BigIntegerField(default=0)
    # Bytes to read in all, as counted at the beginning.
    total_size = models.PositiveBigIntegerField(default=0)
    read_size = models.PositiveBigIntegerField(default=0)
    pack_count = models.PositiveBigIntegerField(default=0)
    blob_count = models.PositiveBigIntegerField(default=0)
    directory_count = models.PositiveBigIntegerField(default=0)
    damaged_count = models.PositiveBigIntegerField(default=0)
    healed_count = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = VerificationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints = (
            models.CheckConstraint(
                name="verification_status", condition=Q(status__in=["waiting", "running", "finished", "failed"])
            ),
            models.CheckConstraint(name="verification_phase", condition=Q(phase__in=["packs", "trees", "manifests"])),
            models.UniqueConstraint(
                name="verification_one_active", fields=("scope",), condition=Q(status__in=["waiting", "running"])
            ),
        )
        indexes = (models.Index(name="verification_newest", fields=("scope", "-created_at")),)

    def __str__(self) -> str:
        """Return what it reads."""
        return f"verification of {self.scope}"

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in self.ACTIVE


class DamageQuerySet(models.QuerySet["Damage"]):
    """Damages."""

    def open(self) -> Self:
        """Keep those that have not been healed."""
        return self.filter(healed_at=None)


class Damage(models.Model):
    """Stored bytes, or rows of a tree, that are not what their digest says. Exactly one of blob and directory is set.

    While it is open, nobody links to the blob: whoever brings the same bytes heals it.
    """

    class Cause(models.TextChoices):
        """Missing: no object, or a shorter one. Changed: other bytes. Tree: a directory's rows."""

        MISSING = "missing"
        CHANGED = "changed"
        TREE = "tree"

    blob = models.ForeignKey(Blob, null=True, on_delete=models.CASCADE, related_name="damages")
    directory = models.ForeignKey(Directory, null=True, on_delete=models.CASCADE, related_name="damages")
    cause = models.CharField(max_length=10, choices=Cause.choices)
    detail = models.TextField(blank=True)
    run = models.ForeignKey(Verification, null=True, on_delete=models.SET_NULL, related_name="damages")
    found_at = models.DateTimeField(default=timezone.now, editable=False)
    healed_at = models.DateTimeField(null=True, editable=False)
    # Whether its paths were looked up; and, once healed, whether the store tells where its bytes are now.
    is_traced = models.BooleanField(default=False, editable=False)
    is_listed = models.BooleanField(default=False, editable=False)

    objects = DamageQuerySet.as_manager()

    class Meta:
        ordering = ("-found_at", "-id")
        constraints = (
            models.CheckConstraint(
                name="damage_of_one",
                condition=Q(blob__isnull=False, directory=None) | Q(blob=None, directory__isnull=False),
            ),
            models.UniqueConstraint(name="damage_once_blob", fields=("blob",), condition=Q(healed_at=None)),
            models.UniqueConstraint(name="damage_once_directory", fields=("directory",), condition=Q(healed_at=None)),
        )

    def __str__(self) -> str:
        """Return what is wrong with what."""
        return f"{self.cause}: {self.detail}"


class DamagedPath(models.Model):
    """A path of a version that a damage affects; of a damaged directory, the directory's own (empty for the root)."""

    damage = models.ForeignKey(Damage, on_delete=models.CASCADE, related_name="paths", db_index=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="damaged_paths")
    path = TreePathField(max_length=4096, blank=True)

    class Meta:
        indexes = (models.Index(name="damaged_path_damage", fields=("damage", "version")),)

    def __str__(self) -> str:
        """Return the path."""
        return self.path
