"""Bytes: packs in the store, and the blobs that are slices of them."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.utils import timezone

from datasets_app.models.team import Team, User


class PackQuerySet(models.QuerySet["Pack"]):
    """Packs."""

    def visible_to(self, user: User) -> Self:
        """Keep packs that hold a blob which one of the user's teams can read."""
        return self.filter(blobs__teams__team__in=Team.objects.visible_to(user)).distinct()


class Pack(models.Model):
    """One object of the store, never changed. The row is written before the object, so no object is unknown.

    `stored` becomes true once all bytes are durable; only then may blobs point here.
    """

    key = models.CharField(max_length=200, unique=True)
    size = models.PositiveBigIntegerField()
    stored = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = PackQuerySet.as_manager()

    def __str__(self) -> str:
        """Return the key."""
        return self.key


class BlobQuerySet(models.QuerySet["Blob"]):
    """Blobs."""

    def visible_to(self, user: User) -> Self:
        """Keep blobs that one of the user's teams can read."""
        return self.filter(pk__in=TeamBlob.objects.filter(team__in=Team.objects.visible_to(user)).values("blob"))


class Blob(models.Model):
    """Bytes known by their SHA-256: `size` bytes at `offset` of one pack."""

    sha256 = models.BinaryField(max_length=32, unique=True)
    size = models.PositiveBigIntegerField()
    pack = models.ForeignKey(Pack, on_delete=models.PROTECT, related_name="blobs")
    offset = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = BlobQuerySet.as_manager()

    def __str__(self) -> str:
        """Return the digest."""
        return self.hex

    @property
    def hex(self) -> str:
        """The SHA-256 as 64 hexadecimal characters."""
        return bytes(self.sha256).hex()

    @property
    def whole_pack(self) -> bool:
        """Whether the pack holds these bytes and nothing else."""
        return self.offset == 0 and self.size == self.pack.size


class TeamBlob(models.Model):
    """The team had these bytes in its hands: a digest alone may link to them, with nothing sent."""

    # The constraint's index begins with it.
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+", db_index=False)
    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="teams")

    class Meta:
        constraints = (models.UniqueConstraint(name="team_blob_once", fields=("team", "blob")),)

    def __str__(self) -> str:
        """Return both ends."""
        return f"{self.team_id} can read {self.blob_id}"
