"""Which team to work in, and what to say where that is not clear."""

from __future__ import annotations

from typing import Any

from flexai_cli.errors import Problem, UsageError
from flexai_cli.session import Session

CHOOSE = "Choose one by --team, or by FLEXAI_TEAM"


def list_teams(session: Session) -> list[dict[str, Any]]:
    """Return the teams that the token knows, as the API describes them."""
    return list(session.pages("teams"))


def only_team(session: Session, how: str = CHOOSE) -> str:
    """Return the one team that the token knows; `how` says how to choose among several."""
    names = [str(row["name"]) for row in list_teams(session)]
    if not names:
        raise UsageError(
            f"This account is in no team. Make one at {session.login.url}/, or let an admin of a team invite you."
        )
    if len(names) > 1:
        raise UsageError(f"This token knows several teams: {', '.join(names)}. {how}.")
    return names[0]


def explain_missing(session: Session, team: str, problem: Problem) -> Problem:
    """Return the 404 that something in a team was answered with; it is the team itself that is missing, perhaps."""
    names = [str(row["name"]) for row in list_teams(session)]
    if team in names:
        return problem
    known = f"it knows {', '.join(names)}. {CHOOSE}" if names else "it knows none"
    return Problem(problem.status, problem.code, f"There is no team {team} that this token knows; {known}.")
