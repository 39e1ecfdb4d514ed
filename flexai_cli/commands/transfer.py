"""`flexai dataset push`, `pull` and `verify`: bytes on their way, and whether they are right."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flexai_cli.cache import Cache
from flexai_cli.commands.common import Json, Team, open_for
from flexai_cli.digest import PREFIX, parse_digest
from flexai_cli.display import Bars
from flexai_cli.errors import Different, Exit, Incomplete, UsageError
from flexai_cli.folder import Folder
from flexai_cli.labels import Label, parse_dataset, parse_label
from flexai_cli.output import err, mode, print_json, seconds, show, size
from flexai_cli.patterns import Patterns
from flexai_cli.pull import Pull, PullOptions, PullResult
from flexai_cli.push import Push, PushOptions, PushResult
from flexai_cli.remote import RemoteOptions, follow_import, start_import
from flexai_cli.scan import count_files
from flexai_cli.session import Session
from flexai_cli.sources import STANDARD_INPUT, Node, build_tree, split_mapping
from flexai_cli.words import counted

GOES_ON = "The same command goes on where this one stopped."


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `dataset`."""
    app.command()(push)
    app.command()(pull)
    app.command()(verify)


def push(  # noqa: PLR0913 - one argument for each option
    name: Annotated[str, typer.Argument(help="The dataset, as NAME or TEAM/NAME; made when it is missing.")],
    sources: Annotated[
        list[str] | None, typer.Argument(help="More files, as for --file.", metavar="[SRC[=DEST]]...")
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            "-f",
            metavar="SRC[=DEST]",
            help="A file, folder or quoted glob, and where it goes. A folder's contents go to the top, or into DEST; "
            "a file goes to the top, or becomes DEST. - is standard input and needs a DEST. May be given often.",
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Leave out what matches, as in .gitignore. May be given often.")
    ] = None,
    message: Annotated[str, typer.Option("--message", "-m", help="What is new, for people.")] = "",
    base: Annotated[
        str,
        typer.Option(help="Keep the other files of this version: a number or a label. Default: only what is given."),
    ] = "",
    no_seal: Annotated[bool, typer.Option("--no-seal", help="Leave the version open, to add more later.")] = False,
    skip_failed: Annotated[
        bool, typer.Option("--skip-failed", help="Seal without files that can't be read or sent.")
    ] = False,
    storage_provider: Annotated[
        str,
        typer.Option("--storage-provider", metavar="CONNECTION", help="Import by this connection; see flexai storage."),
    ] = "",
    source_path: Annotated[str, typer.Option(help="What to import: everything below this path of the store.")] = "",
    revision: Annotated[str, typer.Option(help="The revision to import, where the store has some.")] = "",
    include: Annotated[list[str] | None, typer.Option(help="Import only what matches. May be given often.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the import.")] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Hash every file, also those that look unchanged.")
    ] = False,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Make a version of a dataset out of files of this machine. Only bytes that the server lacks travel.

    Pushing the same content again makes no new version. A push that was interrupted continues with the same command.
    """
    given = [*(file or []), *(sources or [])]
    if storage_provider or source_path:
        if given or not storage_provider or not source_path:
            raise UsageError("An import takes --storage-provider and --source-path, and no files of this machine.")
        label = parse_dataset(name)
        with open_for(label, team) as (session, chosen):
            remote = RemoteOptions(
                connection=storage_provider,
                source_path=source_path,
                revision=revision,
                include=tuple(include or ()),
                exclude=tuple(exclude or ()),
                message=message,
                base=find_base(session, chosen, label, base),
                seal=not no_seal,
                skip_failed=skip_failed,
            )
            push_remote(session, chosen, label, remote, detach=detach)
        return
    if include or revision or detach:
        raise UsageError("--include, --revision and --detach are for imports, by --storage-provider.")
    if not given:
        raise UsageError("Nothing to push: name files or folders, as in --file data/train")
    mappings = [split_mapping(text) for text in given]
    label = parse_dataset(name)
    mode.when_interrupted = GOES_ON
    with open_for(label, team) as (session, chosen):
        options = PushOptions(
            exclude=tuple(exclude or ()),
            message=message,
            base=find_base(session, chosen, label, base),
            seal=not no_seal,
            skip_failed=skip_failed,
            use_cache=not no_cache,
        )
        bars = Bars()
        with bars.shown(lambda: _count(mappings, options)):
            result = Push(session, chosen, label.dataset, mappings, options, bars).run()
    _show_push(result)
    if result.failed:
        raise typer.Exit(int(Exit.INCOMPLETE))


def push_remote(session: Session, team: str, label: Label, options: RemoteOptions, *, detach: bool) -> None:
    """Let the server import, and show how far it is."""
    mode.when_interrupted = GOES_ON
    target = start_import(session, team, label.dataset, options)
    named = f"{label.dataset}@{target.number}"
    mode.when_interrupted = f"The import into {named} goes on by itself. The same command shows it again."
    if detach:
        version = session.get(*target.parts)
        show(version, f"{named} is being imported. Look with: flexai dataset inspect {named}")
        return
    bars = Bars()
    with bars.shown():
        version = follow_import(target, options, bars)
    content = f"{counted(version['file_count'], 'file')}, {size(version['size'])}"
    told = f"{named} is {version['status']}: {content} ({size(bars.moved_bytes)} copied).\n{version['digest'] or ''}"
    if version.get("same_as"):
        told = f"Unchanged: {named} has the same content as {label.dataset}@{version['same_as']} ({content})."
    show(version, told)


def find_base(session: Session, team: str, label: Label, text: str) -> int | None:
    """Read the option --base."""
    if not text:
        return None
    if text == "latest":
        return int(session.get("teams", team, "datasets", label.dataset)["latest_version"] or 0) or None
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        named = parse_label(f"{label.dataset}@{text}")
    except UsageError:
        raise UsageError(f"--base {text!r} names no version: give a number, a label, or latest") from None
    return int(session.get("teams", team, "datasets", label.dataset, "versions", named.version)["number"])


def _count(mappings: list[tuple[str, str | None]], options: PushOptions) -> tuple[int, int]:
    """Count what there is, for the time that is left; standard input can't be."""
    countable = [row for row in mappings if row[0] != STANDARD_INPUT]
    return count_files(build_tree(countable, Path()), Patterns(exclude=options.exclude))


