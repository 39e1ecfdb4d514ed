"""A new version over its base: the same tree as one built from nothing, without reading what stays."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_app.store.digest import format_digest
from datasets_app.store.merkle import EmptyTree, FileAndDirectory, TreeBuilder
from datasets_app.store.overlay import Child, Overlay
from datasets_app.store.paths import to_key
from tests.store.naive import digest_of
from tests.store.test_merkle import entries, trees


class Base:
    """A version's directories by number, as a database has them, and which of them were read."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.read: list[str] = []
        self._rows: dict[int, list[Child]] = {}
        self._paths: dict[int, str] = {}
        totals: dict[int, tuple[int, int]] = {}
        contents = dict(enumerate(entries(files)))
        numbered = (entry._replace(ref=number) for number, entry in contents.items())
        for node in TreeBuilder().build(numbered):
            node.ref = self.root = len(self._rows)
            below = [Child(name, contents[ref].sha256, contents[ref].size, ref) for name, ref in node.files]
            for name, digest, ref in node.subdirectories:
                assert ref is not None
                file_count, size = totals[ref]
                below.append(Child(name, digest, size, ref, file_count))
            self._rows[node.ref] = sorted(below)
            self._paths[node.ref] = node.path
            totals[node.ref] = (node.file_count, node.size)

    def children(self, ref: int) -> Iterator[Child]:
        """List a directory, and note that it was read."""
        self.read.append(self._paths[ref])
        return iter(self._rows[ref])


def build(base: Base | None, new: dict[str, bytes], removals: set[str]) -> str:
    overlay = Overlay(base.children if base else lambda _ref: [], entries(new), sorted(removals, key=to_key))
    *_, root = TreeBuilder().build(overlay.entries(base.root if base else None))
    return format_digest(root.digest)


def test_it_works() -> None:
    base = Base({"a/x": b"1", "a/y": b"2", "b/z": b"3", "c": b"4"})
    digest = build(base, {"a/new": b"5", "c": b"changed"}, {"a/x"})
    assert digest == digest_of({"a/new": b"5", "a/y": b"2", "b/z": b"3", "c": b"changed"})
    assert base.read == ["", "a"], "b stays as it is, and is not read"


def test_without_a_base() -> None:
    assert build(None, {"a/b": b"1"}, {"c"}) == digest_of({"a/b": b"1"})


def test_a_file_takes_the_place_of_a_folder_only_if_that_is_removed() -> None:
    base = Base({"a/x": b"1", "b": b"2"})
    with pytest.raises(FileAndDirectory):
        build(base, {"a": b"file"}, set())
    assert build(base, {"a": b"file"}, {"a/"}) == digest_of({"a": b"file", "b": b"2"})
    with pytest.raises(FileAndDirectory):
        build(base, {"b/x": b"3"}, set())
    assert build(base, {"b/x": b"3"}, {"b"}) == digest_of({"a/x": b"1", "b/x": b"3"})


def test_folders_without_files_are_not_kept() -> None:
    base = Base({"a/b/c": b"1", "d": b"2"})
    assert build(base, {}, {"a/b/c"}) == digest_of({"d": b"2"})
    with pytest.raises(EmptyTree):
        build(base, {}, {"a/b/c", "d"})


def test_new_files_in_a_removed_folder_stay() -> None:
    base = Base({"a/b": b"1", "a/c/d": b"2", "e": b"3"})
    assert build(base, {"a/c/new": b"4"}, {"a/", "a/b"}) == digest_of({"a/c/new": b"4", "e": b"3"})


def test_as_deep_as_paths_may_be() -> None:
    deepest = "a/" * 2047 + "x"
    base = Base({deepest: b"1"})
    digest = build(base, {deepest: b"2"}, set())
    assert digest == build(None, {deepest: b"2"}, set())


@given(trees(), trees(), st.data())
def test_same_as_built_from_nothing(old: dict[str, bytes], new: dict[str, bytes], data: st.DataObject) -> None:
    folders = {path[: end + 1] for path in old for end, letter in enumerate(path) if letter == "/"}
    removals = data.draw(st.sets(st.sampled_from(sorted(old.keys() | folders | {"not there", "nor/"}))))
    left = {
        path: content
        for path, content in old.items()
        if path not in removals and not any(path.startswith(gone) for gone in removals if gone.endswith("/"))
    }
    expected = left | new
    try:
        *_, root = TreeBuilder().build(entries(expected))
    except FileAndDirectory:
        with pytest.raises(FileAndDirectory):
            build(Base(old), new, removals)
    else:
        assert build(Base(old), new, removals) == format_digest(root.digest)
