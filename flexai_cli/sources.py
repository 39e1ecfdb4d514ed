"""What a push is made of: `SRC[=DEST]` arguments become one tree of folders and files of this machine."""

from __future__ import annotations

import glob
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from flexai_cli.errors import FlexaiError, UsageError
from flexai_cli.paths import normalise

STANDARD_INPUT = "-"


@dataclass(slots=True)
class Node:
    """A folder of the dataset to be: folders whose contents go into it, and single files and folders by name."""

    folders: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)

    def at(self, destination: str) -> Node:
        """Return the node of a folder below this one ("" is this one), made where it is missing."""
        here = self
        for name in destination.split("/") if destination else ():
            here = here.children.setdefault(name, Node())
        return here

    def place(self, destination: str, source: str) -> None:
        """Put one file at a path."""
        folder, _, name = destination.rpartition("/")
        files = self.at(folder).files
        if files.setdefault(name, source) != source:
            raise UsageError(f"{files[name]} and {source} would both become {destination}.")


def split_mapping(text: str) -> tuple[str, str | None]:
    """Split `SRC[=DEST]`. A "=" that belongs to a name (`year=2024`) stays: SRC is the longest part that is there."""
    if text != STANDARD_INPUT and _is_there(text):
        return text, None
    places = [match.start() for match in re.finditer("=", text)]
    for place in reversed(places):
        source = text[:place]
        if source == STANDARD_INPUT or (source and _is_there(source)):
            return source, text[place + 1 :]
    if places:
        # Nothing is there: the message shall name the likelier part.
        return text[: places[0]], text[places[0] + 1 :]
    return text, None


def _is_there(source: str) -> bool:
    return os.path.lexists(source) or bool(glob.has_magic(source) and glob.glob(source, recursive=True))  # noqa: PTH207


def build_tree(mappings: Iterable[tuple[str, str | None]], spool: Path) -> Node:
    """Lay out what every (SRC, DEST) contributes. Standard input is written into the folder `spool` first."""
    root = Node()
    for source, destination in mappings:
        if source == STANDARD_INPUT:
            if not destination:
                raise UsageError("Standard input has no name: say what it becomes, as in --file -=corpus/train.txt")
            root.place(_clean(destination), _spool_input(spool))
        elif os.path.lexists(source):
            _add(root, source, destination)
        else:
            _add_matches(root, source, destination)
    return root


def _add(root: Node, source: str, destination: str | None) -> None:
    if Path(source).is_dir():
        root.at(_clean(destination or "")).folders.append(os.path.abspath(source))  # noqa: PTH100 - keeps symbolic links
        return
    own_name = os.path.basename(os.path.abspath(source))  # noqa: PTH100, PTH119
    if destination and not destination.endswith("/"):
        place = _clean(destination)
    else:
        place = "/".join(filter(None, (_clean(destination or ""), _clean(own_name))))
    root.place(place, os.path.abspath(source))  # noqa: PTH100


def _add_matches(root: Node, pattern: str, destination: str | None) -> None:
    """Place what a pattern matches: it keeps its path below the part before the first folder with `*`, `?` or `[`."""
    found = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []  # noqa: PTH207 - text stays as it was given
    if not found:
        raise UsageError(f"There is no file or folder {pattern}")
    fixed = []
    for part in pattern.split("/")[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    base = "/".join(fixed) + "/" if fixed else ""
    inside: tuple[str, ...] = ()
    for source in found:
        if source.startswith(inside) and inside:
            # `**` finds a folder and then all that is in it.
            continue
        below = source[len(base) :].rstrip("/")
        place = "/".join(filter(None, (_clean(destination or ""), below)))
        if not Path(source).is_dir():
            root.place(_clean(place), os.path.abspath(source))  # noqa: PTH100
        elif "**" not in pattern:
            root.at(_clean(place)).folders.append(os.path.abspath(source))  # noqa: PTH100
            inside = (*inside, source.rstrip("/") + "/")


def _clean(destination: str) -> str:
    trimmed = destination.strip("/")
    while trimmed.startswith("./"):
        trimmed = trimmed[2:].lstrip("/")
    return normalise(trimmed) if trimmed not in {"", "."} else ""


def _spool_input(spool: Path) -> str:
    """Keep standard input: its length and digest must be known before it is sent."""
    try:
        spool.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=spool, prefix="stdin-", delete=False) as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 2**20)
    except OSError as error:
        raise FlexaiError(
            f"Standard input can't be kept in {spool.parent}: {error.strerror}. There must be room for all of it; "
            "FLEXAI_CACHE_DIR names another folder."
        ) from None
    return file.name
