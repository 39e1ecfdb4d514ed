"""A kind of store that needs no network, with a field of every kind: a plug-in like the others, for tests alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import pytest

from datasets_app.errors import Invalid
from datasets_app.sources import registry
from datasets_app.sources.base import (
    Cause,
    CheckStep,
    Entry,
    Field,
    Page,
    Provider,
    Route,
    Settings,
    SourceError,
    SourceFile,
    Tree,
    Walk,
)

SECRET = "correct-horse"
BOXES = ("box0", "box1", "box2")


@dataclass
class ShelfSource:
    """Holds three boxes; opens them to whoever knows the secret."""

    settings: Settings

    def check(self, path: str = "") -> Iterator[CheckStep]:
        """Look at the secret, then for the path."""
        yield CheckStep("Name", ok=True, detail=f"{self.settings.values['endpoint']} is there.")
        if self.settings.secrets["secret"] != SECRET:
            yield CheckStep("Credentials", ok=False, detail="The shelf does not know this secret. Enter another.")
            yield CheckStep("List", ok=None, detail="")
            return
        yield CheckStep("Credentials", ok=True, detail="")
        if path not in {"", *BOXES}:
            raise SourceError(Cause.MISSING, f"There is no box <{path}>.")
        yield CheckStep("List", ok=True, detail="")

    def browse(self, path: str = "", *, revision: str = "", cursor: str = "") -> Walk:
        """Two boxes a page; each holds one file."""
        if path and path not in BOXES:
            raise SourceError(Cause.MISSING, f"There is no box <{path}>.")
        if path:
            return Walk([Entry(f"a{revision}.txt", f"{path}/a.txt", is_folder=False, size=3)], None)
        boxes = BOXES[int(cursor or 0) : int(cursor or 0) + 2]
        entries = [Entry(box, box, is_folder=True) for box in boxes]
        return Walk(entries, "2" if not cursor else None)

    def revisions(self, path: str) -> list[str]:
        """Two of each box."""
        return ["main", f"{path}-old"]

    def open(self, path: str, *, revision: str = "") -> Tree:
        """Give what the test has put into the box."""
        if path not in BOXES:
            raise SourceError(Cause.MISSING, f"There is no box <{path}>.")
        return ShelfTree(f"{revision or 'main'}-pinned")


# What lies in each box: a test that imports fills it. A value of None is a file that can't be read.
CONTENT: dict[str, bytes | None] = {}


@dataclass
class ShelfTree:
    """A box."""

    revision: str

    def list_files(self, *, after: str = "") -> Iterator[Page]:
        """All on one page."""
        files = [self._file(key, data) for key, data in CONTENT.items() if key > after]
        if files:
            yield Page(files, files[-1].key)

    def fetch(self, file: SourceFile) -> bytes:
        """Read what is there."""
        data = CONTENT.get(file.key)
        if data is None:
            raise SourceError(Cause.DENIED, "The shelf keeps this to itself.")
        return data

    def fetch_range(self, file: SourceFile, offset: int, length: int) -> bytes:
        """Read a part of it."""
        return self.fetch(file)[offset : offset + length]

    def look_up(self, file: SourceFile) -> SourceFile:
        """Nothing more is known."""
        return file

    def _file(self, key: str, data: bytes | None) -> SourceFile:
        return SourceFile(key=key, path=key, size=len(data or b"?"), tag=f"{self.revision} {data!r}")


class Shelf:
    """The provider."""

    name = "shelf"
    label = "Shelf"
    path_help = "box"
    has_revisions = True
    fields: Sequence[Field] = (
        Field("endpoint", "Endpoint", required=True, is_place=True),
        Field("user", "User"),
        Field("secret", "Secret", "secret", required=True),
        Field("token", "Token", "secret"),
        Field("style", "Style", "choice", choices=(("plain", "Plain boxes"), ("fine", "Fine boxes")), default="plain"),
        Field("pays", "I pay", "switch"),
        Field("polish", "Polish", "secret", required=True, when="style=fine"),
        Field("labels", "Labels", "long"),
    )

    def clean(self, settings: Settings) -> Settings:
        """Refuse what is no URL."""
        if not settings.values["endpoint"].startswith("https://"):
            raise Invalid("no URL", errors=[{"field": "endpoint", "detail": "An endpoint begins with https://"}])
        return settings

    def connect(self, settings: Settings, route: Route) -> ShelfSource:
        """Go nowhere."""
        del route
        return ShelfSource(settings)


def install_shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the shelf into the registry, with empty boxes, for one test."""
    monkeypatch.setattr("tests.connections.shelf.CONTENT", {})
    monkeypatch.setitem(cast("dict[str, Provider]", registry.PROVIDERS), SHELF.name, SHELF)


SHELF: Provider = Shelf()
VALUES = {"endpoint": "https://shelf.example.org", "user": "ada", "secret": SECRET, "pays": "on"}
