"""`flexai training run`, `flexai fine-tuning run`, and `flexai job`."""

from __future__ import annotations

import codecs
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from flexai_cli.commands.catalogue import first
from flexai_cli.commands.common import Json, Team, open_session
from flexai_cli.errors import FlexaiError, Incomplete, UsageError
from flexai_cli.labels import parse_label
from flexai_cli.output import cell, fail, mode, print_json, print_line, show, show_facts, show_rows
from flexai_cli.session import Session

app = typer.Typer(help="Follow, stop and read jobs.", no_args_is_help=True)
COLUMNS = (
    ("NAME", "name"),
    ("KIND", "kind"),
    ("STATUS", "status"),
    ("DATASETS", "mounts"),
    ("BY", "created_by"),
    ("CREATED", "created_at"),
)
ACTIVE = frozenset({"pending", "running", "stopping"})
BLOCK_BYTES = 2**20
LOG_PAUSE = 1.0
Name = Annotated[str, typer.Argument(help="The job.")]


def runs(kind: str, told: str) -> typer.Typer:
    """Return the group of commands that start jobs of one kind."""
    group = typer.Typer(help=told, no_args_is_help=True)

    # One more command, so that `run` has to be named, as people know it from elsewhere.
    @group.callback()
    def start() -> None:
        pass

    @group.command(context_settings={"ignore_unknown_options": True})
    def run(  # noqa: PLR0913
        name: Annotated[str, typer.Argument(help="What the job shall be called.")],
        command: Annotated[list[str], typer.Argument(help="The program and its arguments, after --.")],
        dataset: Annotated[
            list[str] | None,
            typer.Option(
                "--dataset", "-d", metavar="NAME[@VERSION][=MOUNT]", help="Appears at /input/MOUNT. May be given often."
            ),
        ] = None,
        env: Annotated[
            list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE", help="KEY alone takes it from here.")
        ] = None,
        image: Annotated[str, typer.Option(help="The container image, where the runner uses one.")] = "",
        runner: Annotated[str, typer.Option(help="What executes it.")] = "local",
        network: Annotated[bool, typer.Option("--network", help="Let it reach the network.")] = False,
        memory_bytes: Annotated[int | None, typer.Option(help="Most memory.", min=1)] = None,
        time_limit: Annotated[int | None, typer.Option("--time-limit", help="Most seconds.", min=1)] = None,
        follow: Annotated[bool, typer.Option("--follow", "-f", help="Print the log, and wait for the end.")] = False,
        team: Team = "",
        json: Json = False,  # noqa: ARG001
    ) -> None:
        """Submit a job. Its datasets are pinned to one version now, and mounted read-only at /input."""
        body = {
            "name": name,
            "kind": kind,
            "command": command,
            "datasets": [read_attachment(text) for text in dataset or ()],
            "env": dict(map(read_variable, env or ())),
            "image": image,
            "runner": runner,
            "allow_network": network,
            "memory_bytes": memory_bytes,
            "time_limit_seconds": time_limit,
        }
        with open_session(team) as (session, chosen):
            made = session.create("teams", chosen, "jobs", body=body)
            if follow:
                _tell_of_the_job(name)
                made = _follow(session, chosen, name)
        pinned = ", ".join(f"{row['dataset']}@{row['version']} at {row['path']}" for row in made["datasets"])
        show(made, f"The job {name} is {made['status']}{f' ({pinned})' if pinned else ''}.")
        _fail_with(made)

    return group


def read_attachment(text: str) -> dict[str, Any]:
    """Read NAME[@VERSION][=MOUNT]."""
    source, _, mount = text.partition("=")
    label = parse_label(source)
    if label.team:
        raise UsageError(f"--dataset {text}: a job reads datasets of its own team; name them without a team.")
    version = int(label.version) if label.version.isdigit() else label.version or None
    return {"dataset": label.dataset, "version": version, "mount_name": mount}


def read_variable(text: str) -> tuple[str, str]:
    """Read KEY=VALUE, or KEY for the value that it has here."""
    key, equals, value = text.partition("=")
    if equals:
        return key, value
    if key not in os.environ:
        raise UsageError(f"--env {key}: there is no such variable here; write {key}=VALUE")
    return key, os.environ[key]


