"""`flexai dataset labels`, `label`, `unlabel`: names for versions that can be moved."""

from __future__ import annotations

from typing import Annotated

import typer

from flexai_cli.commands.common import Json, Team, open_for
from flexai_cli.errors import UsageError
from flexai_cli.labels import parse_dataset, parse_label
from flexai_cli.output import show, show_rows

COLUMNS = (("LABEL", "name"), ("VERSION", "version"), ("BY", "updated_by"), ("SET", "updated_at"))


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `dataset`."""
    for command in (labels, label, unlabel):
        app.command()(command)


def labels(
    name: Annotated[str, typer.Argument(help="The dataset, as NAME or TEAM/NAME.")],
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """List a dataset's labels. `latest`, always the newest available version, is not among them."""
    wanted = parse_dataset(name)
    with open_for(wanted, team) as (session, chosen):
        rows = session.get("teams", chosen, "datasets", wanted.dataset, "labels")["items"]
    show_rows(rows, COLUMNS, empty=f"{wanted.dataset} has no labels. Set one with: flexai dataset label NAME@3 prod")


def label(
    name: Annotated[str, typer.Argument(help="NAME@VERSION; the latest version when left out.")],
    text: Annotated[str, typer.Argument(help="The label.", metavar="LABEL")],
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Set a label, or move it to this version."""
    wanted = parse_label(name)
    version: int | str = int(wanted.version) if wanted.version.isdigit() else wanted.version or "latest"
    with open_for(wanted, team) as (session, chosen):
        address = session.path("teams", chosen, "datasets", wanted.dataset, "labels", text)
        answer = session.send("PUT", address, body={"version": version}).json()
    show(answer, f"{text} names {wanted.dataset}@{answer['version']} now.")


def unlabel(
    name: Annotated[str, typer.Argument(help="NAME@LABEL.")],
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Take a label away; the version that it named stays."""
    wanted = parse_label(name)
    if not wanted.version or wanted.version.isdigit():
        raise UsageError(f"{name!r} names no label; it looks like images@prod")
    with open_for(wanted, team) as (session, chosen):
        address = session.path("teams", chosen, "datasets", wanted.dataset, "labels", wanted.version)
        session.send("DELETE", address)
    show({"deleted": wanted.version}, f"The label {wanted.version} of {wanted.dataset} is gone.")
