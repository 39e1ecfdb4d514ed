"""Who may do what: one table of verb and least role. Objects belong to teams; strangers get 404, not 403."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import models

from datasets_app.errors import Forbidden, NotFound
from datasets_app.models import (
    ApiToken,
    Connection,
    Dataset,
    Import,
    Invitation,
    Job,
    Membership,
    Role,
    StagedFile,
    Team,
    Upload,
    User,
    Version,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

M = TypeVar("M", bound=models.Model)

LEAST_ROLE: Mapping[str, Role] = {
    "team.view": Role.READER,
    "team.edit": Role.ADMIN,
    "member.change": Role.ADMIN,
    "invitation.view": Role.ADMIN,
    "invitation.create": Role.ADMIN,
    "invitation.revoke": Role.ADMIN,
    "dataset.view": Role.READER,
    "dataset.create": Role.WRITER,
    "dataset.edit": Role.WRITER,
    "dataset.archive": Role.WRITER,
    "dataset.delete": Role.WRITER,
    "dataset.purge": Role.ADMIN,
    "label.edit": Role.WRITER,
    # It deletes, so it takes what deleting takes.
    "retention.edit": Role.WRITER,
    "dataset.verify": Role.WRITER,
    "version.view": Role.READER,
    "version.create": Role.WRITER,
    "version.fill": Role.WRITER,
    "version.seal": Role.WRITER,
    "version.abandon": Role.WRITER,
    # Credentials are entered once and used by all writers; only admins touch them.
    "connection.view": Role.READER,
    "connection.use": Role.WRITER,
    "connection.edit": Role.ADMIN,
    "import.view": Role.READER,
    "import.create": Role.WRITER,
    "import.stop": Role.WRITER,
    "job.view": Role.READER,
    "job.create": Role.WRITER,
    "job.stop": Role.WRITER,
}

Owned = Team | Dataset | Version | Upload | StagedFile | Job | Membership | Invitation | Connection | Import


def team_of(obj: Owned) -> Team:
    """Return the team that owns `obj`."""
    match obj:
        case Team():
            return obj
        case Dataset() | Job() | Membership() | Invitation() | Connection():
            return obj.team
        case Version():
            return obj.dataset.team
        case Upload() | StagedFile() | Import():
            return obj.version.dataset.team


def may(actor: User, verb: str, obj: Owned) -> bool:
    """Tell whether `actor` may do `verb` (a key of LEAST_ROLE) to `obj`, or in it when `obj` is a team."""
    role = actor.role_in(team_of(obj))
    return role is not None and role.rank >= LEAST_ROLE[verb].rank


def require(actor: User, verb: str, obj: Owned) -> None:
    """Raise NotFound for strangers, Forbidden for members whose role (or token) is too small."""
    role = actor.role_in(team_of(obj))
    if role is None:
        raise NotFound(f"There is no such {obj._meta.verbose_name}, or you are not in its team.")
    least = LEAST_ROLE[verb]
    if role.rank < least.rank:
        limit = "This token is" if isinstance(actor.access_token, ApiToken) else "You are"
        raise Forbidden(f"{limit} limited to the role {role} in {team_of(obj).name}; this needs {least}.")


def require_operator(actor: User) -> None:
    """Raise Forbidden for all but those who run the installation; a token must be one for everything that they may."""
    token = actor.access_token
    if not actor.is_staff:
        raise Forbidden("This is for the administrators of this installation.")
    if isinstance(token, ApiToken) and (token.scope != Role.ADMIN or token.team_id is not None):
        raise Forbidden("This token is limited to a role or a team; this needs one with the role admin in all teams.")


def get_visible(found: M | None, what: str) -> M:
    """Return `found`, or raise NotFound with the name of what was looked for."""
    if found is None:
        raise NotFound(f"There is no {what}, or you are not in its team.")
    return found
