"""How much is stored for what. Every figure can be computed anew; these rows only remember.

Sizes are bytes, each blob counted once. They look at one team alone: that another team has the same bytes is not shown.
"""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q

from datasets_app.models.dataset import Dataset, Version
from datasets_app.models.team import Team, User


class VersionSpace(models.Model):
    """What a sealed version weighs. `added_size` is what no earlier version of its dataset held when it was measured.

    `own_size` is what no other version of the team holds, as long as `own_key` is the key of the team's versions.
    """

    version = models.OneToOneField(Version, primary_key=True, on_delete=models.CASCADE, related_name="space")
    stored_size = models.PositiveBigIntegerField()
    added_size = models.PositiveBigIntegerField()
    own_size = models.PositiveBigIntegerField(default=0)
    own_key = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        """Return whose figures they are."""
        return f"space of version {self.version_id}"


class SpaceSampleQuerySet(models.QuerySet["SpaceSample"]):
    """Samples."""

    def visible_to(self, user: User) -> Self:
        """Keep the samples of the user's teams."""
        return self.filter(team__in=Team.objects.visible_to(user))


class SpaceSample(models.Model):
    """What a dataset, or with none a whole team, stored on a day; the last figures of that day.

    `logical_size` counts every file of every live version. `live_size` are the bytes stored for live versions,
    `trash_size` those that only versions in the trash hold, `open_size` those that only unsealed versions hold.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+", db_index=False)
    dataset = models.ForeignKey(Dataset, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    # Of the versions that were counted: with the same key, the figures still hold.
    key = models.CharField(max_length=64)
    version_count = models.PositiveIntegerField()
    logical_size = models.PositiveBigIntegerField()
    live_size = models.PositiveBigIntegerField()
    trash_size = models.PositiveBigIntegerField()
    open_size = models.PositiveBigIntegerField()

    objects = SpaceSampleQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                name="space_sample_dataset_day", fields=("dataset", "day"), condition=Q(dataset__isnull=False)
            ),
            models.UniqueConstraint(
                name="space_sample_team_day", fields=("team", "day"), condition=Q(dataset__isnull=True)
            ),
        )

    def __str__(self) -> str:
        """Return whose figures they are, and of when."""
        return f"space of {self.dataset or self.team} on {self.day}"

    @property
    def stored_size(self) -> int:
        """Bytes that are stored in all."""
        return self.live_size + self.trash_size + self.open_size

    @property
    def saved_size(self) -> int:
        """Bytes that are not stored again because files of live versions are equal."""
        return self.logical_size - self.live_size
