"""How to reach remote stores, and what was read from them before."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.blob import Blob
from datasets_app.models.team import NAME_PATTERN, Team, User


class ConnectionQuerySet(models.QuerySet["Connection"]):
    """Connections."""

    def visible_to(self, user: User) -> Self:
        """Keep the connections of the user's teams."""
        return self.filter(team__in=Team.objects.visible_to(user))


class Connection(models.Model):
    """A team's way to one remote store. `credentials` is a Fernet token over JSON, never shown and never logged."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="connections", db_index=False)
    name = models.CharField(max_length=63)
    provider = models.CharField(max_length=20)
    settings = models.JSONField(default=dict, blank=True)
    credentials = models.TextField(blank=True, editable=False)
    # The last check: {"at", "ok", "path", "steps": [{"name", "ok", "detail"}]}.
    checked = models.JSONField(default=dict, editable=False)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ConnectionQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(name="connection_name_once", fields=("team", "name")),
            models.CheckConstraint(name="connection_name_rule", condition=Q(name__regex=NAME_PATTERN)),
        )

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def checked_at(self) -> datetime | None:
        """When it was last checked; None when it never was as it is now."""
        return datetime.fromisoformat(self.checked["at"]) if self.checked else None


class RememberedObject(models.Model):
    """An object whose bytes were imported by this connection: while it is unchanged, nothing is fetched.

    `fingerprint` is the SHA-256 over where it is, its size, and what its store says changes with its bytes.
    """

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="+", db_index=False)
    fingerprint = models.BinaryField(max_length=32)
    blob = models.ForeignKey(Blob, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = (models.UniqueConstraint(name="remembered_once", fields=("connection", "fingerprint")),)

    def __str__(self) -> str:
        """Return the fingerprint."""
        return bytes(self.fingerprint).hex()
