"""Does a connection to an S3 store work? Asked step by step, so that the answer says what to mend."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from datasets_app.sources.base import Cause, CheckStep, SourceError, SourceFile
from datasets_app.sources.guard import find_refusal
from datasets_app.sources.s3_profiles import Access
from datasets_app.sources.web import Reply, Web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.sources.s3 import S3Source, S3Tree

# A signature is refused when the clocks are this far apart, in seconds; well before, somebody should know.
MOST_SKEW: Final = 15 * 60
LARGE_SKEW: Final = 60
# Of what the server says about itself to a stranger, nothing but the headers matters.
GREETING_BYTES: Final = 64 * 1024
NOT_DONE: Final = "Not done: an earlier step failed."


def check_source(source: S3Source, path: str) -> Iterator[CheckStep]:
    """Go through the steps; after the first that fails, the others are named but not done."""
    check = _Check(source, path)
    steps = [
        ("Find the server", check.resolve),
        ("Connect", check.connect),
        ("Compare the clocks", check.compare_clocks),
        ("Sign in", check.sign_in),
        ("List", check.list),
    ]
    if path:
        steps.append(("Read one byte", check.read))
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


class _Check:
    """The steps. Each returns what it found out, or raises SourceError."""

    def __init__(self, source: S3Source, path: str) -> None:
        self.source = source
        self.path = path
        self.endpoint = source.clients.endpoint
        self.host = urlsplit(self.endpoint).hostname or self.endpoint
        self.reply: Reply | None = None
        self.trouble: SourceError | None = None
        self.buckets: list[str] | None = None
        self.tree: S3Tree | None = None
        self.file: SourceFile | None = None

    def resolve(self) -> str:
        """Ask the server something without signing; the name is only one of the things that may be wrong."""
        web = Web(self.source.clients.web_route(), store=self.source.profile.store)
        try:
            self.reply = web.get(f"{self.endpoint}/", headers={}, limit=GREETING_BYTES)
        except SourceError as error:
            # Who asks through a proxy hears of names only in its words.
            if "does not resolve" in error.detail or "no server of the name" in error.detail:
                raise
            self.trouble = error
        else:
            self.trouble = find_refusal(self.reply.data.decode(errors="replace"))
            if self.trouble and "does not resolve" in self.trouble.detail:
                raise self.trouble
        return f"{self.host} has an address."

    def connect(self) -> str:
        """Say how the connection went."""
        if self.trouble is not None:
            raise self.trouble
        if self.endpoint.startswith("https://"):
            return f"{self.host} answers, encrypted, with a certificate that is trusted."
        return f"{self.host} answers. The connection is not encrypted: others on the way can read what is imported."

    def compare_clocks(self) -> str:
        """Compare the server's Date with ours."""
        try:
            told = parsedate_to_datetime(self.reply.headers["Date"] if self.reply else "")
        except (KeyError, ValueError, TypeError):
            return "The server does not tell its time."
        off = (datetime.now(UTC) - told).total_seconds()
        words = f"This server's clock is {_in_words(abs(off))} {'ahead of' if off > 0 else 'behind'} the store's."
        if abs(off) >= MOST_SKEW and self.source.profile.access is not Access.PUBLIC:
            raise SourceError(Cause.CREDENTIALS, f"{words} Signatures are refused from 15 minutes on. Set the clock.")
        return words if abs(off) >= LARGE_SKEW else "They agree."

    def sign_in(self) -> str:
        """List the buckets, for that needs a signature and hardly a right."""
        if self.source.profile.access is Access.PUBLIC:
            return "No credentials are used: only public buckets can be read."
        try:
            self.buckets = [entry.name for entry in self.source.browse().entries]
        except SourceError as error:
            if error.cause != Cause.DENIED:
                raise
            return "The credentials are accepted. They may not list buckets, so type the bucket in the source path."
        return "The credentials are accepted."

    def list(self) -> str:
        """List the path, or say which buckets there are."""
        if not self.path:
            if self.buckets is None:
                return "Give a source path to have it listed."
            return f"{_count(len(self.buckets), 'bucket')} can be seen{_first(self.buckets)}."
        self.tree = self.source.open(self.path)
        page = next(self.tree.list_files(), None)
        files = page.files if page else []
        self.file = next((file for file in files if file.size), None)
        return f"{_count(len(files), 'object')} on the first page{_first([file.path for file in files])}."

    def read(self) -> str:
        """Read a byte as an import would."""
        if self.tree is None or self.file is None:
            return "There is no object that holds a byte yet."
        if len(self.tree.fetch_range(self.file, 0, 1)) != 1:
            detail = f"{self.host} does not give parts of objects (ranges), which large files need."
            raise SourceError(Cause.INVALID, detail)
        return f"Read from {self.file.path}."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _first(names: list[str]) -> str:
    return f"; the first is {names[0]}" if names else ""


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 2 * LARGE_SKEW else f"{seconds:.0f} seconds"
