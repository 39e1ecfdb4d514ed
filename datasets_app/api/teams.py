"""Routes about the caller's teams."""

from __future__ import annotations

from datetime import datetime

from ninja import Router

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer
from datasets_app.services.teams import list_teams

router = Router()


class TeamAnswer(Answer):
    """A team and the caller's role in it: reader, writer or admin, at most the token's scope."""

    name: str
    role: str
    created_at: datetime


class TeamsAnswer(Answer):
    """All teams of the caller; never more than one page."""

    items: list[TeamAnswer]
    next_cursor: None = None


@router.get("", response=TeamsAnswer, operation_id="list_teams", summary="List teams")
def list_all(request: ApiRequest) -> TeamsAnswer:
    """Return the teams that the caller (and the token in use) belongs to, by name."""
    found = list_teams(request.auth)
    return TeamsAnswer(
        items=[TeamAnswer(name=row.team.name, role=row.role, created_at=row.team.created_at) for row in found]
    )
