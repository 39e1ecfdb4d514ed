"""API tokens: a secret that acts for a user, never with more rights than theirs."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.prepared import Slot
from datasets_app.models.team import Role, Team, User


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """API tokens."""

    def visible_to(self, user: User) -> Self:
        """Keep the user's own."""
        return self.filter(user=user)

    def usable(self, *, now: datetime | Slot | None = None) -> Self:
        """Keep those that are neither revoked nor expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=now or timezone.now()), revoked_at=None)


class ApiToken(models.Model):
    """One token. Only the SHA-256 of its text is kept; `prefix` is shown so that people can tell theirs apart."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    scope = models.CharField(max_length=10, choices=Role.choices, default=Role.ADMIN)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    # The token that made this one, which ends with it.
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = (models.CheckConstraint(name="token_scope", condition=Q(scope__in=Role.values)),)

    def __str__(self) -> str:
        """Return the token's name and the beginning of its text."""
        return f"{self.name} ({self.prefix}…)"