@app.command("list")
def list_all(
    status: Annotated[str, typer.Option(help="Only jobs with this status.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many rows; 0 for all.", min=0)] = 0,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """List the team's jobs, the newest first."""
    with open_session(team) as (session, chosen):
        rows = first(session.pages("teams", chosen, "jobs", status=status), limit)
    for row in rows if not mode.json else ():
        row["mounts"] = [f"{each['dataset']}@{each['version']}" for each in row["datasets"]]
    show_rows(rows, COLUMNS, empty="There are no such jobs. Start one with: flexai training run NAME -- COMMAND")


@app.command()
def inspect(name: Name, team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """Show everything about a job."""
    with open_session(team) as (session, chosen):
        row = session.get("teams", chosen, "jobs", name)
    if mode.json:
        print_json(row)
        return
    row["datasets"] = [f"{each['dataset']}@{each['version']} at {each['path']}" for each in row["datasets"]]
    row["env"] = [f"{key}={value}" for key, value in row["env"].items()]
    show_facts((key.removesuffix("_at").replace("_", " ").capitalize(), cell(key, value)) for key, value in row.items())


@app.command()
def logs(
    name: Name,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job ends.")] = False,
    team: Team = "",
    json: Json = False,
) -> None:
    """Print what a job has printed. With --json, one object a line: offset (bytes) and text."""
    if follow:
        _tell_of_the_job(name)
    with open_session(team) as (session, chosen):
        for part in _read_log(session, chosen, name, follow=follow):
            if json:
                print_line(part._asdict())
            else:
                sys.stdout.buffer.write(part.text.encode())
            sys.stdout.flush()


@app.command()
def stop(name: Name, team: Team = "", json: Json = False) -> None:  # noqa: ARG001
    """Ask a job to end: SIGTERM, and ten seconds later SIGKILL."""
    with open_session(team) as (session, chosen):
        row = session.post("teams", chosen, "jobs", name, "stop")
    show(row, f"The job {name} is {row['status']}.")


@app.command()
def fetch(
    name: Name,
    directory: Annotated[Path, typer.Argument(help="Where the files go; made when it is missing.")],
    path: Annotated[str, typer.Option(help="A folder of /output; all of it when left out.")] = "",
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Fetch what a job left in /output. Links and devices are left out."""
    fetched = skipped = 0
    with open_session(team) as (session, chosen):
        for row in _outputs(session, ("teams", chosen, "jobs", name, "outputs"), path.strip("/")):
            if row["type"] != "file":
                skipped += row["type"] == "other"
                continue
            _fetch(session, session.path("teams", chosen, "jobs", name, "outputs", row["path"]), directory, row)
            fetched += 1
    left_out = f" {skipped} links or devices were left out." if skipped else ""
    show({"fetched": fetched, "left_out": skipped}, f"{fetched} files are in {directory}.{left_out}")


def _outputs(session: Session, parts: tuple[str, ...], path: str) -> Any:  # noqa: ANN401 - an iterator of JSON
    found = session.get(*parts, *([path] if path else []))
    if found["truncated"]:
        raise Incomplete(f"/output/{path} has too many files to be listed: fetch its folders one by one by --path.")
    for row in found["items"]:
        yield row
        if row["type"] == "directory":
            yield from _outputs(session, parts, row["path"])


def _fetch(session: Session, address: str, directory: Path, row: dict[str, Any]) -> None:
    """Write one file, whole or not at all."""
    if any(part in {"", ".", ".."} for part in row["path"].split("/")):
        raise FlexaiError(f"The server names a file {row['path']!r}.")
    target = directory / row["path"]
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name[:200]}.flexai-part")
    if _write_draft(session, address, draft) != draft.stat().st_size:
        draft.unlink()
        raise Incomplete(f"/output/{row['path']} changed while it was fetched. Try again.")
    draft.replace(target)


def _write_draft(session: Session, address: str, draft: Path) -> int:
    """Write the answer to a file, and return the length that was promised. From its start again where that breaks."""
    for attempt in session.attempts():
        with attempt, session.stream("GET", address) as answer, draft.open("wb") as file:
            for block in answer.iter_raw(BLOCK_BYTES):
                file.write(block)
            return int(answer.headers["Content-Length"])
    raise AssertionError("attempts() raises in the end")


class LogPart(NamedTuple):
    """A piece of a log: the byte that it begins at, and its text."""

    offset: int
    text: str


def _read_log(session: Session, team: str, name: str, *, follow: bool) -> Iterator[LogPart]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    offset = 0
    while True:
        answer = session.send("GET", session.path("teams", team, "jobs", name, "logs", query={"offset": offset}))
        reached = int(answer.headers["X-Next-Offset"])
        is_last = answer.headers["X-Log-Final"] == "true" or (not follow and reached == offset)
        # A character may be cut in two by the end of a part.
        if text := decoder.decode(answer.content, final=is_last):
            yield LogPart(offset, text)
        if is_last:
            return
        if reached == offset:
            time.sleep(LOG_PAUSE)
        offset = reached


def _tell_of_the_job(name: str) -> None:
    mode.when_interrupted = f"The job {name} goes on by itself. To end it: flexai job stop {name}"


def _follow(session: Session, team: str, name: str) -> dict[str, Any]:
    """Print the log until the job has ended; return the job."""
    # With --json the log goes elsewhere, so that standard output is JSON alone.
    stream = sys.stderr if mode.json else sys.stdout
    for part in _read_log(session, team, name, follow=True):
        stream.write(part.text)
        stream.flush()
    while True:
        row: dict[str, Any] = session.get("teams", team, "jobs", name)
        if row["status"] not in ACTIVE:
            return row
        time.sleep(LOG_PAUSE)


def _fail_with(job: dict[str, Any]) -> None:
    if job["status"] in {"failed", "stopped"}:
        fail(f"The job {job['name']} has {job['status']}: {job['error'] or 'see its log'}")
