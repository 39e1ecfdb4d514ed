"""People and the teams that own everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone

from datasets_app.models.prepared import Prepared, Slot

if TYPE_CHECKING:
    from datasets_app.models.token import ApiToken

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{1,61}[A-Za-z0-9]$"
NAME_RULE = "3 to 63 letters, digits, - or _, with a letter or digit at both ends"


class Role(models.TextChoices):
    """What a member may do; each role includes those before it."""

    READER = "reader"
    WRITER = "writer"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Position in the order reader < writer < admin."""
        return list(Role).index(self)


class User(AbstractUser):
    """A person who signs in. What they may do hangs on their memberships alone."""

    # Set on the instance by token authentication, for the length of one request: it narrows what the user may do.
    access_token: ApiToken | None = None

    def role_in(self, team: Team) -> Role | None:
        """Return the user's role in `team`, capped by the token in use; None for strangers."""
        if not self.reaches(team):
            return None
        membership = _MEMBERSHIP.first(user=self.pk, team=team.pk)
        if membership is None:
            return None
        role, token = Role(membership.role), self.access_token
        return min(role, Role(token.scope), key=lambda r: r.rank) if token is not None else role

    def reaches(self, team: Team) -> bool:
        """Tell whether the token in use, if any, is good for `team`."""
        token = self.access_token
        return token is None or token.team_id in (None, team.pk)


class TeamQuerySet(models.QuerySet["Team"]):
    """Teams."""

    def visible_to(self, user: User | Slot) -> Self:
        """Keep the teams that `user` (and the token in use, if any) belongs to."""
        mine = self.filter(pk__in=Membership.objects.filter(user=user).values("team"))
        token = user.access_token
        return mine.filter(pk=token.team_id) if token is not None and token.team_id is not None else mine


class Team(models.Model):
    """A group of people who share datasets and jobs. Its name is part of every URL."""

    name = models.CharField(max_length=63, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        constraints = (models.CheckConstraint(name="team_name_rule", condition=Q(name__regex=NAME_PATTERN)),)

    def __str__(self) -> str:
        """Return the name."""
        return self.name


class MembershipQuerySet(models.QuerySet["Membership"]):
    """Memberships."""

    def visible_to(self, user: User) -> Self:
        """Keep the memberships of the user's teams."""
        return self.filter(team__in=Team.objects.visible_to(user))


class Membership(models.Model):
    """One user's role in one team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(name="membership_once", fields=("team", "user")),
            models.CheckConstraint(name="membership_role", condition=Q(role__in=Role.values)),
        )

    def __str__(self) -> str:
        """Return who is what where."""
        return f"{self.user} {self.role} of {self.team}"


_MEMBERSHIP = Prepared(lambda: Membership.objects.filter(user=Slot("user"), team=Slot("team")))


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Invitations."""

    def visible_to(self, user: User) -> Self:
        """Keep the invitations into the user's teams."""
        return self.filter(team__in=Team.objects.visible_to(user))

    def usable(self) -> Self:
        """Keep those that can still be accepted."""
        return self.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())


class Invitation(models.Model):
    """A link that lets one person join a team; only the hash of its secret is kept."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Role.choices)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    note = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = (models.CheckConstraint(name="invitation_role", condition=Q(role__in=Role.values)),)

    def __str__(self) -> str:
        """Return what the link offers."""
        return f"{self.role} of {self.team}"
