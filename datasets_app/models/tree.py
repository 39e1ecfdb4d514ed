"""The Merkle tree: nodes that are written once and shared by all versions with the same content.

Nodes carry no path and no team. They are read through a version, whose dataset says who may.
"""

from __future__ import annotations

from typing import Self

from django.db import models
from django.utils import timezone

from datasets_app.models.blob import Blob, TeamBlob
from datasets_app.models.team import Team, User


class DirectoryQuerySet(models.QuerySet["Directory"]):
    """Directories."""

    def visible_to(self, user: User) -> Self:
        """Keep the roots of versions that the user can see (deeper nodes are reached by walking)."""
        return self.filter(versions__dataset__team__in=Team.objects.visible_to(user)).distinct()


class Directory(models.Model):
    """A directory, known by its digest. `file_count` and `size` (bytes) are those of the whole subtree.

    Its entries are inserted in the same transaction; then `closed` is set, and the database refuses any change.
    """

    digest = models.BinaryField(max_length=32, unique=True)
    file_count = models.PositiveBigIntegerField()
    size = models.PositiveBigIntegerField()
    closed = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = DirectoryQuerySet.as_manager()

    def __str__(self) -> str:
        """Return the digest as it is shown everywhere."""
        return f"sha256:{self.hex}"

    @property
    def hex(self) -> str:
        """The digest as 64 hexadecimal characters."""
        return bytes(self.digest).hex()


class Subdirectory(models.Model):
    """An edge: `parent` holds `child` under `name`."""

    parent = models.ForeignKey(Directory, on_delete=models.CASCADE, related_name="subdirectories", db_index=False)
    name = models.CharField(max_length=255)
    child = models.ForeignKey(Directory, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(name="subdirectory_name", fields=("parent", "name")),)

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class FileQuerySet(models.QuerySet["File"]):
    """Files."""

    def visible_to(self, user: User) -> Self:
        """Keep files whose bytes one of the user's teams can read."""
        readable = TeamBlob.objects.filter(team__in=Team.objects.visible_to(user)).values("blob")
        return self.filter(blob__in=readable)


class File(models.Model):
    """A leaf: `directory` holds the bytes of `blob` under `name`."""

    directory = models.ForeignKey(Directory, on_delete=models.CASCADE, related_name="files", db_index=False)
    name = models.CharField(max_length=255)
    blob = models.ForeignKey(Blob, on_delete=models.PROTECT, related_name="files")

    objects = FileQuerySet.as_manager()

    class Meta:
        constraints = (models.UniqueConstraint(name="file_name", fields=("directory", "name")),)

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class NameList(models.Model):
    """Names of some files of a directory as one text, for the search alone: see `store.name_lists`."""

    directory = models.ForeignKey(Directory, on_delete=models.CASCADE, related_name="+", db_index=False)
    first = models.CharField(max_length=255)
    last = models.CharField(max_length=255)
    names = models.TextField()
    least_size = models.PositiveBigIntegerField()
    most_size = models.PositiveBigIntegerField()

    class Meta:
        constraints = (models.UniqueConstraint(name="name_list_first", fields=("directory", "first")),)

    def __str__(self) -> str:
        """Return which files it is about."""
        return f"{self.first} to {self.last}"
