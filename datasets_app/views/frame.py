"""What the frame of every page shows: the user's teams and the one this page is about (a context processor)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets_app.models import Team, User
from datasets_app.services.damages import is_anything_damaged

if TYPE_CHECKING:
    from django.http import HttpRequest

SESSION_TEAM = "team"


def _team_of_page(request: HttpRequest, mine: list[Team]) -> Team | None:
    """Return the team in the URL, else the one last visited, else the first; None for a user without a team."""
    match = request.resolver_match
    named = match.kwargs.get("team") if match is not None else None
    last = request.session.get(SESSION_TEAM) if hasattr(request, "session") else None
    by_name = {team.name: team for team in mine}
    return by_name.get(named or "") or by_name.get(last or "") or next(iter(mine), None)


def page_frame(request: HttpRequest) -> dict[str, object]:
    """Add `my_teams` (a list) and `current_team` (a Team or None) to a page's context.

    `is_damaged` alerts those who run the installation to damage of what is stored; nobody else is asked to look.
    The team in the URL becomes the one that `home` opens next time.
    """
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"my_teams": [], "current_team": None, "is_damaged": False}
    mine = list(Team.objects.visible_to(user))
    current = _team_of_page(request, mine)
    if current is not None and request.session.get(SESSION_TEAM) != current.name:
        request.session[SESSION_TEAM] = current.name
    return {"my_teams": mine, "current_team": current, "is_damaged": user.is_staff and is_anything_damaged()}
