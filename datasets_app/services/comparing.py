"""Compare two versions: what was added, removed, changed and renamed, as whole folders where it is whole folders."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal
from urllib.parse import quote

from django.core import signing

from datasets_app.errors import Conflict
from datasets_app.models import User, Version
from datasets_app.permissions import require
from datasets_app.services.changes import NOTHING, Difference, Side, walk_differences
from datasets_app.services.file_renames import tell_renames
from datasets_app.services.folder_renames import find_folder_moves, tell_moves
from datasets_app.services.renames import Renamed, find_renames
from datasets_app.services.validation import invalid_field
from datasets_app.store.paths import KEY_SEPARATOR, from_key

Kind = Literal["added", "removed", "changed", "renamed"]
KINDS: tuple[Kind, ...] = ("added", "removed", "changed", "renamed")
# So many differences are counted, and held to search them for renames; beyond it they come page by page, not counted,
# and of folders only those that were moved as they are, are told as renames.
MOST_COUNTED = 20_000
# So many are looked at for one page: of a file that was renamed nothing is said where it was, so a page may be short.
MOST_LOOKED_AT = 20_000
MOST_ROWS = 10_000
SALT = "comparison"


@dataclass(frozen=True, slots=True)
class Change:
    """One path, or a whole folder, that two versions do not share. Sizes in bytes, digests in hex.

    Values are None on the side that lacks it. `file_count` is 1 for a file; `old_path` differs if it was renamed.
    """

    kind: Kind
    type: Literal["directory", "file"]
    path: str
    old_path: str | None
    file_count: int
    old_size: int | None
    new_size: int | None
    old_sha256: str | None
    new_sha256: str | None

    @property
    def folder(self) -> str:
        """The folder that holds it; empty for the root."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Its name in that folder."""
        return self.path.rpartition("/")[2]

    @property
    def is_directory(self) -> bool:
        """Whether this stands for a whole folder."""
        return self.type == "directory"

    @property
    def url_path(self) -> str:
        """The path as part of a URL; of what was removed, in the old version."""
        return quote(self.path)


@dataclass(frozen=True, slots=True)
class Tally:
    """Files of one kind of change, and their bytes: of the new version, or of the old one for what was removed."""

    files: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Comparison:
    """One page of changes in tree order. `tallies` counts all of them by kind; None when they are too many to count.

    Then a page may have fewer changes than were asked for, even none, though there is a next one.
    """

    changes: list[Change]
    next_cursor: str | None
    tallies: dict[Kind, Tally] | None

    @property
    def is_empty(self) -> bool:
        """Whether both versions have the same content."""
        return self.tallies is not None and not any(tally.files for tally in self.tallies.values())


def compare_versions(  # noqa: PLR0913 - one argument for each control of the list
    actor: User,
    *,
    old: Version,
    new: Version,
    kind: str = "",
    cursor: str | None = None,
    limit: int = 200,
    expand: bool = False,
) -> Comparison:
    """Return a page of what differs from `old` to `new`, reading only directories that differ.

    Folders that only one side has, or that were moved as they are, are one change each; with `expand` every file is.
    `kind` keeps one of KINDS; it needs that the differences can be counted. `limit` is from 1 to 10,000.
    """
    require(actor, "version.view", old)
    require(actor, "version.view", new)
    if kind and kind not in KINDS:
        raise invalid_field("kind", f"A kind is one of {', '.join(KINDS)}.")
    if not 1 <= limit <= MOST_ROWS:
        raise invalid_field("limit", f"A page has from 1 to {MOST_ROWS} rows.")
    after = _decode(cursor) if cursor else ""
    roots = _root(old), _root(new)
    units = _count_differences(roots, expand=expand)
    tallies = None
    found: Iterator[tuple[str, Change | None]]
    if units is not None:
        tallies = _count(units)
        wanted = [unit for unit in units if not kind or _kind(unit) == kind]
        found = _from_units(wanted, after, expand=expand)
    elif kind:
        raise invalid_field("kind", "There are too many differences to tell apart. Look at all of them.")
    else:
        found = _from_trees(roots, after, expand=expand)
    changes, following = _take(found, limit)
    return Comparison(changes, following, tallies)


def _root(version: Version) -> int:
    if version.root_id is None:
        raise Conflict(f"{version.label} is {version.status}: it can be compared once it is sealed.")
    return version.root_id


