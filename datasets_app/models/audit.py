"""Who did what: one row per act, never changed."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.utils import timezone

from datasets_app.models.team import Team, User


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Acts."""

    def visible_to(self, user: User) -> Self:
        """Keep the acts in the user's teams."""
        return self.filter(team__in=Team.objects.visible_to(user))

    def record(self, actor: User | None, *, team: Team | None, verb: str, subject: str, **details: object) -> None:
        """Write down that `actor` (None: the system itself) did `verb` to `subject`."""
        name = actor.get_username() if actor is not None else "system"
        self.create(actor=actor, actor_name=name, team=team, verb=verb, subject=subject, details=details)


class AuditEvent(models.Model):
    """One act, kept with the actor's name so that it stays readable when the account is gone."""

    team = models.ForeignKey(Team, null=True, on_delete=models.CASCADE, related_name="+", db_index=False)
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150)
    verb = models.CharField(max_length=40)
    subject = models.CharField(max_length=300)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at", "-id")
        indexes = (models.Index(name="audit_team_time", fields=("team", "-created_at")),)

    def __str__(self) -> str:
        """Return the act as a sentence."""
        return f"{self.actor_name} {self.verb} {self.subject}"
