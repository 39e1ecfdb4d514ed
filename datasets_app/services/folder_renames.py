"""Whole folders that hang elsewhere in the new version, found by their ids alone: for differences too many to count."""

from __future__ import annotations

from collections import defaultdict, deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from datasets_app.services.changes import Difference, walk_differences
from datasets_app.services.renames import Renamed
from datasets_app.store.paths import KEY_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_FOLDERS = 20_000


class FolderMoves(NamedTuple):
    """By the keys of folders: where each of the new version was in the old one, and those that are so accounted for."""

    origins: dict[str, str]
    moved: set[str]


def find_folder_moves(old: int, new: int) -> FolderMoves:
    """Join folders that are gone with equal ones that came, of the same name first; no file is looked at."""
    origins: dict[str, str] = {}
    differing = list(islice(walk_differences(old, new, files=False), MOST_FOLDERS + 1))
    if len(differing) > MOST_FOLDERS:
        return FolderMoves(origins, set())
    gone: dict[object, deque[str]] = defaultdict(deque)
    for found in differing:
        if found.old is not None:
            gone[found.old.ref].append(found.key)
            gone[found.old.ref, _name(found.key)].append(found.key)
    moved: set[str] = set()
    came = [(found.key, found.new.ref) for found in differing if found.new is not None]
    for is_same_name in (True, False):
        for key, ref in came:
            if key not in origins:
                candidates = gone[(ref, _name(key)) if is_same_name else ref]
                while candidates and candidates[0] in moved:
                    candidates.popleft()
                if candidates:
                    origins[key] = candidates.popleft()
                    moved.add(origins[key])
    return FolderMoves(origins, moved)


def tell_moves(differences: Iterable[Difference], moves: FolderMoves) -> Iterator[Difference | Renamed]:
    """Let what lies in a moved folder, or is one, be a rename; where it was, nothing is said of it."""
    for found in differences:
        if found.old is not None and found.new is not None:
            yield found
            continue
        folder = next((above for above in _above(found.key) if above in moves.origins or above in moves.moved), None)
        if folder is None:
            yield found
        elif found.new is not None and folder in moves.origins:
            yield Renamed(found.key, found.new, found.new, moves.origins[folder] + found.key[len(folder) :])


def _above(key: str) -> Iterator[str]:
    """Give the folders on the way to a place, the top first, and the place itself if it is one."""
    end = key.find(KEY_SEPARATOR)
    while end >= 0:
        yield key[: end + 1]
        end = key.find(KEY_SEPARATOR, end + 1)


def _name(key: str) -> str:
    return key.removesuffix(KEY_SEPARATOR).rpartition(KEY_SEPARATOR)[2]
