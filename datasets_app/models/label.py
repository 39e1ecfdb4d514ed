"""Names for versions that can be moved, such as `prod`."""

from __future__ import annotations

from typing import Final, Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.dataset import Dataset, Version
from datasets_app.models.team import Team, User

LABEL_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
LABEL_RULE: Final = "1 to 63 letters, digits, ., - or _, with a letter or digit first and not digits alone"
# Always the newest available version; nobody sets it.
LATEST: Final = "latest"


class LabelQuerySet(models.QuerySet["Label"]):
    """Labels."""

    def visible_to(self, user: User) -> Self:
        """Keep the labels of the user's teams' datasets."""
        return self.filter(dataset__team__in=Team.objects.visible_to(user))


class Label(models.Model):
    """A name that can stand wherever a version's number can. Where it pointed before is told by the audit."""

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="labels", db_index=False)
    name = models.CharField(max_length=63)
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="labels")
    updated_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = LabelQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(name="label_once", fields=("dataset", "name")),
            # A number must never be taken for a label, nor the newest version for another one.
            models.CheckConstraint(
                name="label_rule",
                condition=Q(name__regex=LABEL_PATTERN) & ~Q(name__regex=r"^[0-9]+$") & ~Q(name__iexact=LATEST),
            ),
        )

    def __str__(self) -> str:
        """Return the name."""
        return self.name
