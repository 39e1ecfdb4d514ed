"""The command line: groups of commands, what they have in common, and how errors become exit codes."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import httpcore
import httpx
import typer

from flexai_cli.commands import auth, catalogue, jobs, labelling, lifecycle, storage, transfer
from flexai_cli.errors import Exit, FlexaiError, Unreachable
from flexai_cli.output import err, show_error
from flexai_cli.session import describe
from flexai_cli.version import VERSION

READ_BYTES = 2**20

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
        app(arguments, standalone_mode=True)
    except FlexaiError as error:
        show_error(error)
        return int(error.exit_code)
    except httpx.TransportError as error:
        show_error(Unreachable(f"The connection broke: {describe(error)}"))
        return int(Exit.UNREACHABLE)
    except KeyboardInterrupt:
        err.print("Interrupted. The same command goes on where this one stopped.")
        # Threads may be waiting for the network, and would keep the process alive.
        os._exit(int(Exit.INTERRUPTED))
    except BrokenPipeError:
        # Whoever read our output has had enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.FAILED)
    except SystemExit as exit_:
        code = exit_.code
        return code if isinstance(code, int) else int(Exit.FAILED)
    return int(Exit.OK)
