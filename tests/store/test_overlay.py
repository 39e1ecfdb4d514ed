"""Laying changes over a base gives what building from scratch gives, and reads only what changed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from datasets_app.store.digest import format_digest
from datasets_app.store.merkle import EmptyTree, FileAndDirectory, FileEntry, TreeBuilder, TreeEntry
from datasets_app.store.overlay import Child, Graft, Overlay
from datasets_app.store.paths import parents, to_key
from tests.store.naive import digest_of

Files = dict[str, bytes]
# Names around "/" in byte order, where a sort by plain paths would go wrong.
PARTS = st.sampled_from(["a", "a-", "a-b", "a.b", "a0", "ab", "b", "é", "\uff41", "😀"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def without_clashes(paths: Iterable[str]) -> list[str]:
    kept: list[str] = []
    for path in paths:
        if path not in kept and not set(kept) & set(parents(path)) and not any(k.startswith(f"{path}/") for k in kept):
            kept.append(path)
    return kept


class Base:
    """A tree in memory, told apart by numbers as rows are; remembers which directories were read."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.folders: list[dict[str, Child]] = []
        self.paths: list[str] = []
        self.read: list[str] = []
        self.root = self._add("", files)

    def _add(self, path: str, files: Mapping[str, bytes]) -> int:
        children: dict[str, Child] = {}
        for name in {path.partition("/")[0] for path in files}:
            inner = {path.partition("/")[2]: data for path, data in files.items() if path.partition("/")[0] == name}
            if "" in inner:
                data = inner[""]
                children[name] = Child(name, hashlib.sha256(data).digest(), len(data), 0)
            else:
                digest = bytes.fromhex(digest_of(inner).removeprefix("sha256:"))
                ref = self._add(f"{path}{name}/", inner)
                children[name] = Child(name, digest, sum(map(len, inner.values())), ref, len(inner))
        self.folders.append(children)
        self.paths.append(path)
        return len(self.folders) - 1

    def children(self, ref: int) -> Iterator[Child]:
        """List one directory, sorted."""
        self.read.append(self.paths[ref])
        return (self.folders[ref][name] for name in sorted(self.folders[ref]))


def overlay(base: Base, changes: Files, removals: Iterable[str]) -> list[FileEntry | TreeEntry]:
    files = [FileEntry(p, hashlib.sha256(d).digest(), len(d), 0) for p, d in changes.items()]
    files.sort(key=lambda entry: to_key(entry.path))
    laid = Overlay(base.children, files, sorted(set(removals), key=to_key))
    return list(laid.entries(base.root if base.folders[base.root] else None))


def model(base: Files, changes: Files, removals: Iterable[str]) -> Files:
    """Do the same with a dict."""
    kept = {
        path: data
        for path, data in base.items()
        if path not in removals and not any(gone.endswith("/") and path.startswith(gone) for gone in removals)
    }
    return kept | changes


