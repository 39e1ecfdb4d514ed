"""API tokens: made once, kept as a hash, narrower than their user if wished."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from datasets_app.errors import Forbidden, Unauthorized
from datasets_app.models import ApiToken, AuditEvent, Role, Team, User
from datasets_app.models.prepared import Prepared, Slot
from datasets_app.permissions import get_visible
from datasets_app.services.validation import check_days, check_role, check_text

TEXT_PREFIX = "flexai_"
SHOWN_LENGTH = 12
MOST_DAYS = 3650
USE_RESOLUTION = timedelta(minutes=1)
_BY_HASH = Prepared(
    lambda: ApiToken.objects.usable(now=Slot("now")).filter(token_hash=Slot("hash")).select_related("user")
)


def list_tokens(actor: User) -> list[ApiToken]:
    """Return the actor's own tokens that are not revoked, the newest first, expired ones too.

    A token that is narrower than its user knows itself and no others.
    """
    return list(_manageable(actor).filter(revoked_at=None).select_related("team"))


def create_token(
    actor: User, *, name: str, scope: str = Role.ADMIN, team: str = "", expires_in_days: int | None = None
) -> tuple[ApiToken, str]:
    """Make a token for the actor; return its row and its text, which can't be read again.

    `scope` is the most that it may do in any team; `team` limits it to one team. Raises Forbidden when the actor
    uses a token that may do less than the new one, or ends earlier. What a token made ends with it.
    """
    parent = actor.access_token
    name = check_text(name, field="name", most=100, required=True)
    limit = get_visible(Team.objects.visible_to(actor).filter(name=team).first(), f"team {team}") if team else None
    now = timezone.now()
    text = TEXT_PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        user=actor,
        name=name,
        token_hash=hash_secret(text),
        prefix=text[:SHOWN_LENGTH],
        scope=check_role(scope),
        team=limit,
    )
    if expires_in_days is not None:
        row.expires_at = now + timedelta(days=check_days(expires_in_days, most=MOST_DAYS))
    if parent is not None:
        row.parent = parent
        _refuse_wider(row, parent)
    with transaction.atomic():
        row.save(force_insert=True)
        AuditEvent.objects.record(actor, team=limit, verb="created token", subject=name, scope=row.scope)
    return row, text


def _manageable(actor: User) -> QuerySet[ApiToken]:
    """Keep the tokens that the actor may see and end."""
    own, used = ApiToken.objects.visible_to(actor), actor.access_token
    if used is None or (used.scope == Role.ADMIN and used.team_id is None):
        return own
    return own.filter(pk=used.pk)


def _refuse_wider(row: ApiToken, parent: ApiToken) -> None:
    """Raise Forbidden unless `row` may do at most what `parent` may, and for no longer."""
    if parent.scope != Role.ADMIN:
        raise Forbidden(f"A token that may do at most what a {parent.scope} may can't make tokens.")
    if parent.team_id is not None and parent.team_id != row.team_id:
        raise Forbidden("This token is for one team: name that team for the new one.")
    if parent.expires_at is not None and (row.expires_at is None or row.expires_at > parent.expires_at):
        raise Forbidden("The new token must end before the one that makes it: give expires_in_days.")


def replace_token(actor: User, *, name: str) -> tuple[ApiToken, str]:
    """Revoke the actor's tokens called `name` and make a new one with all of their rights."""
    with transaction.atomic():
        ApiToken.objects.visible_to(actor).filter(name=name, revoked_at=None).update(revoked_at=timezone.now())
        return create_token(actor, name=name)


def revoke_token(actor: User, *, token_id: int) -> ApiToken:
    """End one of the actor's own tokens. Twice is the same as once."""
    rows = _manageable(actor).filter(pk=token_id)
    row = get_visible(rows.select_related("team").first(), "such token")
    now = timezone.now()
    with transaction.atomic():
        doomed = [row.pk]
        while doomed:
            # What it made, and what that made.
            ApiToken.objects.filter(pk__in=doomed, revoked_at=None).update(revoked_at=now)
            doomed = list(ApiToken.objects.filter(parent__in=doomed, revoked_at=None).values_list("pk", flat=True))
        if row.revoked_at is None:
            AuditEvent.objects.record(actor, team=row.team, verb="revoked token", subject=row.name)
    row.refresh_from_db(fields=["revoked_at"])
    return row


def authenticate_token(text: str) -> User:
    """Return the user whose token this is, with `access_token` set; raise Unauthorized for any other text.

    When it was last used is written at most once a minute, so that requests don't each wait for the database's writer.
    """
    now = timezone.now()
    row = _BY_HASH.first(hash=hash_secret(text), now=now)
    if row is None or not row.user.is_active:
        message = "The API token is unknown, expired or revoked. Make one on the account page."
        raise Unauthorized(message)
    if row.last_used_at is None or now - row.last_used_at > USE_RESOLUTION:
        ApiToken.objects.filter(pk=row.pk).update(last_used_at=now)
    row.user.access_token = row
    return row.user


def hash_secret(text: str) -> str:
    """Return what is kept of a secret. It has 256 random bits, so a plain SHA-256 can't be guessed backwards."""
    return hashlib.sha256(text.encode()).hexdigest()
