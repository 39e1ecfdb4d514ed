"""Steps of a connection's check that stores have in common: each returns what it found out, or raises SourceError."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from datasets_app.sources.base import Cause, CheckStep, SourceError, SourceFile, Stage, Tree
from datasets_app.sources.web import Reply, Web

NOT_DONE: Final = "Not done: an earlier step failed."
# What a server says to a stranger does not matter but for its headers.
GREETING_BYTES: Final = 64 * 1024
# Of the clocks, in seconds: where signatures are refused, and where somebody should know.
MOST_SKEW: Final = 300
LARGE_SKEW: Final = 60

# What a proxy answers when it gets no answer itself, or gives none to us.
PROXY_SIGN_IN: Final = 407
PROXY_TROUBLE: Final = frozenset({502, 503, 504})

Step = tuple[str, Callable[[], str]]


class NothingShownError(Exception):
    """A step had nothing to show it with; `detail` says what was missing. The next step is done all the same."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


def run_steps(steps: Sequence[Step]) -> Iterator[CheckStep]:
    """Go through the steps; after the first that fails, the others are named but not done.

    A step returns what it has shown, or raises SourceError, or NothingShownError.
    """
    failed = False
    for name, step in steps:
        if failed:
            yield CheckStep(name, ok=None, detail=NOT_DONE)
            continue
        try:
            result = CheckStep(name, ok=True, detail=step())
        except NothingShownError as nothing:
            result = CheckStep(name, ok=None, detail=nothing.detail)
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
            self._trouble = error
        if _is_address(self._host):
            return f"{self._host} is an address: there is no name to look up."
        if self._web.route.is_foreign:
            raise NothingShownError("The operator's proxy looks the name up, and does not tell what it found.")
        trouble = self._trouble
        if trouble is None or trouble.stage is Stage.SERVER:
            return f"{self._host} has an address."
        if trouble.stage is Stage.UNKNOWN:
            raise NothingShownError(f"Nothing came back that would show whether {self._host} has an address.")
        raise trouble

    def connect(self) -> str:
        """Say how the connection went."""
        if self._trouble is not None:
            raise self._trouble
        if self._url.startswith("https://"):
            return f"{self._host} answers, encrypted, with a certificate that is trusted."
        open_to_all = "The connection is not encrypted: others on the way can read what is imported."
        if self._web.route.is_foreign and self._reply is not None:
            return f"{self._read_proxy(self._reply.status)} {open_to_all}"
        return f"{self._host} answers. {open_to_all}"

    def _read_proxy(self, status: int) -> str:
        """Say who answered where nothing is encrypted: the proxy can speak in the server's place."""
        if status == PROXY_SIGN_IN:
            detail = "The operator's proxy wants to know who asks. Its address (EGRESS_PROXY) can name a user."
            raise SourceError(Cause.UNREACHABLE, detail)
        if status in PROXY_TROUBLE:
            detail = f"{self._host}, or the operator's proxy in its place, answers with an error ({status})."
            raise SourceError(Cause.UNREACHABLE, detail)
        return f"An answer came by the operator's proxy: {self._host}'s, or its own in that place."

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


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


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
            raise NothingShownError(f"There is no {self._noun} on the first page that holds a byte.")
        if len(self._tree.fetch_range(self._file, 0, 1)) != 1:
            raise SourceError(Cause.INVALID, "The store does not give parts of objects, which large files need.")
        return f"Read from {self._file.path}."
