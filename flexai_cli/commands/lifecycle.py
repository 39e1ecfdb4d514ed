"""`flexai dataset archive`, `unarchive`, `delete`, `restore`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from flexai_cli.commands.common import Json, Team, open_for
from flexai_cli.errors import UsageError
from flexai_cli.labels import parse_dataset, parse_label
from flexai_cli.output import mode, moment, say, show, size
from flexai_cli.words import counted

Name = Annotated[str, typer.Argument(help="The dataset, as NAME or TEAM/NAME.")]
Labelled = Annotated[str, typer.Argument(help="NAME for the whole dataset, NAME@VERSION for one version.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `dataset`."""
    for command in (archive, unarchive, delete, restore):
        app.command()(command)


def archive(name: Name, team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """Set a dataset aside: it stays readable, but takes no new versions and is in no list."""
    _act(name, team, "archive", "is archived.")


def unarchive(name: Name, team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """Bring an archived dataset back."""
    _act(name, team, "unarchive", "is no longer archived.")


def _act(name: str, team: str, verb: str, told: str) -> None:
    label = parse_dataset(name)
    with open_for(label, team) as (session, chosen):
        answer = session.post("teams", chosen, "datasets", label.dataset, verb)
    show(answer, f"{label.dataset} {told}")


def delete(
    name: Labelled,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Move a dataset, or one version, to the trash, from where it can be restored for a while.

    Says first what goes and what that frees.
    """
    label = parse_label(name)
    with open_for(label, team) as (session, chosen):
        parts = _parts(chosen, label.dataset, label.version)
        removal = session.get(*parts, "removal")
        if removal["obstacles"]:
            raise UsageError(f"{label} can't be deleted: {' '.join(removal['obstacles'])}")
        if not mode.json:
            say(
                f"{label}: {counted(removal['versions'], 'version')}, {counted(removal['file_count'], 'file')}, "
                f"{size(removal['logical_size'])}. It can be restored until {moment(removal['purged_at'])}; "
                f"{size(removal['freed_size'])} come back by {moment(removal['freed_at'])}."
            )
        if not yes and not _agrees(f"Delete {label}?"):
            raise UsageError("Nothing was deleted. Give --yes to delete without being asked.")
        answer = session.send("DELETE", session.path(*parts)).json()
    show(answer, f"{label} is in the trash. Bring it back with: flexai dataset restore {name}")


def restore(name: Labelled, team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """Bring a dataset, or one version, back from the trash."""
    label = parse_label(name)
    with open_for(label, team) as (session, chosen):
        answer = session.post(*_parts(chosen, label.dataset, label.version), "restore")
    show(answer, f"{label} is back.")


def _parts(team: str, dataset: str, version: str) -> tuple[str, ...]:
    return ("teams", team, "datasets", dataset, *(("versions", version) if version else ()))


def _agrees(question: str) -> bool:
    return sys.stdin.isatty() and typer.confirm(question, err=True)
