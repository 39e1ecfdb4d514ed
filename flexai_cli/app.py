"""The command line: groups of commands, what they have in common, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated, Final, NoReturn

import httpcore
import httpx
import typer

from flexai_cli.commands import auth, catalogue, jobs, labelling, lifecycle, storage, transfer
from flexai_cli.errors import Exit, FlexaiError, Interrupted, Unreachable, UsageError
from flexai_cli.output import mode, show_error
from flexai_cli.session import describe
from flexai_cli.version import VERSION

READ_BYTES = 2**20
# ClickException: Typer has a copy of Click of its own in some releases, but shows this one child of it in all of them.
_Misunderstood: Final[type[Exception]] = typer.BadParameter.__mro__[2]

app = typer.Typer(
    name="flexai",
    help="Datasets for machine learning: push, pull, look inside, and run jobs on them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
dataset = typer.Typer(help="Push, pull, list and inspect datasets.", no_args_is_help=True)
app.add_typer(auth.app, name="auth")
app.add_typer(dataset, name="dataset")
transfer.add_to(dataset)
catalogue.add_to(dataset)
lifecycle.add_to(dataset)
labelling.add_to(dataset)
app.add_typer(storage.app, name="storage")
app.add_typer(jobs.runs("training", "Run training jobs."), name="training")
app.add_typer(jobs.runs("fine-tuning", "Run fine-tuning jobs."), name="fine-tuning")
app.add_typer(jobs.app, name="job")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer's callback
    if wanted:
        typer.echo(f"flexai {VERSION}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the release.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Datasets for machine learning: push, pull, look inside, and run jobs on them."""


def run(arguments: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    # This process is ours alone: let it take what a connection has in larger pieces than 64 KiB.
    httpcore.HTTP11Connection.READ_NUM_BYTES = READ_BYTES
    try:
        code = app(arguments, standalone_mode=False)
    except FlexaiError as error:
        return _end(error)
    except httpx.TransportError as error:
        return _end(Unreachable(f"The connection broke: {describe(error)}"))
    except _Misunderstood as error:
        return _explain(error, sys.argv[1:] if arguments is None else arguments)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _end(FlexaiError(f"{where}{error.strerror or error}."))
    except (KeyboardInterrupt, typer.Abort):
        code = int(Exit.INTERRUPTED)
    except SystemExit as exit_:
        # Whoever read our output has had enough, for instance.
        code = exit_.code
    if code == Exit.INTERRUPTED:
        _stop_at_once()
    return code if isinstance(code, int) else int(Exit.OK if code is None else Exit.FAILED)


def _end(error: FlexaiError) -> int:
    show_error(error)
    return int(error.exit_code)


def _explain(error: Exception, arguments: list[str]) -> int:
    """Say what is wrong with the command itself. The option --json may not have been read yet."""
    before_program = arguments[: arguments.index("--")] if "--" in arguments else arguments
    if not mode.json and "--json" not in before_program:
        error.show()  # type: ignore[attr-defined]
        return int(Exit.USAGE)
    mode.json = True
    return _end(UsageError(error.format_message()))  # type: ignore[attr-defined]


def _stop_at_once() -> NoReturn:
    """End the process, and do not wait for its threads: these would go on with the network for a while."""
    show_error(Interrupted(f"Interrupted. {mode.when_interrupted}".strip()))
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(int(Exit.INTERRUPTED))