def _show_push(result: PushResult) -> None:
    if mode.json:
        print_json(asdict(result))
        return
    label = f"{result.dataset}@{result.version}"
    content = f"{counted(result.file_count, 'file')}, {size(result.size)}"
    if result.status == "unchanged":
        show(None, f"Unchanged: {label} has the same content ({content}). No new version was made.")
    elif result.status == "open":
        show(None, f"{label} is open and holds {content}; {size(result.sent_size)} were sent. It is not sealed.")
    else:
        speed = f"{size(int(result.size / max(result.seconds, 1e-6)))}/s"
        took = f"{seconds(result.seconds)}, {speed}"
        show(None, f"{label} is available: {content} ({size(result.sent_size)} sent) in {took}.\n{result.digest}")
    for warning in result.warnings:
        err().print(f"Warning: {warning}", markup=False)
    for failure in result.failed:
        err().print(f"Left out: {failure['path']}: {failure['detail']}", markup=False)


def pull(  # noqa: PLR0913
    name: Annotated[str, typer.Argument(help="The dataset, as NAME, NAME@VERSION or TEAM/NAME@VERSION.")],
    directory: Annotated[Path, typer.Argument(help="Where the files go; made when it is missing.")],
    include: Annotated[
        list[str] | None, typer.Option(help="Fetch only what matches, as in .gitignore. May be given often.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out what matches. May be given often.")] = None,
    team: Team = "",
    json: Json = False,  # noqa: ARG001
) -> None:
    """Fetch a version's files. Those that are there already stay; every file is verified.

    A pull that was interrupted continues with the same command. Other files in DIRECTORY are left alone.
    """
    label = parse_label(name)
    mode.when_interrupted = GOES_ON
    bars = Bars()
    options = PullOptions(include=tuple(include or ()), exclude=tuple(exclude or ()))
    with open_for(label, team) as (session, chosen), bars.shown():
        result = Pull(session, chosen, label, directory, options, bars).run()
    _show_pull(result)


def _show_pull(result: PullResult) -> None:
    if mode.json:
        print_json(asdict(result))
        return
    text = f"{result.dataset}@{result.version}: {counted(result.file_count, 'file')}, {size(result.size)}; "
    text += f"{result.fetched_count:,} were fetched ({size(result.fetched_size)}) in {seconds(result.seconds)}."
    show(None, text)
    for warning in result.warnings:
        err().print(f"Warning: {warning}", markup=False)


def verify(
    directory: Annotated[Path, typer.Argument(help="The folder to hash.")],
    digest: Annotated[str, typer.Option(help="The digest that it should have: sha256:...")] = "",
    exclude: Annotated[list[str] | None, typer.Option(help="Leave out what matches. May be given often.")] = None,
    json: Json = False,  # noqa: ARG001
) -> None:
    """Compute a folder's digest, as a version with these files has it. Talks to no server, and reads every byte."""
    if not directory.is_dir():
        raise UsageError(f"There is no folder {directory}")
    wanted = _wanted(digest)
    bars = Bars()
    folder = Folder(Node(folders=[str(directory)]), exclude or (), Cache(None), bars)
    with bars.shown(lambda: count_files(Node(folders=[str(directory)]), Patterns(exclude=exclude or ()))):
        root = folder.hash()
    if folder.failures:
        raise Incomplete(f"{counted(len(folder.failures), 'file')} could not be read.", items=folder.named_failures())
    if root is None:
        raise UsageError(f"There are no files in {directory}")
    if wanted is not None and root.digest != wanted:
        raise Different(f"{directory} has the digest {root}, not {PREFIX}{wanted.hex()}.")
    facts = {"digest": str(root), "file_count": root.file_count, "size": root.size, "matches": wanted and True}
    told = f"{root}\n{counted(root.file_count, 'file')}, {size(root.size)}"
    show(facts, f"{told}{' - as it should be' if wanted else ''}")


def _wanted(digest: str) -> bytes | None:
    try:
        return parse_digest(digest) if digest else None
    except ValueError as error:
        raise UsageError(f"--digest: {error}") from None
