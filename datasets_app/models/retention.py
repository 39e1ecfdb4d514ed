"""Which old versions of a dataset go to the trash by themselves."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.dataset import Dataset
from datasets_app.models.team import Team, User


class RetentionRuleQuerySet(models.QuerySet["RetentionRule"]):
    """Rules."""

    def visible_to(self, user: User) -> Self:
        """Keep the rules of the user's teams' datasets."""
        return self.filter(dataset__team__in=Team.objects.visible_to(user))


class RetentionRule(models.Model):
    """A version goes when nothing here keeps it: not among the last N, older than T days, without a label."""

    dataset = models.OneToOneField(Dataset, primary_key=True, on_delete=models.CASCADE, related_name="retention")
    is_on = models.BooleanField(default=False)
    keep_last = models.PositiveIntegerField(null=True, blank=True)
    older_than_days = models.PositiveIntegerField(null=True, blank=True)
    keep_labelled = models.BooleanField(default=True)
    updated_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    applied_at = models.DateTimeField(null=True, editable=False)

    objects = RetentionRuleQuerySet.as_manager()

    class Meta:
        constraints = (
            models.CheckConstraint(
                name="retention_has_a_limit",
                condition=Q(is_on=False) | Q(keep_last__isnull=False) | Q(older_than_days__isnull=False),
            ),
            models.CheckConstraint(
                name="retention_keeps_one", condition=Q(keep_last__isnull=True) | Q(keep_last__gte=1)
            ),
        )

    def __str__(self) -> str:
        """Return whose rule it is."""
        return f"retention of {self.dataset}"
