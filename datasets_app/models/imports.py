"""Runs that copy a remote path into a version."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.connection import Connection
from datasets_app.models.dataset import Version
from datasets_app.models.lease import Leased, LeasedQuerySet
from datasets_app.models.team import Team, User


class ImportQuerySet(LeasedQuerySet["Import"]):
    """Imports."""

    def visible_to(self, user: User) -> Self:
        """Keep the imports into the user's teams' datasets."""
        return self.filter(version__dataset__team__in=Team.objects.visible_to(user))

    def active(self) -> Self:
        """Keep those that have not ended."""
        return self.filter(status__in=Import.ACTIVE)

    def running(self) -> Self:
        """Keep those whose turn it is."""
        return self.filter(status__in=Import.RUNNING)

    def unpaused(self) -> Self:
        """Leave out those whose store is left alone for now."""
        return self.filter(Q(paused_until=None) | Q(paused_until__lte=timezone.now()))


class Import(Leased):
    """One run: list the remote path into staged files and parts, then copy part by part. The lease is the lister's.

    Sizes are bytes. Every listed file ends as one of linked, copied, failed; keys that can't be files of a dataset are
    refused, and skipped ones are none of the import's business.
    """

    class Status(models.TextChoices):
        """Waiting (for its turn in the team) -> listing (and copying) -> copying -> finished, failed or cancelled."""

        WAITING = "waiting"
        LISTING = "listing"
        COPYING = "copying"
        FINISHED = "finished"
        FAILED = "failed"
        CANCELLED = "cancelled"

    RUNNING = (Status.LISTING, Status.COPYING)
    ACTIVE = (Status.WAITING, *RUNNING)
    # Ended with files that are not here.
    INCOMPLETE = (Status.FAILED, Status.CANCELLED)

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="imports")
    connection = models.ForeignKey(Connection, null=True, on_delete=models.SET_NULL, related_name="imports")
    # Copied, so that they outlive the connection.
    connection_name = models.CharField(max_length=63)
    provider = models.CharField(max_length=20)
    source_path = models.CharField(max_length=2048)
    # As asked for, and what it meant when the import began (a commit of the Hub).
    revision = models.CharField(max_length=200, blank=True)
    pinned = models.CharField(max_length=200, blank=True)
    include = models.JSONField(default=list, blank=True)
    exclude = models.JSONField(default=list, blank=True)
    # The folder of the version that the source's contents go into; empty for the root.
    prefix = models.CharField(max_length=4096, blank=True)
    # Whether the version is sealed once all files are there.
    seal = models.BooleanField(default=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    error = models.TextField(blank=True)
    # Where the listing goes on after a crash.
    cursor = models.TextField(blank=True, editable=False)
    is_listed = models.BooleanField(default=False, editable=False)
    # Staged files with a higher id were staged after the import began.
    first_staged = models.BigIntegerField(default=0, editable=False)
    listed_files = models.PositiveBigIntegerField(default=0, editable=False)
    listed_size = models.PositiveBigIntegerField(default=0, editable=False)
    # Left out by the patterns, or no files at all (markers of directories).
    skipped_files = models.PositiveBigIntegerField(default=0, editable=False)
    # Keys that are no legal paths, and objects that can't be read whatever is tried.
    refused_files = models.PositiveBigIntegerField(default=0, editable=False)
    # Stored already: no bytes moved.
    linked_files = models.PositiveBigIntegerField(default=0, editable=False)
    linked_size = models.PositiveBigIntegerField(default=0, editable=False)
    copied_files = models.PositiveBigIntegerField(default=0, editable=False)
    copied_size = models.PositiveBigIntegerField(default=0, editable=False)
    failed_files = models.PositiveBigIntegerField(default=0, editable=False)
    # Failures since a file was copied: when all fail, the rest need not be tried.
    failed_in_a_row = models.PositiveIntegerField(default=0, editable=False)
    # How often in a row the store did not answer at all, and until when it is left alone for that.
    outages = models.PositiveIntegerField(default=0, editable=False)
    paused_until = models.DateTimeField(null=True, editable=False)
    # When a worker last took this import up: the one that waited longest is next.
    served_at = models.DateTimeField(default=timezone.now, editable=False)
    # What the speed is told from, oldest first: [seconds since the epoch, files, bytes] copied by then.
    samples = models.JSONField(default=list, editable=False)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True, editable=False)

    objects = ImportQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="import_status",
                condition=Q(status__in=["waiting", "listing", "copying", "finished", "failed", "cancelled"]),
            ),
            models.UniqueConstraint(
                name="import_one_active", fields=("version",), condition=Q(status__in=["waiting", "listing", "copying"])
            ),
        )
        indexes = (models.Index(name="import_status_served", fields=("status", "served_at")),)

    def __str__(self) -> str:
        """Return where from."""
        return f"{self.connection_name}:{self.source_path}"

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in self.ACTIVE

    @property
    def is_paused(self) -> bool:
        """Whether its store is left alone for now."""
        return self.is_active and self.paused_until is not None and self.paused_until > timezone.now()


class ImportPartQuerySet(LeasedQuerySet["ImportPart"]):
    """Parts."""

    def waiting(self) -> Self:
        """Keep those that still have files to fetch, in a worker's hands or not."""
        return self.filter(status=ImportPart.Status.WAITING)

    def unfinished(self) -> Self:
        """Keep those of which files are not here, tried or not."""
        return self.filter(status__in=[ImportPart.Status.WAITING, ImportPart.Status.FAILED])


class ImportPart(Leased):
    """Some of the listed files that still have to be fetched: what a worker takes up at a time.

    `files` is zstd over JSON: `services.import_parts` writes and reads it. Which of them are done is told by the
    staged files' blobs, so a part may be done twice. A large file is a part of its own: of what grows in the staging
    file `staged_as`, the first `staged_size` bytes are durable.
    """

    class Status(models.TextChoices):
        """Waiting -> done, or failed when a file of it could not be had."""

        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    run = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="parts", db_index=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    file_count = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField()
    files = models.BinaryField()
    staged_as = models.UUIDField(null=True)
    staged_size = models.PositiveBigIntegerField(default=0)

    objects = ImportPartQuerySet.as_manager()

    class Meta:
        indexes = (
            models.Index(name="import_part_next", fields=("run", "status", "id")),
            # For the collector: which staging files are still wanted.
            models.Index(name="import_part_staged", fields=("staged_as",), condition=Q(staged_as__isnull=False)),
        )

    def __str__(self) -> str:
        """Return its size."""
        return f"{self.file_count} files of import {self.run_id}"


class ImportProblem(models.Model):
    """An object that could not be imported. `path` is empty where its key is no legal path.

    Of very many, the first ones are kept; the import's counters count all. `is_refused`: nothing was tried, since its
    key or kind forbids it; trying again is of no use.
    """

    run = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="problems", db_index=False)
    key = models.TextField()
    path = models.TextField(blank=True)
    cause = models.CharField(max_length=20)
    reason = models.TextField()
    is_refused = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        indexes = (models.Index(name="import_problem_run", fields=("run", "id")),)

    def __str__(self) -> str:
        """Return what is wrong."""
        return f"{self.key}: {self.reason}"
