"""Options that many commands have, and the session that they use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from flexai_cli.errors import Problem, UsageError
from flexai_cli.labels import Label
from flexai_cli.output import mode
from flexai_cli.session import Session
from flexai_cli.settings import find_login
from flexai_cli.teams import explain_missing, only_team


def _set_json(wanted: bool) -> bool:  # noqa: FBT001 - Typer's callback
    mode.json = wanted
    return wanted


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.", callback=_set_json)]
Team = Annotated[str, typer.Option("--team", help="The team; by default FLEXAI_TEAM, or the one of `auth login`.")]


@contextmanager
def open_session(team: str = "") -> Iterator[tuple[Session, str]]:
    """Give a session and the team to work in: the one given, or the only one there is."""
    with Session(find_login(team=team)) as session:
        chosen = session.login.team or only_team(session)
        try:
            yield session, chosen
        except Problem as error:
            if error.status != 404:  # noqa: PLR2004
                raise
            raise explain_missing(session, chosen, error) from None


@contextmanager
def open_for(label: Label, team: str = "") -> Iterator[tuple[Session, str]]:
    """As `open_session`, for a dataset whose name may name its team."""
    if label.team and team and label.team != team:
        raise UsageError(f"--team {team} contradicts {label.team}/{label}.")
    with open_session(label.team or team) as opened:
        yield opened
