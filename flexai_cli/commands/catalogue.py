"""`flexai dataset list`, `inspect`, `versions`, `tree`, `cat`, `diff`: look at datasets."""

from __future__ import annotations

import base64
import sys
from typing import Annotated, Any

import typer

from flexai_cli.commands.common import Json, Team, open_for, open_session
from flexai_cli.errors import UsageError
from flexai_cli.labels import parse_dataset, parse_label
from flexai_cli.output import cell, mode, out, print_json, print_line, printable, say, show_facts, show_rows, size
from flexai_cli.pull import find_version
from flexai_cli.session import Session

BLOCK_BYTES = 2**20

DATASET_COLUMNS = (
    ("NAME", "name"),
    ("STATUS", "status"),
    ("LATEST", "latest_version"),
    ("FILES", "file_count"),
    ("SIZE", "size"),
    ("TAGS", "tags"),
    ("UPDATED", "updated_at"),
)
VERSION_COLUMNS = (
    ("VERSION", "number"),
    ("LABELS", "labels"),
    ("STATUS", "status"),
    ("FILES", "file_count"),
    ("SIZE", "size"),
    ("BASE", "base"),
    ("BY", "created_by"),
    ("CREATED", "created_at"),
    ("MESSAGE", "message"),
    ("DIGEST", "digest"),
)


SIGNS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "renamed": (">", "cyan")}


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `dataset`."""
    app.command("list")(list_datasets)
    for command in (inspect, versions, tree, cat, diff):
        app.command()(command)


def list_datasets(  # noqa: PLR0913
    search: Annotated[str, typer.Option(help="Words that name, description or tags must contain.")] = "",
    tag: Annotated[str, typer.Option(help="Only datasets with this tag.")] = "",
    status: Annotated[str, typer.Option(help="Only this status of the newest version, or empty.")] = "",
    archived: Annotated[bool, typer.Option("--archived", help="The archived ones instead.")] = False,
    sort: Annotated[
        str, typer.Option(help="name, updated, created, size, files, versions; - in front descends.")
    ] = "name",
    limit: Annotated[int, typer.Option(help="At most so many rows; 0 for all.", min=0)] = 0,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """List the team's datasets."""
    with open_session(team) as (session, chosen):
        rows = first(
            session.pages(
                "teams",
                chosen,
                "datasets",
                search=search,
                tag=tag,
                status=status,
                archived=archived,
                sort=sort,
                limit=200,
            ),
            limit,
        )
    show_rows(
        rows, DATASET_COLUMNS, empty="There are no such datasets. Make one with: flexai dataset push NAME --file DIR"
    )


