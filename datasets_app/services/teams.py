"""Teams and their members. The last admin stays: a team without one could never be repaired from its pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from datasets_app.errors import Conflict
from datasets_app.models import AuditEvent, Membership, Role, Team, User
from datasets_app.permissions import get_visible, require
from datasets_app.services.validation import check_name, check_role

if TYPE_CHECKING:
    from django.db.models import QuerySet


def list_teams(actor: User) -> list[Membership]:
    """Return the actor's memberships, each with its team, by the teams' names; roles are capped by the token in use."""
    visible = Team.objects.visible_to(actor)
    rows = Membership.objects.filter(user=actor, team__in=visible).select_related("team").order_by("team__name")
    found = list(rows)
    if actor.access_token is not None:
        most = Role(actor.access_token.scope)
        for membership in found:
            membership.role = min(Role(membership.role), most, key=lambda role: role.rank)
    return found


def get_team(actor: User, *, team: str) -> Team:
    """Return the team of that name; NotFound for strangers."""
    return get_visible(Team.objects.visible_to(actor).filter(name=team).first(), f"team {team}")


def create_team(actor: User, *, name: str) -> Team:
    """Make a team whose admin the actor is. Raise Conflict when the name is taken."""
    check_name(name)
    try:
        with transaction.atomic():
            team = Team.objects.create(name=name)
            Membership.objects.create(team=team, user=actor, role=Role.ADMIN)
            AuditEvent.objects.record(actor, team=team, verb="created team", subject=name)
    except IntegrityError as error:
        detail = f"There is already a team called {name}."
        raise Conflict(detail, errors=[{"field": "name", "detail": detail}]) from error
    return team


def list_members(actor: User, *, team: str) -> list[Membership]:
    """Return the team's memberships with their users, by user name."""
    row = get_team(actor, team=team)
    return list(Membership.objects.filter(team=row).select_related("user").order_by("user__username"))


def recent_activity(actor: User, *, team: str, limit: int = 50) -> list[AuditEvent]:
    """Return the team's newest acts, the newest first."""
    row = get_team(actor, team=team)
    return list(AuditEvent.objects.visible_to(actor).filter(team=row)[:limit])


def change_role(actor: User, *, team: str, username: str, role: str) -> Membership:
    """Give a member another role. Raise Conflict when the team would be left without an admin."""
    with transaction.atomic():
        row = _lock_team(actor, team)
        require(actor, "member.change", row)
        new = check_role(role)
        membership = _get_member(row, username)
        if membership.role == new:
            return membership
        if new is not Role.ADMIN:
            _keep_an_admin(membership)
        old, membership.role = membership.role, new
        membership.save(update_fields=["role"])
        AuditEvent.objects.record(actor, team=row, verb="changed role of", subject=username, old=old, new=new)
    return membership


def remove_member(actor: User, *, team: str, username: str) -> Membership:
    """Take a member out of the team; they lose access at once. Removing oneself is leaving, and needs no role."""
    with transaction.atomic():
        row = _lock_team(actor, team)
        is_self = username == actor.get_username()
        require(actor, "team.view" if is_self else "member.change", row)
        membership = _get_member(row, username)
        _keep_an_admin(membership)
        membership.delete()
        verb = "left team" if is_self else "removed member"
        AuditEvent.objects.record(actor, team=row, verb=verb, subject=row.name if is_self else username)
    return membership


def leave(actor: User, *, team: str) -> Membership:
    """Take the actor out of the team. Raise Conflict for the last admin."""
    return remove_member(actor, team=team, username=actor.get_username())


def _lock_team(actor: User, name: str) -> Team:
    """Lock the team's row, so that two admins can't demote each other at the same moment."""
    teams: QuerySet[Team] = Team.objects.visible_to(actor).select_for_update()
    return get_visible(teams.filter(name=name).first(), f"team {name}")


def _get_member(team: Team, username: str) -> Membership:
    rows = Membership.objects.filter(team=team, user__username=username).select_related("user", "team")
    return get_visible(rows.first(), f"member {username} of {team.name}")


def _keep_an_admin(leaving: Membership) -> None:
    others = Membership.objects.filter(team=leaving.team, role=Role.ADMIN).exclude(pk=leaving.pk)
    if leaving.role == Role.ADMIN and not others.exists():
        message = f"{leaving.user} is the last admin of {leaving.team}. Make another member an admin first."
        raise Conflict(message)
