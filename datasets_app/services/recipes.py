"""What a composed version is made of: parts of other versions, as its recipe says. Nothing is written here."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from datasets_app.errors import Conflict
from datasets_app.services.pending import find_nodes
from datasets_app.services.trees import read_children
from datasets_app.store.overlay import Child
from datasets_app.store.patterns import Patterns
from datasets_app.store.union import Mount, Union

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from datasets_app.models import Version
    from datasets_app.store.merkle import FileEntry, TreeEntry
    from datasets_app.store.union import OnClash

COMPOSE: Final = "compose"
WHOLE: Final = 100
_SPACE: Final = 2**64


class Split(NamedTuple):
    """A share of the files: those whose hash with `seed` lies from `start` to `end` percent of all hashes.

    The same seed always gives the same files. By path each path is by itself; by content equal files stay together.
    """

    seed: str
    start: float
    end: float
    by: Literal["path", "content"] = "path"

    def takes(self, path: str, digest: bytes) -> bool:
        """Tell whether a file is in the share."""
        what = digest if self.by == "content" else path.encode()
        number = int.from_bytes(hashlib.sha256(self.seed.encode() + b"\0" + what).digest()[:8], "big")
        return self.start <= WHOLE * number / _SPACE < self.end


class Part(NamedTuple):
    """Some files of a version: those below `folder` ("" is all) that the patterns and the split take, put at `prefix`.

    `version` is a number or a label, "latest" too; patterns are over paths relative to the folder.
    """

    dataset: str
    version: int | str = "latest"
    folder: str = ""
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    prefix: str = ""
    split: Split | None = None


def write_part(part: Part, version: Version) -> dict[str, Any]:
    """Return what the recipe keeps: names and numbers as text, so that it stays readable when they are gone."""
    split = part.split
    return {
        "dataset": version.dataset.name,
        "version": version.number,
        "digest": version.digest,
        "folder": part.folder,
        "include": list(part.include),
        "exclude": list(part.exclude),
        "prefix": part.prefix,
        "split": None if split is None else split._asdict(),
    }


def read_part(kept: dict[str, Any]) -> Part:
    """Return the part that `write_part` wrote down."""
    given = {field: kept[field] for field in Part._fields if field != "split"}
    split = kept["split"]
    return Part(**given, split=None if split is None else Split(**split))


def mount_part(part: Part, version: Version) -> Mount:
    """Find the part in a sealed version; Conflict where it has no such folder."""
    node = find_nodes(version.root_id, [part.folder]).get(part.folder)
    if node is None or node.file_count is None:
        raise Conflict(f"There is no folder {part.folder} in {version.label}.")
    root = Child("", node.digest, node.size, node.ref, node.file_count)
    return Mount(root, part.prefix, _chooser(part))


def _chooser(part: Part) -> Callable[[str, bytes], bool] | None:
    split = part.split
    if not part.include and not part.exclude:
        return None if split is None else split.takes
    patterns = Patterns(include=part.include, exclude=part.exclude)
    if split is None:
        return lambda path, _digest: patterns.takes(path)
    return lambda path, digest: patterns.takes(path) and split.takes(path, digest)


def unite(
    parts: Sequence[tuple[Part, Version]],
    *,
    on_clash: OnClash,
    progress: Callable[[int], None] = lambda _looked: None,
) -> Union:
    """Put the parts together; nothing is read before its entries are."""
    mounts = [mount_part(part, version) for part, version in parts]
    return Union(read_children, mounts, on_clash=on_clash, progress=progress)


def is_composed(version: Version) -> bool:
    """Tell whether the version is made from others, rather than from what is sent."""
    return bool(version.source.get("kind") == COMPOSE)


def composed_entries(version: Version, *, progress: Callable[[int], None]) -> Iterator[FileEntry | TreeEntry]:
    """Entries of the tree that the version's recipe asks for.

    Raises Conflict when a source is gone, and, after the last entry, with the paths for which parts disagree.
    """
    recipe = version.source
    rows = version.lineage.select_related("source__root", "source__dataset")
    parts = []
    for row, kept in zip(rows, recipe["parts"], strict=True):
        if row.source is None or row.source.root_id is None:
            raise Conflict(f"{row} was purged before this could be made from it. Abandon this, and compose it anew.")
        parts.append((read_part(kept), row.source))
    union = unite(parts, on_clash=recipe["on_clash"], progress=progress)
    yield from union.entries()
    refuse_clashes(union, recipe["on_clash"])


def refuse_clashes(union: Union, on_clash: str) -> None:
    """Raise Conflict with the paths that parts disagree about, unless one of them wins."""
    if on_clash != "refuse" or not union.clash_count:
        return
    shown = ", ".join(union.clashes[:5])
    more = f" and {union.clash_count - 5} more" if union.clash_count > 5 else ""  # noqa: PLR2004 - as many as shown
    raise Conflict(
        f"Parts have different bytes at the same path: {shown}{more}. Give them different folders, or say which wins.",
        errors=[{"path": path, "detail": "Parts have different bytes here."} for path in union.clashes],
    )
