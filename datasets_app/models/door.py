"""The two doors through which sealed rows may be removed or moved; see `services.garbage`."""

from __future__ import annotations

from django.db import models


class Door(models.Model):
    """An open door. The row lives inside one transaction only, so that no other connection ever sees it.

    `purge` lets rows of sealed trees, blobs and packs be deleted; `compaction` lets a blob move to another pack.
    """

    name = models.CharField(max_length=12, primary_key=True)

    def __str__(self) -> str:
        """Return the name."""
        return self.name
