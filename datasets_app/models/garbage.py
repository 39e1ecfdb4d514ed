"""What the garbage collector remembers: its runs, what it removed, and since when something has been unused."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.blob import Blob, Pack
from datasets_app.models.lease import Leased, LeasedQuerySet
from datasets_app.models.team import User
from datasets_app.models.tree import Directory


class CollectionRunQuerySet(LeasedQuerySet["CollectionRun"]):
    """Collections."""

    def active(self) -> CollectionRunQuerySet:
        """Keep those that have not ended."""
        return self.filter(status__in=CollectionRun.ACTIVE)


class CollectionRun(Leased):
    """One collection. `report` counts what was removed, by kind: {"blob": {"count", "size"}, ..}; sizes are bytes."""

    class Status(models.TextChoices):
        """Waiting -> running -> finished or failed."""

        WAITING = "waiting"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    ACTIVE = (Status.WAITING, Status.RUNNING)

    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    # Counts what would go, and removes nothing.
    is_dry_run = models.BooleanField(default=False)
    # Whether unknown objects go although the store holds versions that this database has never heard of.
    forget_unknown = models.BooleanField(default=False)
    step = models.CharField(max_length=40, blank=True)
    report = models.JSONField(default=dict)
    # Sentences for the operator: what was left alone, and why.
    notes = models.JSONField(default=list)
    error = models.TextField(blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = CollectionRunQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        constraints = (
            models.CheckConstraint(
                name="collection_status", condition=Q(status__in=["waiting", "running", "finished", "failed"])
            ),
            models.UniqueConstraint(
                name="collection_one_active", fields=("is_dry_run",), condition=Q(status__in=["waiting", "running"])
            ),
        )
        indexes = (models.Index(name="collection_newest", fields=("-created_at",)),)

    def __str__(self) -> str:
        """Return what it is."""
        return f"{'dry run' if self.is_dry_run else 'collection'} {self.pk}"


class RemovedObject(models.Model):
    """The journal: one row for everything that was removed, written before its bytes are. `size` is in bytes.

    `removed_at` is empty while the object in the store, if there is one, has yet to go.
    """

    class Kind(models.TextChoices):
        """What it was."""

        PACK = "pack"
        BLOB = "blob"
        MANIFEST = "manifest"
        SLICES = "slices"
        UNKNOWN = "unknown"
        PARTIAL = "partial"
        STAGING = "staging"
        UPLOAD = "upload"
        VERSION = "version"
        DATASET = "dataset"
        TREE = "tree"

    # Those that are objects of the store, by their key.
    STORED = (Kind.PACK, Kind.MANIFEST, Kind.SLICES, Kind.UNKNOWN, Kind.PARTIAL)

    run = models.ForeignKey(CollectionRun, null=True, on_delete=models.SET_NULL, related_name="removed")
    kind = models.CharField(max_length=10, choices=Kind.choices)
    # A key of the store; a digest in hex of a blob or a tree; an id of an upload; team/dataset@number of a version.
    # Without an index: it would take as long as all the rest of a removal, for a question that is seldom asked.
    key = models.CharField(max_length=300)
    size = models.PositiveBigIntegerField(default=0)
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(name="removed_unfinished", fields=("id",), condition=Q(removed_at=None)),
            models.Index(name="removed_when", fields=("created_at",)),
        )

    def __str__(self) -> str:
        """Return what it was."""
        return f"{self.kind} {self.key}"


class UnreferencedDirectory(models.Model):
    """A directory that no version and no other directory holds, `since` then."""

    directory = models.OneToOneField(Directory, primary_key=True, on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        """Return which."""
        return f"directory {self.directory_id} since {self.since}"


class UnreferencedBlob(models.Model):
    """A blob that no file and no staged file holds, `since` then."""

    blob = models.OneToOneField(Blob, primary_key=True, on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        """Return which."""
        return f"blob {self.blob_id} since {self.since}"


class RetiredPack(models.Model):
    """A pack whose blobs were moved elsewhere at that time; somebody may still be reading it by its key."""

    pack = models.OneToOneField(Pack, primary_key=True, on_delete=models.CASCADE, related_name="+")
    since = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        """Return which."""
        return f"pack {self.pack_id} since {self.since}"


class StorageSample(models.Model):
    """How much the whole installation stored at a time, in bytes.

    `pack_size`: objects of the store. `blob_size`: distinct bytes with a blob. `logical_size`: all available versions,
    as if nothing were shared. `unused_size`: the part of `pack_size` that nothing needs any more.
    """

    at = models.DateTimeField(db_index=True)
    pack_size = models.PositiveBigIntegerField()
    blob_size = models.PositiveBigIntegerField()
    logical_size = models.PositiveBigIntegerField()
    unused_size = models.PositiveBigIntegerField()
    pack_count = models.PositiveBigIntegerField()
    blob_count = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        """Return when."""
        return f"storage at {self.at}"