def inspect(
    name: Annotated[str, typer.Argument(help="NAME, NAME@VERSION or TEAM/NAME@VERSION.")],
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Show everything about a dataset, or about one version of it: kind, metadata, spec, status."""
    label = parse_label(name)
    with open_for(label, team) as (session, chosen):
        described = (
            describe_version(session, chosen, label.dataset, label.version)
            if label.version
            else describe_dataset(session.get("teams", chosen, "datasets", label.dataset))
        )
    if mode.json:
        print_json(described)
        return
    facts = [("Kind", str(described["kind"]))]
    for part in ("metadata", "spec", "status"):
        facts.append((_title(part), ""))
        facts += [(f"  {_title(key)}", _value(key, value)) for key, value in described[part].items()]
    show_facts(facts)


def describe_dataset(row: dict[str, Any]) -> dict[str, Any]:
    """Sort what the API tells about a dataset: what it is, what people say that it shall be, how it is."""
    metadata = ("team", "name", "created_at", "updated_at")
    return _sorted("Dataset", row, metadata, ("description", "tags"))


def describe_version(session: Session, team: str, dataset: str, version: str) -> dict[str, Any]:
    """As `describe_dataset`, for one version; its spec is what it was made from."""
    row = session.get("teams", team, "datasets", dataset, "versions", version)
    metadata = ("team", "dataset", "number", "message", "labels", "created_by", "created_at", "sealed_at")
    return _sorted("Version", row, metadata, ("base", "source"))


def _sorted(kind: str, row: dict[str, Any], metadata: tuple[str, ...], spec: tuple[str, ...]) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {key: row[key] for key in metadata if key in row},
        "spec": {key: row[key] for key in spec if key in row},
        "status": {key: value for key, value in row.items() if key not in metadata + spec},
    }


def _title(key: str) -> str:
    return key.removesuffix("_at").replace("_", " ").capitalize()


def _value(key: str, value: Any) -> str:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        told = {name: inner for name, inner in value.items() if inner not in (None, "", [])}
        return ", ".join(f"{name.replace('_', ' ')}: {cell(name, inner)}" for name, inner in told.items()) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{size(value)} ({value:,} bytes)" if key == "size" else cell(key, value)


def versions(
    name: Annotated[str, typer.Argument(help="The dataset.")],
    limit: Annotated[int, typer.Option(help="At most so many rows; 0 for all.", min=0)] = 0,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """List a dataset's versions, the newest first."""
    label = parse_dataset(name)
    with open_for(label, team) as (session, chosen):
        rows = first(session.pages("teams", chosen, "datasets", label.dataset, "versions", limit=200), limit)
    show_rows(rows, VERSION_COLUMNS, empty=f"{label.dataset} has no versions yet.")


def tree(  # noqa: PLR0913
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    path: Annotated[str, typer.Argument(help="A folder of it; the top when left out.")] = "",
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Everything below it, too.")] = False,
    limit: Annotated[int, typer.Option(help="At most so many rows; 0 for all.", min=0)] = 0,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """List the files and folders of a version, folders first."""
    label = parse_label(name)
    with open_for(label, team) as (session, chosen):
        version = find_version(session, chosen, label)
        parts = ("teams", chosen, "datasets", label.dataset, "versions", version["number"], "tree")
        rows = first(walk(session, parts, path.strip("/"), recursive=recursive), limit)
    if mode.json:
        print_json(rows)
        return
    widest = max((len(size(row["size"])) for row in rows), default=0)
    for row in rows:
        shown = row["path"] if recursive else row["name"]
        slash = "/" if row["type"] == "directory" else ""
        count = f"{row['file_count']:>9,}" if slash else " " * 9
        say(f"{size(row['size']):>{widest}}  {count}  {shown}{slash}")


def walk(session: Session, parts: tuple[str | int, ...], path: str, *, recursive: bool) -> Any:  # noqa: ANN401
    """Every entry of a folder, page by page, and of the folders in it."""
    for row in session.pages(*parts, *([path] if path else []), limit=1000):
        yield row
        if recursive and row["type"] == "directory":
            yield from walk(session, parts, row["path"], recursive=True)


def cat(
    name: Annotated[str, typer.Argument(help="NAME or NAME@VERSION.")],
    path: Annotated[str, typer.Argument(help="A file of it.")],
    team: Team = "",
    json: Json = False,
) -> None:
    """Write a file's bytes to standard output. With --json, one object a line for each block: offset and base64."""
    label = parse_label(name)
    with open_for(label, team) as (session, chosen):
        version = find_version(session, chosen, label)
        address = session.path(
            "teams", chosen, "datasets", label.dataset, "versions", version["number"], "files", path.strip("/")
        )
        offset = 0
        for block in session.blocks(address, BLOCK_BYTES):
            if json:
                print_line({"offset": offset, "base64": base64.b64encode(block).decode()})
            else:
                sys.stdout.buffer.write(block)
            offset += len(block)
        sys.stdout.flush()


def diff(
    old: Annotated[str, typer.Argument(help="NAME@VERSION, the older one.")],
    new: Annotated[str, typer.Argument(help="NAME@VERSION, a number or @LABEL; the latest when left out.")] = "",
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Show which files two versions of a dataset do not share."""
    before = parse_label(old)
    is_bare = new.isdigit() or new.startswith("@")
    after = parse_label(f"{before.dataset}@{new.removeprefix('@')}" if is_bare else new or before.dataset)
    if before.dataset != after.dataset:
        raise UsageError("Both versions must be of one dataset.")
    with open_for(before, team) as (session, chosen):
        if after.team and after.team != chosen:
            raise UsageError(f"Both versions must be of one dataset: {old} is of the team {chosen}.")
        numbers = [find_version(session, chosen, label)["number"] for label in (before, after)]
        parts = ("teams", chosen, "datasets", before.dataset, "versions", numbers[0], "diff", numbers[1])
        rows = session.pages(*parts)
        if mode.json:
            print_json(list(rows))
            return
        is_same = True
        for row in rows:
            is_same = False
            _show_change(row)
    if is_same:
        say(f"{before.dataset}@{numbers[0]} and @{numbers[1]} have the same files.")


def _show_change(row: dict[str, Any]) -> None:
    sign, style = SIGNS.get(row["change"], ("?", ""))
    sizes = " -> ".join(size(row[key]) for key in ("old_size", "new_size") if row[key] is not None)
    came = f"{row['old_path']} -> " if row.get("old_path") else ""
    out().print(f"{sign} {printable(came + row['path'])}  ({sizes})", style=style, markup=False)


def first(rows: Any, limit: int) -> list[dict[str, Any]]:  # noqa: ANN401 - any iterator of JSON
    """Return at most `limit` rows; all for 0."""
    taken = []
    for row in rows:
        taken.append(row)
        if len(taken) == limit:
            break
    return taken
