"""Answers to creating requests, kept for callers who ask again because the first answer was lost."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class IdempotencyKey(models.Model):
    """One request that made something. `owner` is the token or the account that sent it, `fingerprint` its SHA-256.

    Written in the transaction of what it made: so either both are there, or neither.
    """

    owner = models.CharField(max_length=40)
    key = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.BinaryField(default=bytes)
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(name="idempotency_key_once", fields=("owner", "key")),)

    def __str__(self) -> str:
        """Return the key."""
        return self.key
