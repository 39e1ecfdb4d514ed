"""Find out which of the things that are gone have come back elsewhere: same bytes, or a folder with the same digest."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from datasets_app.services.changes import NOTHING, Difference, Side, walk_differences
from datasets_app.store.paths import KEY_SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

# So many entries of folders are looked at; what more of them hold is not told apart here.
MOST_LOOKED_AT = 20_000


class Renamed(NamedTuple):
    """Something that `new` has at `key`, and `old` had at `old_key`."""

    key: str
    old: Side | None
    new: Side | None
    old_key: str

    @property
    def is_directory(self) -> bool:
        """Whether this stands for everything below it."""
        return self.key.endswith(KEY_SEPARATOR)


class Renames(NamedTuple):
    """All differences, renames among them, in the order of (new) keys.

    Not `is_complete` where folders hold too much to be looked at: files in them may be renamed all the same.
    """

    units: list[Difference | Renamed]
    is_complete: bool = True


@dataclass(slots=True, eq=False)
class _Node:
    """Something on one side only, with what was looked up of its inside."""

    key: str
    side: Side
    parent: _Node | None = None
    children: list[_Node] = field(default_factory=list)
    partner: _Node | None = None
    # Something inside has a partner, so it can't be taken as a whole.
    is_split: bool = False

    @property
    def name(self) -> str:
        return self.key.removesuffix(KEY_SEPARATOR).rpartition(KEY_SEPARATOR)[2]

    @property
    def identity(self) -> tuple[bool, int]:
        return self.side.is_directory, self.side.ref

    @property
    def is_free(self) -> bool:
        """Whether neither it, nor a folder above it, nor anything inside has a partner."""
        node: _Node | None = self
        while node is not None:
            if node.partner is not None:
                return False
            node = node.parent
        return not self.is_split

    def pair(self, other: _Node) -> None:
        self.partner, other.partner = other, self
        for node in (self.parent, other.parent):
            above = node
            while above is not None:
                above.is_split = True
                above = above.parent


def find_renames(differences: list[Difference]) -> Renames:
    """Join what was removed and added into renames.

    A folder is one rename when it is the same inside; otherwise what it holds is looked at.
    """
    added = [_Node(found.key, found.new) for found in differences if found.old is None and found.new is not None]
    removed = [_Node(found.key, found.old) for found in differences if found.new is None and found.old is not None]
    if not added or not removed:
        return Renames(list(differences))
    is_complete = True
    _match(added, removed)
    both = [node for node in (*added, *removed) if node.partner is None]
    if any(node.partner is None for node in added) and any(node.partner is None for node in removed):
        is_complete = _look_inside(both)
        _match(added, removed)
    result: list[Difference | Renamed] = [found for found in differences if found.old and found.new]
    result += _units(added, is_new=True)
    result += _units(removed, is_new=False)
    return Renames(sorted(result, key=lambda unit: unit.key), is_complete)


def _match(added: list[_Node], removed: list[_Node]) -> None:
    """Pair equal things: folders before what is inside them, and those of the same name first."""
    gone: dict[object, deque[_Node]] = defaultdict(deque)
    for node in _all(removed):
        gone[node.identity].append(node)
        gone[node.identity, node.name].append(node)
    for node in _all(added):
        if not node.is_free:
            continue
        other = _take(gone[node.identity, node.name])
        # Empty files are all alike: only a name makes one the other.
        if other is None and (node.side.size or node.side.is_directory):
            other = _take(gone[node.identity])
        if other is not None:
            node.pair(other)


def _take(candidates: deque[_Node]) -> _Node | None:
    """Return the first that is still free; those that are not will never be again."""
    while candidates:
        node = candidates.popleft()
        if node.is_free:
            return node
    return None


def _all(nodes: list[_Node]) -> list[_Node]:
    """Return every node, those above before those inside, the shallow ones first."""
    found = list(nodes)
    for node in found:
        found += node.children
    return found


def _look_inside(nodes: list[_Node]) -> bool:
    """Look up what unmatched folders hold, level by level, as far as the budget goes; tell whether it was enough."""
    left = MOST_LOOKED_AT
    waiting = [node for node in nodes if node.side.is_directory]
    for node in waiting:
        for found in walk_differences(NOTHING, node.side.ref):
            if left == 0:
                node.children.clear()
                return False
            left -= 1
            if found.new is not None:
                node.children.append(_Node(node.key + found.key, found.new, node))
        waiting += [child for child in node.children if child.side.is_directory]
    return True


def _units(nodes: list[_Node], *, is_new: bool) -> Iterator[Difference | Renamed]:
    """Give what is left to say about one side; a rename is told on the new one."""
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node.is_split:
            waiting += node.children
        elif node.partner is None:
            yield Difference(node.key, None if is_new else node.side, node.side if is_new else None)
        elif is_new:
            yield Renamed(node.key, node.partner.side, node.side, node.partner.key)
