"""What there is to say of a version's files: kinds of findings, and the places where they were found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

Level = Literal["bad", "warn", "info"]

# Places kept of each kind; all are counted.
MOST_PLACES: Final = 50


@dataclass(frozen=True, slots=True)
class FindingKind:
    """A kind of finding: how grave it is, and what it means, for one file and for many (with `{count}`)."""

    level: Level
    one: str
    many: str
    advice: str


# In the order in which they are shown.
KINDS: Final[dict[str, FindingKind]] = {
    "secrets": FindingKind(
        "bad",
        "1 file may hold a key or a password",
        "{count} files may hold keys or passwords",
        "Whoever may read the dataset, and every job, can read them. Revoke them where they are real, and leave them "
        "out of the next version.",
    ),
    "unreadable": FindingKind(
        "bad",
        "1 file can't be read as what it seems to be",
        "{count} files can't be read as what they seem to be",
        "A training job may fail at them, or skip them in silence.",
    ),
    "personal": FindingKind(
        "warn",
        "1 file may hold data about people",
        "{count} files may hold data about people",
        "Found by patterns, so look at some of them. What is found is counted, and shown nowhere else.",
    ),
    "leakage": FindingKind(
        "warn",
        "1 file for testing is in the training data too",
        "{count} files for testing are in the training data too",
        "The same bytes, whatever their names: results of tests with them look better than they are.",
    ),
    "schemas": FindingKind(
        "warn",
        "1 table has other columns than its siblings",
        "{count} tables have other columns than their siblings",
        "Loaders that read a series of tables as one fail at them, or drop columns.",
    ),
    "balance": FindingKind(
        "warn",
        "1 class is out of balance",
        "{count} classes are out of balance",
        "They are missing from a split, or have less than a tenth of the files of the largest class.",
    ),
    "names": FindingKind(
        "warn",
        "1 name makes trouble elsewhere",
        "{count} names make trouble elsewhere",
        "Windows, or tools that split at spaces, can't handle them.",
    ),
    "duplicates": FindingKind(
        "info",
        "1 file is the same as another",
        "{count} files are the same as others",
        "They are stored once, but a job reads each of them.",
    ),
    "empty": FindingKind("info", "1 file is empty", "{count} files are empty", "They have no bytes at all."),
    "litter": FindingKind(
        "info",
        "1 file is left over from a program",
        "{count} files are left over from programs",
        "Systems and editors make such files; they are no data.",
    ),
    "encrypted": FindingKind(
        "info",
        "1 file is encrypted",
        "{count} files are encrypted",
        "Jobs need the key, and nothing here can look into them.",
    ),
    "licence": FindingKind(
        "warn",
        "No licence is named",
        "No licence is named",
        "Add a file LICENSE, or “license:” to the front matter of README.md, so that others know what they may do.",
    ),
}


def note(findings: dict[str, Any], kind: str, path: str, detail: str = "", *, count: int = 1) -> None:
    """Add a place to what was found so far, a JSON object of kind to count and places; `detail` is short text."""
    known = findings.setdefault(kind, {"count": 0, "places": []})
    known["count"] += count
    if len(known["places"]) < MOST_PLACES:
        known["places"].append([path, detail])


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of finding with its places (path, detail): the first fifty of `count`."""

    kind: str
    level: Level
    title: str
    advice: str
    count: int
    places: list[tuple[str, str]]

    @property
    def left_out(self) -> int:
        """How many places are not listed."""
        return max(0, self.count - len(self.places))


def read_findings(findings: dict[str, Any]) -> list[Finding]:
    """Put what was found in its order and in words."""
    found = []
    for name, kind in KINDS.items():
        if known := findings.get(name):
            title = kind.one if known["count"] == 1 else kind.many.format(count=f"{known['count']:,}")
            places = [(path, detail) for path, detail in known["places"]]
            found.append(Finding(name, kind.level, title, kind.advice, known["count"], places))
    return found
