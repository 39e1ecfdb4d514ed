"""What is on its way in: declared files, uploads, and what a new version leaves out of its base or moves in it."""

from __future__ import annotations

import uuid
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.blob import Blob
from datasets_app.models.dataset import Version
from datasets_app.models.fields import TreePathField
from datasets_app.models.prepared import Slot
from datasets_app.models.team import Team, User
from datasets_app.models.tree import Directory


class UploadQuerySet(models.QuerySet["Upload"]):
    """Uploads."""

    def visible_to(self, user: User | Slot) -> Self:
        """Keep the uploads into the user's teams' datasets."""
        return self.filter(version__dataset__team__in=Team.objects.visible_to(user))

    def transition(self, *, to: str, was: str, error: str = "") -> bool:
        """Move the one upload in this set from status `was`; False when it was no longer there."""
        return bool(self.filter(status=was).update(status=to, error=error))


class Upload(models.Model):
    """One resumable tus transfer. How many bytes came so far is the staging file's size on disk, nowhere else."""

    class Kind(models.TextChoices):
        """What the bytes are: one file, or many small ones back to back."""

        FILE = "file"
        BUNDLE = "bundle"

    class Status(models.TextChoices):
        """Receiving -> received (all bytes are here) -> finished, or failed. Removed: ended by a client or expiry."""

        RECEIVING = "receiving"
        RECEIVED = "received"
        FINISHED = "finished"
        FAILED = "failed"
        REMOVED = "removed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="uploads")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    kind = models.CharField(max_length=6, choices=Kind.choices)
    size = models.PositiveBigIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RECEIVING)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()

    objects = UploadQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="upload_status",
                condition=Q(status__in=["receiving", "received", "finished", "failed", "removed"]),
            ),
        )
        indexes = (models.Index(name="upload_status_expiry", fields=("status", "expires_at")),)

    def __str__(self) -> str:
        """Return the id."""
        return str(self.pk)


class StagedFileQuerySet(models.QuerySet["StagedFile"]):
    """Declared files of open versions."""

    def visible_to(self, user: User) -> Self:
        """Keep those of the user's teams' datasets."""
        return self.filter(version__dataset__team__in=Team.objects.visible_to(user))

    def stored(self) -> Self:
        """Keep those whose bytes are verified."""
        return self.filter(blob__isnull=False)

    def missing(self) -> Self:
        """Keep those that have no verified bytes, failed ones too."""
        return self.filter(blob=None)

    def lacking(self) -> Self:
        """Keep those that stand in the way of a seal: without verified bytes, and none that a worker is verifying."""
        return self.missing().exclude(upload__status=Upload.Status.RECEIVED)

    def failed(self) -> Self:
        """Keep those whose bytes came and were wrong, or could not be had."""
        return self.filter(blob=None).exclude(error="")


class StagedFile(models.Model):
    """A path declared for an open version; it counts once `blob` is set. In a bundle its bytes start at `offset`."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="staged", db_index=False)
    path = TreePathField(max_length=4096)
    size = models.PositiveBigIntegerField()
    sha256 = models.BinaryField(max_length=32, null=True)
    blob = models.ForeignKey(Blob, null=True, on_delete=models.PROTECT, related_name="staged")
    upload = models.ForeignKey(Upload, null=True, on_delete=models.SET_NULL, related_name="staged")
    offset = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)

    objects = StagedFileQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(name="staged_path_once", fields=("version", "path")),)

    def __str__(self) -> str:
        """Return the path."""
        return self.path

    @property
    def state(self) -> str:
        """One of stored, failed, partial (an upload is under way), needed."""
        if self.blob_id is not None:
            return "stored"
        if self.error:
            return "failed"
        return "needed" if self.upload_id is None else "partial"


class StagedRemoval(models.Model):
    """A path of the base version that the new one leaves out; with a trailing "/" a whole directory.

    Files staged later at the same path win over it.
    """

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="removals", db_index=False)
    path = TreePathField(max_length=4097)

    class Meta:
        constraints = (models.UniqueConstraint(name="removal_once", fields=("version", "path")),)

    def __str__(self) -> str:
        """Return the path."""
        return self.path


class StagedMove(models.Model):
    """A file or folder of the base version that the new one has at `path` instead of `origin`; no bytes move.

    A folder's `directory` hangs in the tree at `path`, with what is staged and removed below that laid over it. A moved
    file is a staged file with the base's blob: its row here, without a directory, only tells where it came from.
    """

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="moves", db_index=False)
    path = TreePathField(max_length=4096)
    origin = TreePathField(max_length=4096)
    directory = models.ForeignKey(Directory, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(name="move_once", fields=("version", "path")),)

    def __str__(self) -> str:
        """Return both ends."""
        return f"{self.origin} to {self.path}"
