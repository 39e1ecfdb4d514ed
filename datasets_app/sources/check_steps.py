"""Steps of a connection's check that stores have in common: each returns what it found out, or raises SourceError."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from datasets_app.sources.base import Cause, CheckStep, SourceError, SourceFile, Tree
from datasets_app.sources.web import Reply, Web

NOT_DONE: Final = "Not done: an earlier step failed."
# What a server says to a stranger does not matter but for its headers.
GREETING_BYTES: Final = 64 * 1024
# Of the clocks, in seconds: where signatures are refused, and where somebody should know.
MOST_SKEW: Final = 300
LARGE_SKEW: Final = 60

Step = tuple[str, Callable[[], str]]


def run_steps(steps: Sequence[Step]) -> Iterator[CheckStep]:
    """Go through the steps; after the first that fails, the others are named but not done."""
    failed = False
    for name, step in steps:
        if failed:
            yield CheckStep(name, ok=None, detail=NOT_DONE)
            continue
        try:
            result = CheckStep(name, ok=True, detail=step())
        except SourceError as error:
            failed = True
            result = CheckStep(name, ok=False, detail=error.detail)
        yield result


class Greeting:
    """The first steps: is there a server of this name, and does it answer? `url` is asked without credentials."""

    def __init__(self, web: Web, url: str) -> None:
        self._web = web
        self._url = url
        self._host = urlsplit(url).hostname or url
        self._reply: Reply | None = None
        self._trouble: SourceError | None = None

    def resolve(self) -> str:
        """Ask the server something; its name is only one of the things that may be wrong."""
        try:
            self._reply = self._web.get(self._url, headers={}, limit=GREETING_BYTES)
        except SourceError as error:
            # Who asks through a proxy hears of names only in its words.
            if "does not resolve" in error.detail or "no server of the name" in error.detail:
                raise
            self._trouble = error
        return f"{self._host} has an address."

    def connect(self) -> str:
        """Say how the connection went."""
        if self._trouble is not None:
            raise self._trouble
        if self._url.startswith("https://"):
            return f"{self._host} answers, encrypted, with a certificate that is trusted."
        return f"{self._host} answers. The connection is not encrypted: others on the way can read what is imported."

    def skew(self) -> float | None:
        """Seconds that our clock is ahead of the server's Date; None where it tells none."""
        try:
            told = parsedate_to_datetime(self._reply.headers["Date"] if self._reply else "")
        except (KeyError, ValueError, TypeError):
            return None
        if told.tzinfo is None:
            told = told.replace(tzinfo=UTC)
        return (datetime.now(UTC) - told).total_seconds()

    def compare_clocks(self) -> str:
        """Compare the server's clock with ours, for a store that refuses signatures of other times."""
        off = self.skew()
        if off is None:
            return "The server does not tell its time."
        if abs(off) < LARGE_SKEW:
            return "They agree."
        words = f"This server's clock is {abs(off):.0f} seconds {'ahead of' if off > 0 else 'behind'} the store's."
        if abs(off) >= MOST_SKEW:
            raise SourceError(Cause.CREDENTIALS, f"{words} Signed requests will be refused. Set the clock.")
        return words


def count(number: int, noun: str) -> str:
    """Write a number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


class Reading:
    """The last steps: list a source path, and read a byte as an import would."""

    def __init__(self, open_tree: Callable[[], Tree], noun: str) -> None:
        self._open = open_tree
        self._noun = noun
        self._tree: Tree | None = None
        self._file: SourceFile | None = None

    def list(self) -> str:
        """List the first page."""
        self._tree = self._open()
        page = next(self._tree.list_files(), None)
        files = page.files if page else []
        self._file = next((file for file in files if file.size and not file.problem), None)
        first = f"; the first is {files[0].path}" if files else ""
        return f"{count(len(files), self._noun)} on the first page{first}."

    def read(self) -> str:
        """Read one byte, by a range."""
        if self._tree is None or self._file is None:
            return f"There is no {self._noun} that holds a byte yet."
        if len(self._tree.fetch_range(self._file, 0, 1)) != 1:
            raise SourceError(Cause.INVALID, "The store does not give parts of objects, which large files need.")
        return f"Read from {self._file.path}."
