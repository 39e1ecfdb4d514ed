"""Links by which people join a team: they expire, serve one person, and only their hash is kept."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from datasets_app.errors import Conflict, Gone, NotFound
from datasets_app.models import AuditEvent, Invitation, Membership, User
from datasets_app.permissions import get_visible, require
from datasets_app.services.accounts import create_user
from datasets_app.services.teams import get_team
from datasets_app.services.tokens import hash_secret
from datasets_app.services.validation import check_days, check_role, check_text

MOST_DAYS = 90


def create_invitation(
    actor: User, *, team: str, role: str, note: str = "", expires_in_days: int = 7
) -> tuple[Invitation, str]:
    """Make a link into the team; return its row and its secret, which can't be read again."""
    row = get_team(actor, team=team)
    require(actor, "invitation.create", row)
    lifetime = timedelta(days=check_days(expires_in_days, most=MOST_DAYS))
    secret = secrets.token_urlsafe(32)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            team=row,
            role=check_role(role),
            note=check_text(note, field="note", most=200),
            token_hash=hash_secret(secret),
            created_by=actor,
            expires_at=timezone.now() + lifetime,
        )
        AuditEvent.objects.record(actor, team=row, verb="created invitation as", subject=role, note=invitation.note)
    return invitation, secret


def list_invitations(actor: User, *, team: str) -> list[Invitation]:
    """Return the team's links that can still be used, the newest first. For admins."""
    row = get_team(actor, team=team)
    require(actor, "invitation.view", row)
    return list(Invitation.objects.usable().filter(team=row).select_related("created_by"))


def revoke_invitation(actor: User, *, team: str, invitation_id: int) -> Invitation:
    """End a link. Raise Conflict when it was accepted in the meantime; twice is the same as once."""
    row = get_team(actor, team=team)
    invitation = get_visible(Invitation.objects.filter(team=row, pk=invitation_id).first(), "such invitation")
    require(actor, "invitation.revoke", row)
    with transaction.atomic():
        unused = Invitation.objects.filter(pk=invitation.pk, accepted_at=None, revoked_at=None)
        if unused.update(revoked_at=timezone.now()):
            AuditEvent.objects.record(actor, team=row, verb="revoked invitation as", subject=invitation.role)
    invitation.refresh_from_db()
    if invitation.accepted_at is not None:
        message = "This invitation was accepted already. Remove the member instead."
        raise Conflict(message)
    return invitation


def find_invitation(*, secret: str) -> Invitation:
    """Return the link with this secret; raise NotFound when there is none, Gone when it is used, revoked or too old."""
    invitation = Invitation.objects.filter(token_hash=hash_secret(secret)).select_related("team", "created_by").first()
    if invitation is None:
        message = "There is no such invitation. Was the whole link copied?"
        raise NotFound(message)
    if invitation.accepted_at is not None:
        message = "This invitation was used already. Each one serves a single person; ask for another."
        raise Gone(message)
    if invitation.revoked_at is not None or invitation.expires_at <= timezone.now():
        message = "This invitation has expired or was withdrawn. Ask for another."
        raise Gone(message)
    return invitation


def accept_invitation(actor: User, *, secret: str) -> Membership:
    """Join the team with an existing account. Raise Conflict for members, who keep the role they have."""
    invitation = find_invitation(secret=secret)
    with transaction.atomic():
        return _join(actor, invitation)


def accept_as_new_user(*, secret: str, username: str, password: str) -> Membership:
    """Make an account that joins the team; both or neither."""
    invitation = find_invitation(secret=secret)
    with transaction.atomic():
        return _join(create_user(username=username, password=password), invitation)


def _join(user: User, invitation: Invitation) -> Membership:
    """Use up the link and make the membership, in the caller's transaction."""
    if not Invitation.objects.usable().filter(pk=invitation.pk).update(accepted_at=timezone.now(), accepted_by=user):
        message = "This invitation was used, withdrawn or has expired a moment ago. Ask for another."
        raise Gone(message)
    try:
        with transaction.atomic():
            membership = Membership.objects.create(team=invitation.team, user=user, role=invitation.role)
    except IntegrityError as error:
        message = f"You are already in the team {invitation.team}. The invitation can still be used by somebody else."
        raise Conflict(message) from error
    AuditEvent.objects.record(user, team=invitation.team, verb="joined as", subject=invitation.role)
    return membership
