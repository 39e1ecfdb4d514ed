"""Notice names in one directory that differ only in case, which macOS and Windows cannot unpack side by side."""

from array import array
from collections.abc import Iterable, Iterator

SHOWN_CLASHES = 100
# Names per bucket when looking for equal hashes: bounds the set held at once.
BUCKET_NAMES = 65_536


class ClashReport:
    """What a build found: `count` names too many, and the first hundred groups of paths in `shown`."""

    def __init__(self) -> None:
        self.count = 0
        self.shown: list[tuple[str, ...]] = []
        # Directories with too many names to compare them in bounded memory.
        self.unchecked: list[str] = []

    def add(self, folder: str, hashes: "array[int]", names: Iterable[str]) -> None:
        """Look through the directory `folder`: `hash(name.casefold())` of each name (emptied), and the names."""
        repeated: set[int] = set()
        for bucket in _buckets(hashes):
            distinct = set(bucket)
            if len(distinct) < len(bucket):
                self.count += len(bucket) - len(distinct)
                repeated.update(_repeated(bucket, SHOWN_CLASHES - len(self.shown) - len(repeated)))
        if repeated:
            self._show(folder, repeated, names)

    def _show(self, folder: str, repeated: set[int], names: Iterable[str]) -> None:
        groups: dict[str, list[str]] = {}
        for name in names:
            folded = name.casefold()
            if hash(folded) in repeated:
                groups.setdefault(folded, []).append(f"{folder}/{name}" if folder else name)
        self.shown.extend(tuple(group) for group in groups.values() if len(group) > 1)


def _buckets(hashes: "array[int]") -> "Iterator[array[int]]":
    if len(hashes) <= BUCKET_NAMES:
        yield hashes
        return
    buckets = [array("q") for _ in range(len(hashes) * 2 // BUCKET_NAMES)]
    while hashes:
        # Moved rather than copied.
        for number in hashes[-BUCKET_NAMES:]:
            buckets[number % len(buckets)].append(number)
        del hashes[-BUCKET_NAMES:]
    yield from buckets


def _repeated(bucket: "array[int]", limit: int) -> set[int]:
    seen: set[int] = set()
    found: set[int] = set()
    for number in bucket:
        if len(found) >= limit:
            break
        if number in seen:
            found.add(number)
        seen.add(number)
    return found
