"""Does a connection to an S3 store work? Asked step by step, so that the answer says what to mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datasets_app.sources.base import Cause, CheckStep, SourceError
from datasets_app.sources.check_steps import LARGE_SKEW, Greeting, Reading, count, run_steps
from datasets_app.sources.s3_profiles import Access
from datasets_app.sources.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.sources.s3 import S3Source

# A signature is refused when the clocks are this far apart, in seconds; well before, somebody should know.
MOST_SKEW: Final = 15 * 60


def check_source(source: S3Source, path: str) -> Iterator[CheckStep]:
    """Go through the steps."""
    check = _Check(source)
    reading = Reading(lambda: source.open(path), "object")
    steps = [
        ("Find the server", check.resolve),
        ("Connect", check.connect),
        ("Compare the clocks", check.compare_clocks),
        ("Sign in", check.sign_in),
        ("List", reading.list if path else check.list_buckets),
    ]
    if path:
        steps.append(("Read one byte", reading.read))
    return run_steps(steps)


class _Check(Greeting):
    """The steps of S3's own: its signatures bear their time, and need not be given for public buckets."""

    def __init__(self, source: S3Source) -> None:
        clients = source.clients
        super().__init__(Web(clients.web_route(), store=source.profile.store), f"{clients.endpoint}/")
        self._source = source
        self._is_public = source.profile.access is Access.PUBLIC
        self._buckets: list[str] | None = None

    def compare_clocks(self) -> str:
        """Compare the server's Date with ours."""
        off = self.skew()
        if off is None:
            return "The server does not tell its time."
        words = f"This server's clock is {_in_words(abs(off))} {'ahead of' if off > 0 else 'behind'} the store's."
        if abs(off) >= MOST_SKEW and not self._is_public:
            raise SourceError(Cause.CREDENTIALS, f"{words} Signatures are refused from 15 minutes on. Set the clock.")
        return words if abs(off) >= LARGE_SKEW else "They agree."

    def sign_in(self) -> str:
        """List the buckets, for that needs a signature and hardly a right."""
        if self._is_public:
            return "No credentials are used: only public buckets can be read."
        try:
            self._buckets = [entry.name for entry in self._source.browse().entries]
        except SourceError as error:
            if error.cause != Cause.DENIED:
                raise
            return "The store answers that these credentials may not list buckets: type the bucket in the source path."
        return "The credentials are accepted."

    def list_buckets(self) -> str:
        """Say which buckets there are."""
        if self._buckets is None:
            return "Give a source path to have it listed."
        first = f"; the first is {self._buckets[0]}" if self._buckets else ""
        return f"{count(len(self._buckets), 'bucket')} can be seen{first}."


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 2 * LARGE_SKEW else f"{seconds:.0f} seconds"
