"""`flexai auth`: sign in, see who one is, sign out."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from flexai_cli.commands.common import Json
from flexai_cli.errors import Problem, SignInNeeded, UsageError
from flexai_cli.output import show
from flexai_cli.session import Session
from flexai_cli.settings import Login, check_url, find_login, forget_login, login_file, save_login, saved_login
from flexai_cli.teams import CHOOSE, list_teams

app = typer.Typer(help="Sign in to a server, and out.", no_args_is_help=True)


@app.command()
def login(
    url: Annotated[str, typer.Option(help="Address of the server.", envvar="FLEXAI_URL")] = "",
    token: Annotated[str, typer.Option(help="An API token, from your account page; asked for when missing.")] = "",
    team: Annotated[str, typer.Option(help="The team that commands work in.", envvar="FLEXAI_TEAM")] = "",
    json: Json = False,  # noqa: ARG001 - its callback has seen it
) -> None:
    """Save the server's address and a token, in a file that only you can read.

    Without --token it is asked for, or read from standard input, so that it stands in no history of commands.
    """
    url = check_url(url or _saved_url() or _ask("Server", "https://..."))
    token = (
        token
        or os.environ.get("FLEXAI_TOKEN", "")
        or _ask(f"API token (make one at {url}/account/)", "--token", hidden=True)
    )
    with Session(Login(url, token.strip())) as session:
        teams = [str(row["name"]) for row in list_teams(session)]
    if team and team not in teams:
        raise UsageError(f"You are not in a team {team}; this token knows {', '.join(teams) or 'none'}.")
    team = team or (teams[0] if len(teams) == 1 else "")
    where = save_login(Login(url, token.strip(), team))
    told = f"team {team}" if team else f"teams {', '.join(teams)}; choose one by --team" if teams else "no team yet"
    show({"url": url, "team": team or None, "teams": teams, "saved_in": str(where)}, f"Signed in to {url} ({told}).")


@app.command()
def status(json: Json = False) -> None:  # noqa: ARG001
    """Say which server, account and team commands use, and whether the token still works."""
    found = find_login()
    with Session(found) as session:
        try:
            me = session.get("me")
        except Problem as error:
            if error.status != 404:  # noqa: PLR2004 - an older server
                raise
            me = {}
        teams = [{"name": row["name"], "role": row["role"]} for row in list_teams(session)]
    names = [row["name"] for row in teams]
    team = found.team or (names[0] if len(names) == 1 else "")
    token = me.get("token") or {}
    ends = token.get("expires_at")
    lines = [
        f"Server   {found.url}",
        f"Account  {me.get('username', '?')}",
        f"Token    {token.get('name', '?')}, may do at most: {token.get('scope', '?')}"
        + (f", ends {ends}" if ends else ""),
        f"Teams    {', '.join('{name} ({role})'.format(**row) for row in teams) or 'none'}",
        f"In use   {_team_in_use(team, names)}",
    ]
    show({"url": found.url, "team": team or None, "teams": teams, "account": me}, "\n".join(lines))


@app.command()
def logout(json: Json = False) -> None:  # noqa: ARG001
    """Forget the saved token. It stays valid until it is revoked on the account page."""
    was = forget_login()
    text = (
        "Signed out. Revoke the token on your account page if nothing else uses it." if was else "Nobody was signed in."
    )
    show({"signed_out": was, "file": str(login_file())}, text)


def _team_in_use(chosen: str, known: list[str]) -> str:
    if not chosen:
        return f"none. {CHOOSE}" if known else "none"
    return chosen if chosen in known else f"{chosen}, which this token does not know"


def _saved_url() -> str:
    try:
        saved = saved_login()
    except SignInNeeded:
        # Damaged: it is about to be replaced.
        return ""
    return saved.url if saved else ""


def _ask(what: str, instead: str, *, hidden: bool = False) -> str:
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=hidden))
    found = sys.stdin.readline().strip()
    if not found:
        raise UsageError(f"{what}: give it as {instead}, or on standard input.")
    return found