def _count_differences(roots: tuple[int, int], *, expand: bool) -> list[Difference | Renamed] | None:
    """Give all differences; None when they are too many, or files in whole folders that `expand` shows are."""
    counted = list(islice(walk_differences(*roots), MOST_COUNTED + 1))
    if len(counted) > MOST_COUNTED:
        return None
    renames = find_renames(counted)
    return renames.units if renames.is_complete or not expand else None


def _take(found: Iterator[tuple[str, Change | None]], limit: int) -> tuple[list[Change], str | None]:
    """Take a page of changes, and the cursor of the next one; keys without a change only count as looked at."""
    changes: list[Change] = []
    last = ""
    for looked_at, (key, change) in enumerate(found):
        if looked_at == MOST_LOOKED_AT or (change is not None and len(changes) == limit):
            return changes, _encode(last)
        if change is not None:
            changes.append(change)
        last = key
    return changes, None


def _from_trees(roots: tuple[int, int], after: str, *, expand: bool) -> Iterator[tuple[str, Change | None]]:
    """Give the changes after a key as the trees are walked; None where something was that is told elsewhere."""
    moves = find_folder_moves(*roots)
    units = tell_moves(walk_differences(*roots, after=after, expand=expand), moves)
    told = tell_renames(units, roots, moves, expand=expand)
    return ((key, _change(unit) if unit is not None else None) for key, unit in told)


def _from_units(units: list[Difference | Renamed], after: str, *, expand: bool) -> Iterator[tuple[str, Change | None]]:
    """Give the changes after a key; the unit that the key lies in may have more to give."""
    start = bisect_right([unit.key for unit in units], after)
    if expand and any(_holds(unit, after) for unit in units[max(start - 1, 0) : start]):
        start -= 1
    for unit in units[start:]:
        if not expand or not unit.is_directory:
            yield unit.key, _change(unit)
            continue
        inner = after[len(unit.key) :] if after.startswith(unit.key) else ""
        for found in _files_of(unit, inner):
            yield found.key, _change(found)


def _holds(unit: Difference | Renamed, key: str) -> bool:
    return unit.is_directory and key.startswith(unit.key)


def _files_of(unit: Difference | Renamed, after: str) -> Iterator[Difference | Renamed]:
    side = unit.new or unit.old
    ref = side.ref if side is not None else NOTHING
    for found in walk_differences(NOTHING, ref, after=after, expand=True):
        key = unit.key + found.key
        if isinstance(unit, Renamed):
            yield Renamed(key, found.new, found.new, unit.old_key + found.key)
        elif unit.new is None:
            yield Difference(key, found.new, None)
        else:
            yield Difference(key, None, found.new)


def _kind(unit: Difference | Renamed) -> Kind:
    if isinstance(unit, Renamed):
        return "renamed"
    if unit.old is None:
        return "added"
    return "removed" if unit.new is None else "changed"


def _change(unit: Difference | Renamed) -> Change:
    some = unit.new or unit.old
    files = 1 if some is None or some.file_count is None else some.file_count
    return Change(
        kind=_kind(unit),
        type="directory" if unit.is_directory else "file",
        path=_path(unit.key),
        old_path=_path(unit.old_key) if isinstance(unit, Renamed) else None,
        file_count=files,
        old_size=unit.old.size if unit.old else None,
        new_size=unit.new.size if unit.new else None,
        old_sha256=_hex(unit.old),
        new_sha256=_hex(unit.new),
    )


def _path(key: str) -> str:
    return from_key(key.removesuffix(KEY_SEPARATOR))


def _hex(side: Side | None) -> str | None:
    return side.digest.hex() if side is not None else None


def _count(units: list[Difference | Renamed]) -> dict[Kind, Tally]:
    tallies = dict.fromkeys(KINDS, Tally())
    for unit in units:
        side = unit.new or unit.old
        if side is not None:
            kind = _kind(unit)
            files = 1 if side.file_count is None else side.file_count
            tallies[kind] = Tally(tallies[kind].files + files, tallies[kind].size + side.size)
    return tallies


def _encode(key: str) -> str:
    return signing.dumps(key, salt=SALT)


def _decode(cursor: str) -> str:
    try:
        return str(signing.loads(cursor, salt=SALT))
    except (signing.BadSignature, ValueError) as error:
        raise invalid_field("cursor", "This cursor was not made by this list. Start again without it.") from error
