"""Datasets and their versions."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from datasets_app.models.lease import Leased, LeasedQuerySet
from datasets_app.models.prepared import Slot
from datasets_app.models.team import NAME_PATTERN, Team, User
from datasets_app.models.tree import Directory


class DatasetQuerySet(models.QuerySet["Dataset"]):
    """Datasets."""

    def visible_to(self, user: User) -> Self:
        """Keep the datasets of the user's teams, archived and trashed ones too."""
        return self.filter(team__in=Team.objects.visible_to(user))

    def active(self) -> Self:
        """Leave out what is in the trash."""
        return self.filter(deleted_at=None)


class Dataset(models.Model):
    """A named line of versions in one team. `last_number` only grows, so a version's number is never used twice."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="datasets", db_index=False)
    name = models.CharField(max_length=63)
    description = models.TextField(blank=True, max_length=20_000)
    last_number = models.PositiveIntegerField(default=0, editable=False)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # Nobody, when a retention rule did it.
    deleted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = DatasetQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(name="dataset_name_once", fields=("team", "name")),
            models.CheckConstraint(name="dataset_name_rule", condition=Q(name__regex=NAME_PATTERN)),
        )
        indexes = (models.Index(name="dataset_updated", fields=("team", "-updated_at", "-id")),)

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    def allocate_number(self) -> int:
        """Return the next version number. Call inside a transaction."""
        Dataset.objects.filter(pk=self.pk).update(last_number=F("last_number") + 1, updated_at=timezone.now())
        self.refresh_from_db(fields=("last_number", "updated_at"))
        return self.last_number


class DatasetTag(models.Model):
    """A word that a dataset can be found by."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="tags", db_index=False)
    name = models.CharField(max_length=50, db_index=True)

    class Meta:
        ordering = ("name",)
        constraints = (models.UniqueConstraint(name="dataset_tag_once", fields=("dataset", "name")),)

    def __str__(self) -> str:
        """Return the word."""
        return self.name


class VersionQuerySet(LeasedQuerySet["Version"]):
    """Versions."""

    def visible_to(self, user: User | Slot) -> Self:
        """Keep the versions of the user's teams' datasets."""
        return self.filter(dataset__team__in=Team.objects.visible_to(user))

    def available(self) -> Self:
        """Keep sealed versions that are not in the trash."""
        return self.filter(status=Version.Status.AVAILABLE, deleted_at=None, dataset__deleted_at=None)

    def open(self) -> Self:
        """Keep versions that still take files."""
        return self.filter(status__in=Version.OPEN, deleted_at=None, dataset__deleted_at=None)


class Version(Leased):
    """One snapshot: open while files are brought in, immutable once `available` (the database refuses changes)."""

    class Status(models.TextChoices):
        """Where the version is on its way: uploading or syncing -> pending -> available, or error (which is open)."""

        UPLOADING = "uploading"
        SYNCING = "syncing"
        PENDING = "pending"
        AVAILABLE = "available"
        ERROR = "error"

    OPEN = (Status.UPLOADING, Status.SYNCING, Status.ERROR)
    FINAL = (Status.AVAILABLE, Status.ERROR)

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.UPLOADING)
    root = models.ForeignKey(Directory, null=True, on_delete=models.PROTECT, related_name="versions")
    base = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="+")
    message = models.CharField(max_length=500, blank=True)
    source = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    warnings = models.JSONField(default=list)
    manifest_key = models.CharField(max_length=200, blank=True, editable=False)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # When an open version was last worked on, to the hour; empty in its first.
    touched_at = models.DateTimeField(null=True, editable=False)
    sealed_at = models.DateTimeField(null=True, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    deleted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = VersionQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(name="version_number_once", fields=("dataset", "number")),
            models.CheckConstraint(
                name="version_available_is_complete",
                condition=~Q(status="available") | Q(root__isnull=False, sealed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="version_status",
                condition=Q(status__in=["uploading", "syncing", "pending", "available", "error"]),
            ),
        )
        indexes = (models.Index(name="version_status_lease", fields=("status", "lease_until")),)

    def __str__(self) -> str:
        """Return the label."""
        return self.label

    @property
    def label(self) -> str:
        """The version's short name, for instance `images@3`."""
        return f"{self.dataset.name}@{self.number}"

    @property
    def is_open(self) -> bool:
        """Whether files may still be added and removed."""
        return self.status in self.OPEN

    @property
    def digest(self) -> str:
        """The root directory's digest as `sha256:<hex>`; empty until sealed."""
        return str(self.root) if self.root is not None else ""

    @property
    def file_count(self) -> int:
        """Files in the sealed tree; 0 until then."""
        return self.root.file_count if self.root is not None else 0

    @property
    def size(self) -> int:
        """Bytes of all files of the sealed tree; 0 until then."""
        return self.root.size if self.root is not None else 0
