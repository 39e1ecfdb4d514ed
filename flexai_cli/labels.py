"""How people name a version: `images`, `images@3`, `vision/images@3`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from flexai_cli.errors import UsageError

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_LABEL: Final = re.compile(rf"(?:(?P<team>{_NAME})/)?(?P<dataset>{_NAME})(?:@(?P<number>latest|[1-9][0-9]{{0,8}}))?")


class Label(NamedTuple):
    """A dataset or one version of it; `team` is empty for the caller's own, `number` None for the latest version."""

    team: str
    dataset: str
    number: int | None = None

    def __str__(self) -> str:
        """Return it as people write it."""
        return self.dataset if self.number is None else f"{self.dataset}@{self.number}"


def parse_label(text: str) -> Label:
    """Read `[TEAM/]NAME[@VERSION]`; VERSION is a number or "latest"."""
    match = _LABEL.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} names no dataset; it looks like images, images@3 or vision/images@3")
    number = match["number"]
    return Label(match["team"] or "", match["dataset"], int(number) if number and number != "latest" else None)


def parse_dataset(text: str) -> Label:
    """Read `[TEAM/]NAME` where a version makes no sense."""
    label = parse_label(text)
    if "@" in text:
        raise UsageError(f"{text!r} names a version; here a dataset is wanted, for instance {label.dataset}")
    return label
