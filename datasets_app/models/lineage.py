"""What a composed version was made from."""

from __future__ import annotations

from typing import Self

from django.db import models

from datasets_app.models.dataset import Version
from datasets_app.models.team import Team, User


class LineageQuerySet(models.QuerySet["Lineage"]):
    """Sources of composed versions."""

    def visible_to(self, user: User) -> Self:
        """Keep those of the user's teams' versions."""
        return self.filter(version__dataset__team__in=Team.objects.visible_to(user))


class Lineage(models.Model):
    """One source of a composed version. Name, number and digest are copied, so that they outlive the source."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="lineage", db_index=False)
    position = models.PositiveIntegerField()
    source = models.ForeignKey(Version, null=True, on_delete=models.SET_NULL, related_name="used_by")
    dataset_name = models.CharField(max_length=63)
    version_number = models.PositiveIntegerField()
    digest = models.CharField(max_length=80)

    objects = LineageQuerySet.as_manager()

    class Meta:
        ordering = ("position",)
        constraints = (models.UniqueConstraint(name="lineage_position_once", fields=("version", "position")),)

    def __str__(self) -> str:
        """Return the source's short name."""
        return f"{self.dataset_name}@{self.version_number}"
