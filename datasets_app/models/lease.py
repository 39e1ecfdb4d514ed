"""Rows that a worker holds for a while: the queue only wakes, the row remembers."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Self, TypeVar

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

M = TypeVar("M", bound=models.Model)


class LeaseLostError(Exception):
    """Another worker has taken over, since this one was taken for dead."""


class LeasedQuerySet(models.QuerySet[M]):
    """Guarded changes of leased rows. Each returns whether this caller won."""

    def unleased(self) -> Self:
        """Keep rows that no live worker holds."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lt=timezone.now()))

    def claim(self, *, seconds: int, **changes: Any) -> uuid.UUID | None:
        """Take the lease of the one row in this set, unless another holds it; return the lease's token."""
        token = uuid.uuid4()
        until = timezone.now() + timedelta(seconds=seconds)
        won = self.unleased().update(lease_token=token, lease_until=until, attempts=F("attempts") + 1, **changes)
        return token if won else None

    def renew(self, token: uuid.UUID, *, seconds: int) -> bool:
        """Keep the lease for another `seconds`; False when it was lost to another worker."""
        return bool(self.filter(lease_token=token).update(lease_until=timezone.now() + timedelta(seconds=seconds)))

    def release(self, token: uuid.UUID, **changes: Any) -> bool:
        """Give the lease back and write the outcome, if the lease is still ours."""
        return bool(self.filter(lease_token=token).update(lease_token=None, lease_until=None, **changes))


class Leased(models.Model):
    """A long task's row: who works on it, and until when that may be believed."""

    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        abstract = True