def digest(entries: Iterable[FileEntry | TreeEntry]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return format_digest([node.digest for node in TreeBuilder(Path(folder)).build(entries)][-1])


@given(
    base=st.lists(PATHS, max_size=20),
    changes=st.lists(PATHS, max_size=10),
    removed=st.lists(PATHS, max_size=6),
    folders=st.lists(PATHS, max_size=4),
    picked=st.data(),
)
def test_equal_to_a_dict(
    base: list[str], changes: list[str], removed: list[str], folders: list[str], picked: st.DataObject
) -> None:
    old = {path: path.encode() for path in without_clashes(base)}
    above = sorted({folder for path in old for folder in parents(path)})
    removals = {*removed, *(f"{folder}/" for folder in folders)}
    # Most made-up paths name nothing; these do.
    if old:
        removals |= set(picked.draw(st.lists(st.sampled_from(sorted(old)), max_size=4)))
    if above:
        removals |= {f"{folder}/" for folder in picked.draw(st.lists(st.sampled_from(above), max_size=2))}
        # Without its slash, a folder is no file to remove.
        removals |= set(picked.draw(st.lists(st.sampled_from(above), max_size=1)))
    new = {path: b"new " + path.encode() for path in without_clashes(changes)}
    wanted = model(old, new, removals)
    entries = overlay(Base(old), new, removals)
    if not wanted:
        with pytest.raises(EmptyTree):
            digest(entries)
    elif len(without_clashes(wanted)) < len(wanted):
        with pytest.raises(FileAndDirectory):
            digest(entries)
    else:
        assert digest(entries) == digest_of(wanted)


@given(base=st.lists(PATHS, min_size=1, max_size=30), changed=st.data())
@example(base=["a/b", "a-b/c"], changed=None)
def test_only_directories_on_the_way_to_a_change_are_read(base: list[str], changed: st.DataObject | None) -> None:
    paths = without_clashes(base)
    path = changed.draw(st.sampled_from(paths)) if changed is not None else paths[0]
    tree = Base(dict.fromkeys(paths, b"old"))
    entries = overlay(tree, {path: b"new"}, [])
    assert tree.read == ["", *(f"{folder}/" for folder in parents(path))]
    whole = {entry.path for entry in entries if isinstance(entry, TreeEntry)}
    assert not whole & set(parents(path))


def with_grafts(base: Files, grafts: Mapping[str, str], changes: Files, removals: Iterable[str]) -> list[str]:
    """Do the same with dicts: paths of the result, twice where a file is also a folder's; `grafts` is to -> from."""

    def gone(path: str, below: str) -> bool:
        """Tell whether `path`, which is there because of what hangs at `below`, is removed or hidden by a graft."""
        inside = [removal for removal in removals if removal.startswith(below) and removal != below]
        if any(path == removal or (removal.endswith("/") and path.startswith(removal)) for removal in inside):
            return True
        return any(
            path.startswith(f"{place}/") for place in grafts if f"{place}/".startswith(below) and f"{place}/" != below
        )

    kept = {path for path in base if not gone(path, "")}
    for place, origin in grafts.items():
        moved = {f"{place}/{path.removeprefix(f'{origin}/')}" for path in base if path.startswith(f"{origin}/")}
        kept |= {path for path in moved if not gone(path, f"{place}/")}
    return sorted(kept | set(changes))


@given(
    base=st.lists(PATHS, min_size=1, max_size=16),
    changes=st.lists(PATHS, max_size=5),
    removed=st.lists(PATHS, max_size=4),
    folders=st.lists(PATHS, max_size=4),
    places=st.lists(PATHS, min_size=1, max_size=4, unique=True),
    picked=st.data(),
)
def test_moved_folders_are_equal_to_a_dict(
    base: list[str],
    changes: list[str],
    removed: list[str],
    folders: list[str],
    places: list[str],
    picked: st.DataObject,
) -> None:
    old = {path: path.encode() for path in without_clashes(base)}
    above = sorted({folder for path in old for folder in parents(path)})
    assume(above)
    tree = Base(old)
    refs = {path.removesuffix("/"): number for number, path in enumerate(tree.paths)}
    grafts = {place: picked.draw(st.sampled_from(above)) for place in places}
    removals = {*removed, *(f"{folder}/" for folder in folders)}
    new = {path: b"new " + path.encode() for path in without_clashes(changes)}
    hung = []
    for place in sorted(grafts, key=to_key):
        inner = [path for path in old if path.startswith(f"{grafts[place]}/")]
        size = sum(len(old[path]) for path in inner)
        content = {path.removeprefix(f"{grafts[place]}/"): old[path] for path in inner}
        found = bytes.fromhex(digest_of(content).removeprefix("sha256:"))
        hung.append(Graft(place, Child("", found, size, refs[grafts[place]], len(inner))))
    files = [FileEntry(p, hashlib.sha256(d).digest(), len(d), 0) for p, d in new.items()]
    files.sort(key=lambda entry: to_key(entry.path))
    entries = list(Overlay(tree.children, files, sorted(removals, key=to_key), hung).entries(tree.root))
    wanted = with_grafts(old, grafts, new, removals)
    if not wanted:
        with pytest.raises(EmptyTree):
            digest(entries)
        return
    if any(later.startswith(f"{path}/") for path in wanted for later in wanted):
        with pytest.raises(FileAndDirectory):
            digest(entries)
        return
    assert sorted(paths_in(tree, entries)) == wanted


def paths_in(tree: Base, entries: Iterable[FileEntry | TreeEntry]) -> Iterator[str]:
    """Every file of the entries, those of whole directories too."""
    for entry in entries:
        if isinstance(entry, FileEntry):
            yield entry.path
            continue
        waiting = [(f"{entry.path}/", entry.ref or 0)]
        while waiting:
            prefix, ref = waiting.pop()
            for child in tree.folders[ref].values():
                if child.file_count is None:
                    yield prefix + child.name
                else:
                    waiting.append((f"{prefix}{child.name}/", child.ref))


def test_a_moved_folder_is_not_read() -> None:
    tree = Base({"old/a": b"1", "old/b/c": b"2", "z": b"3"})
    ref = tree.paths.index("old/")
    content = {"a": b"1", "b/c": b"2"}
    child = Child("", bytes.fromhex(digest_of(content).removeprefix("sha256:")), 2, ref, 2)
    entries = list(Overlay(tree.children, [], ["old/"], [Graft("new/deep", child)]).entries(tree.root))
    assert tree.read == [""]
    assert digest(entries) == digest_of({"new/deep/a": b"1", "new/deep/b/c": b"2", "z": b"3"})


def test_a_file_where_a_removed_folder_was() -> None:
    entries = overlay(Base({"a/b": b"1", "a/c": b"2", "z": b"3"}), {"a": b"file"}, ["a/"])
    assert digest(entries) == digest_of({"a": b"file", "z": b"3"})


def test_a_folder_where_a_removed_file_was() -> None:
    entries = overlay(Base({"a": b"1", "z": b"3"}), {"a/b": b"2"}, ["a"])
    assert digest(entries) == digest_of({"a/b": b"2", "z": b"3"})


def test_a_removal_without_a_slash_leaves_the_folder() -> None:
    base = {"a/b": b"1", "z": b"3"}
    assert digest(overlay(Base(base), {}, ["a"])) == digest_of(base)
    assert digest(overlay(Base(base), {}, ["a", "a/"])) == digest_of({"z": b"3"})


def test_new_files_win_over_removals() -> None:
    entries = overlay(Base({"a/b": b"1", "c": b"2"}), {"a/b": b"new", "c": b"new"}, ["a/", "c", "a/b"])
    assert digest(entries) == digest_of({"a/b": b"new", "c": b"new"})


def test_deeper_than_the_call_stack() -> None:
    """A path of 4096 bytes has room for 2048 folders; each is a row here, made by hand since `Base` is recursive."""
    depth = 2000
    digest_, size = hashlib.sha256(b"x").digest(), 1

    def children(ref: int) -> Iterator[Child]:
        if ref == depth:
            yield Child("file", digest_, size, 0)
        else:
            yield Child("d", digest_, size, ref + 1, 1)

    path = "/".join(["d"] * depth + ["new"])
    entries = list(Overlay(children, [FileEntry(path, digest_, size, 7)], []).entries(0))
    assert [entry.path.count("/") for entry in entries] == [depth, depth]
