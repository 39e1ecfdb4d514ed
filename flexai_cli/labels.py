"""How people name a version: `images`, `images@3`, `images@production`, `vision/images@3`."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from flexai_cli.errors import UsageError

LATEST: Final = "latest"
_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_LABEL: Final = re.compile(rf"(?:(?P<team>{_NAME})/)?(?P<dataset>{_NAME})(?:@(?P<version>[A-Za-z0-9][A-Za-z0-9._-]*))?")


class Label(NamedTuple):
    """A dataset or one version of it; `team` is empty for the caller's own.

    `version` is a number or a label as text; empty for the latest version that is available.
    """

    team: str
    dataset: str
    version: str = ""

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.dataset}@{self.version}" if self.version else self.dataset


def parse_label(text: str) -> Label:
    """Read `[TEAM/]NAME[@VERSION]`; VERSION is a number, a label, or "latest"."""
    match = _LABEL.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} names no dataset; it looks like images, images@3 or vision/images@3")
    version = match["version"] or ""
    return Label(match["team"] or "", match["dataset"], "" if version == LATEST else version)


def parse_dataset(text: str) -> Label:
    """Read `[TEAM/]NAME` where a version makes no sense."""
    label = parse_label(text)
    if "@" in text:
        raise UsageError(f"{text!r} names a version; here a dataset is wanted, for instance {label.dataset}")
    return label
