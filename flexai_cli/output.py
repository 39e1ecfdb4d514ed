"""What commands print: JSON, tables, sizes and times as people read them, and errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from flexai_cli.errors import Exit, FlexaiError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

SHOWN_ITEMS: Final = 20
UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")


@cache
def out() -> Console:
    """Return standard output. Rich is loaded when something is printed by it: JSON needs none of it."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


@cache
def err() -> Console:
    """Return standard error."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, stderr=True)


def _text(text: str, *, style: str = "") -> Text:
    from rich.text import Text

    return Text(text, style=style)


@dataclass
class Mode:
    """How this run prints; set by the command line.

    `lines`: objects one a line were printed. `when_interrupted`: what becomes of the work when Ctrl-C ends the command.
    """

    json: bool = False
    lines: bool = False
    when_interrupted: str = ""


mode = Mode()


def show(data: Any, text: str) -> None:  # noqa: ANN401 - JSON
    """Print the data as JSON, or else the text."""
    if mode.json:
        print_json(data)
    else:
        say(text)


def say(text: str) -> None:
    """Print plain text: names may contain what Rich would take for markup, or a terminal for a command."""
    out().print(_text(printable(text)))


def print_json(data: Any) -> None:  # noqa: ANN401 - JSON
    """Print JSON alone on standard output."""
    sys.stdout.write(_dump(data, indent=2) + "\n")


def print_line(data: dict[str, Any]) -> None:
    """Print one of many JSON objects, alone on its line."""
    mode.lines = True
    sys.stdout.write(_dump(data) + "\n")


def _dump(data: Any, indent: int | None = None) -> str:  # noqa: ANN401 - JSON
    """Keep names that are no valid Unicode as JSON's own escapes, which standard output takes."""
    return json.dumps(data, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace").decode()


def show_rows(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]], *, empty: str) -> None:
    """Print rows as JSON, or as a table of (title, key); sizes and times are made readable."""
    if mode.json:
        print_json(list(rows))
        return
    if not rows:
        say(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for title, key in columns:
        table.add_column(title, justify="right" if isinstance(rows[0].get(key), int) else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_text(printable(cell(key, row.get(key)))) for _, key in columns))
    # A table that is read by another program keeps its lines whole.
    (out() if out().is_terminal else Console(highlight=False, width=10_000)).print(table)


def show_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values below each other."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _text(printable(value)))
    out().print(table)


def cell(key: str, value: Any) -> str:  # noqa: ANN401 - JSON
    """One value of a table."""
    if value is None or value == "":
        return "-"
    if key.endswith("size"):
        return size(value)
    if key.endswith("_at"):
        return moment(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def size(count: int) -> str:
    """Return bytes in decimal units."""
    value = float(count)
    for unit in UNITS:
        if value < 1000 or unit == UNITS[-1]:  # noqa: PLR2004
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1000
    raise AssertionError("the last unit takes all")


def moment(text: str) -> str:
    """Return a time of the API in local time, to the minute."""
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def seconds(count: float) -> str:
    """Return a duration."""
    if count < 60:  # noqa: PLR2004
        return f"{count:.1f} s"
    minutes, rest = divmod(round(count), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def printable(text: str) -> str:
    """Show control characters and broken Unicode by their codes: a file's name must not steer the terminal."""
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def show_error(error: FlexaiError) -> None:
    """Print what went wrong: JSON on standard output with --json, else text on standard error."""
    if mode.json:
        told = {"error": {"detail": error.detail, "exit_code": int(error.exit_code), "errors": error.items}}
        (print_line if mode.lines else print_json)(told)
        return
    err().print(_text(f"Error: {printable(error.detail)}", style="red"))
    # What is wrong with a single field is said already.
    items = [item for item in error.items if item.get("detail") != error.detail]
    for item in items[:SHOWN_ITEMS]:
        named = item.get("path") or item.get("field") or ""
        err().print(_text(f"  {printable(str(named))}: {printable(str(item.get('detail', '')))}"))
    if len(items) > SHOWN_ITEMS:
        err().print(f"  ... and {len(items) - SHOWN_ITEMS} more (--json names them)")


def fail(text: str) -> NoReturn:
    """End with exit code 1 after something was shown that says why: with --json, that is all of the output."""
    if mode.json:
        raise typer.Exit(int(Exit.FAILED))
    raise FlexaiError(text)
