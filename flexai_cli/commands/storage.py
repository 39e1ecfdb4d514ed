"""`flexai storage`: connections to remote stores."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from flexai_cli.commands.common import Json, Team, open_session
from flexai_cli.errors import UsageError
from flexai_cli.output import fail, mode, out, print_json, printable, show, show_rows

app = typer.Typer(
    help="Connections to S3, Google Cloud Storage, R2, MinIO and the Hugging Face Hub.", no_args_is_help=True
)
COLUMNS = (
    ("NAME", "name"),
    ("PROVIDER", "provider"),
    ("WORKS", "works"),
    ("BY", "created_by"),
    ("UPDATED", "updated_at"),
)
Name = Annotated[str, typer.Argument(help="The connection.")]


@app.command()
def create(  # noqa: PLR0913
    name: Annotated[str, typer.Argument(help="What the connection shall be called.")],
    provider: Annotated[str, typer.Option(help="The kind of store; `flexai storage providers` lists them.")],
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="A setting. @FILE takes the value from a file, - asks for it."
        ),
    ] = None,
    check: Annotated[bool, typer.Option(help="Try it at once.")] = True,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Make a connection to a remote store. Secrets are kept encrypted, and never shown again."""
    values = dict(map(read_setting, value or ()))
    with open_session(team) as (session, chosen):
        body = {"name": name, "provider": provider, "values": values}
        made = session.create("teams", chosen, "connections", body=body)
        if not check:
            show(made, f"The connection {name} is there, and was not tried.")
            return
        found = session.post("teams", chosen, "connections", name, "check")
    _show_check(name, found)


@app.command()
def providers(team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """List the kinds of stores, and the fields that each needs."""
    with open_session(team) as (session, chosen):
        rows = session.get("teams", chosen, "connections", "providers")["items"]
    if mode.json:
        print_json(rows)
        return
    for row in rows:
        out().print(f"[bold]{row['name']}[/bold]  {row['label']}")
        for field in row["fields"]:
            need = "" if field["required"] else " (optional)"
            choices = f" one of {', '.join(field['choices'])}" if field["choices"] else ""
            out().print(f"  {field['name']}: {field['label']}{need}{choices}", markup=False)


@app.command("list")
def list_all(team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """List the team's connections."""
    with open_session(team) as (session, chosen):
        rows = list(session.pages("teams", chosen, "connections"))
    for row in rows if not mode.json else ():
        row["works"] = {None: "not tried", True: "yes", False: "no"}[(row["check"] or {}).get("ok")]
    show_rows(rows, COLUMNS, empty="There are no connections. Make one with: flexai storage create NAME --provider s3")


@app.command()
def check(
    name: Name,
    path: Annotated[str, typer.Argument(help="A path in the store that must be readable, too.")] = "",
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Prove step by step that the store can be reached, accepts the credentials, and can be read."""
    with open_session(team) as (session, chosen):
        address = session.path("teams", chosen, "connections", name, "check", query={"path": path})
        found = session.send("POST", address).json()
    _show_check(name, found)


@app.command()
def delete(name: Name, team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """Delete a connection and its credentials. What was imported by it stays."""
    with open_session(team) as (session, chosen):
        session.send("DELETE", session.path("teams", chosen, "connections", name))
    show({"name": name, "deleted": True}, f"The connection {name} is deleted.")


def read_setting(text: str) -> tuple[str, str]:
    """Read FIELD=VALUE; a secret need not stand in the history of commands."""
    field, equals, value = text.partition("=")
    if not equals or not field:
        raise UsageError(f"--set {text}: write it as FIELD=VALUE")
    if value == "-":
        return field, getpass.getpass(f"{field}: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if value.startswith("@"):
        try:
            with open(value[1:], encoding="utf-8") as file:  # noqa: PTH123
                return field, file.read().strip()
        except OSError as error:
            raise UsageError(f"--set {field}: {value[1:]} can't be read: {error.strerror}") from None
    return field, value


def _show_check(name: str, found: dict[str, object]) -> None:
    if mode.json:
        print_json(found)
    else:
        marks = {True: "ok  ", False: "FAIL", None: "-   "}
        steps = found["steps"]
        assert isinstance(steps, list)  # noqa: S101 - for the type checker
        for step in steps:
            out().print(f"{marks[step['ok']]} {step['name']}: {printable(step['detail'])}", markup=False)
    if not found["ok"]:
        fail(f"The connection {name} does not work.")
