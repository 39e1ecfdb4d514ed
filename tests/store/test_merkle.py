"""The streaming tree builder: equal to a naive one, bounded, and clear about what makes no tree."""

import hashlib
import tracemalloc
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_app.store import case_clash, merkle
from datasets_app.store.digest import format_digest
from datasets_app.store.merkle import (
    DuplicatePath,
    EmptyTree,
    FileAndDirectory,
    FileEntry,
    FileRow,
    Node,
    OutOfOrder,
    SubdirectoryRow,
    TreeBuilder,
    TreeEntry,
)
from datasets_app.store.paths import normalise, parents, to_key
from tests.store.naive import digest_of
from tests.store.vectors import VERSIONS

SHA = hashlib.sha256(b"x").digest()
NAMES = st.sampled_from(["a", "a-b", "a.b", "a b", "a0", "A", "b", "é", "\uff41", "😀"]) | st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=6
).filter(lambda name: name not in {".", ".."})


@st.composite
def trees(draw: st.DrawFn) -> dict[str, bytes]:
    """Contents by path, without a path that is both file and folder."""
    files: dict[str, bytes] = {}
    folders: set[str] = set()
    for parts in draw(st.lists(st.lists(NAMES, min_size=1, max_size=4), min_size=1, max_size=25)):
        path = unicodedata.normalize("NFC", "/".join(parts))
        if path not in folders and not files.keys() & set(parents(path)):
            files[path] = draw(st.binary(max_size=3))
            folders.update(parents(path))
    return files


def entries(files: Mapping[str, bytes]) -> Iterator[FileEntry]:
    for path in sorted(files, key=to_key):
        content = files[path]
        yield FileEntry(path, hashlib.sha256(content).digest(), len(content), len(path))


def named(*paths: str) -> list[FileEntry]:
    return [FileEntry(path, SHA, 1, 0) for path in paths]


def drain(nodes: Iterable[Node]) -> list[Node]:
    return list(nodes)


def read_back(nodes: Iterable[Node]) -> tuple[dict[str, int], Node]:
    """Put the rows together again as a database would: (ref by path, the root)."""
    stored: dict[int, tuple[list[FileRow], list[SubdirectoryRow]]] = {}
    digests: dict[int, bytes] = {}
    number = count(1)
    last: Node | None = None
    for node in nodes:
        node.ref = next(number)
        stored[node.ref] = (list(node.files), list(node.subdirectories))
        digests[node.ref] = node.digest
        assert list(node.files) == stored[node.ref][0], "rows can be read twice"
        last = node
    assert last is not None
    assert last.ref is not None

    def walk(ref: int, prefix: str) -> Iterator[tuple[str, int]]:
        files, subdirectories = stored[ref]
        for name, blob, _size in files:
            yield prefix + name, blob
        for name, digest, child in subdirectories:
            assert child is not None
            assert digests[child] == digest
            yield from walk(child, f"{prefix}{name}/")

    return dict(walk(last.ref, "")), last


def test_it_works() -> None:
    files = {"b": b"2", "a/x": b"1", "a/y/z": b"", "a-b": b"33"}
    rows, root = read_back(TreeBuilder().build(entries(files)))
    assert rows == {path: len(path) for path in files}
    assert (root.path, root.file_count, root.size) == ("", 4, 4)
    assert format_digest(root.digest) == digest_of(files)


@pytest.mark.parametrize(("name", "files", "digest"), VERSIONS)
def test_published_vectors(name: str, files: dict[str, bytes], digest: str) -> None:
    files = {normalise(path): content for path, content in files.items()}
    *_, root = TreeBuilder().build(entries(files))
    assert format_digest(root.digest) == digest == digest_of(files), name


@given(trees(), st.integers(1, 6))
def test_same_as_the_naive_builder(files: dict[str, bytes], pending: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # So few rows in memory that the spool is used everywhere.
        patch.setattr(merkle, "PENDING_ROWS", pending)
        rows, root = read_back(TreeBuilder().build(entries(files)))
    assert rows == {path: len(path) for path in files}
    assert format_digest(root.digest) == digest_of(files)
    assert (root.file_count, root.size) == (len(files), sum(map(len, files.values())))


@given(trees(), st.data())
def test_whole_subtrees_give_the_same_digest(files: dict[str, bytes], data: st.DataObject) -> None:
    nodes = [(node.path, node.digest, node.file_count, node.size) for node in TreeBuilder().build(entries(files))]
    taken: list[TreeEntry] = []
    for path, digest, file_count, size in reversed(nodes):
        if path and not any(f"{path}/".startswith(f"{tree.path}/") for tree in taken) and data.draw(st.booleans()):
            taken.append(TreeEntry(path, digest, file_count, size, 7))
    files_left = [e for e in entries(files) if not any(e.path.startswith(f"{tree.path}/") for tree in taken)]
    unsorted: list[FileEntry | TreeEntry] = [*files_left, *taken]
    mixed = sorted(unsorted, key=lambda entry: to_key(entry.path))
    *_, root = TreeBuilder().build(mixed)
    assert (root.digest, root.file_count, root.size) == nodes[-1][1:]


def test_children_come_before_parents() -> None:
    nodes = [node.path for node in TreeBuilder().build(named("a/b/c/d", "a/b/e/f", "g/h"))]
    assert nodes == ["a/b/c", "a/b/e", "a/b", "a", "g", ""]


def test_ref_of_a_whole_subtree_reaches_its_parent() -> None:
    for node in TreeBuilder().build([*named("a"), TreeEntry("b", SHA, 3, 30, 42), TreeEntry("c", SHA, 1, 1)]):
        assert list(node.subdirectories) == [("b", SHA, 42), ("c", SHA, None)]
        assert (node.file_count, node.size) == (5, 32)


def test_rows_are_gone_with_the_next_node() -> None:
    nodes = drain(TreeBuilder().build(named("a/b", "c")))
    with pytest.raises(RuntimeError, match="gone"):
        list(nodes[0].files)


def test_no_files_make_no_version() -> None:
    with pytest.raises(EmptyTree, match="at least one file"):
        drain(TreeBuilder().build([]))


@pytest.mark.parametrize(
    ("given_entries", "error", "path"),
    [
        (named("a", "a"), DuplicatePath, "a"),
        (named("x/a", "x/a"), DuplicatePath, "x/a"),
        ([TreeEntry("a", SHA, 1, 1), TreeEntry("a", SHA, 1, 1)], DuplicatePath, "a"),
        (named("a", "a/b"), FileAndDirectory, "a"),
        (named("x/a", "x/a/b/c"), FileAndDirectory, "x/a"),
        (named("a/b", "a"), FileAndDirectory, "a"),
        ([TreeEntry("a", SHA, 1, 1), *named("a")], FileAndDirectory, "a"),
        ([*named("a"), TreeEntry("a", SHA, 1, 1)], FileAndDirectory, "a"),
        ([TreeEntry("a", SHA, 1, 1), *named("a/b")], FileAndDirectory, "a"),
        ([*named("a/b"), TreeEntry("a", SHA, 1, 1)], FileAndDirectory, "a"),
        (named("b", "a"), OutOfOrder, "a"),
        (named("a/b", "c", "a/d"), OutOfOrder, "a/d"),
        # The order of whole paths as text, which is not that of trees.
        (named("a-b", "a/b"), OutOfOrder, "a/b"),
    ],
)
def test_names_the_path_that_makes_no_tree(
    given_entries: list[FileEntry | TreeEntry], error: type[Exception], path: str
) -> None:
    with pytest.raises(error) as caught:
        drain(TreeBuilder().build(given_entries))
    assert getattr(caught.value, "path", None) == path


@pytest.mark.parametrize("bucket", [1, 65_536])
def test_tells_names_that_differ_only_in_case(monkeypatch: pytest.MonkeyPatch, bucket: int) -> None:
    monkeypatch.setattr(case_clash, "BUCKET_NAMES", bucket)
    builder = TreeBuilder()
    drain(builder.build(named(*sorted(["A/x", "a/B", "a/b", "a/c", "Straße", "STRASSE", "z"], key=to_key))))
    assert sorted(builder.clashes.shown) == [("A", "a"), ("STRASSE", "Straße"), ("a/B", "a/b")]
    assert builder.clashes.count == 3


def test_counts_all_clashes_and_shows_a_hundred() -> None:
    builder = TreeBuilder()
    names = sorted([f"a{n}" for n in range(500)] + [f"A{n}" for n in range(500)])
    drain(builder.build(named(*names)))
    assert builder.clashes.count == 500
    assert len(builder.clashes.shown) == 100


def test_says_where_names_were_too_many_to_compare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle, "PENDING_ROWS", 10)
    monkeypatch.setattr(merkle, "WATCHED_NAMES", 30)
    builder = TreeBuilder()
    drain(builder.build(named(*(f"many/{n:03}" for n in range(100)), "more")))
    assert builder.clashes.unchecked == ["many"]


@pytest.mark.parametrize("shape", ["flat", "deep", "many folders"])
def test_memory_is_bounded(shape: str, tmp_path: Path) -> None:
    def make() -> Iterator[FileEntry]:
        if shape == "flat":
            yield from (FileEntry(f"{n:09}", SHA, 1, n) for n in range(100_000))
        elif shape == "many folders":
            yield from (FileEntry(f"{n:09}/x", SHA, 1, n) for n in range(20_000))
        else:
            # 300 folders in each other, 100 files in each that stay open until the end.
            for depth in range(300):
                folder = "b/" * depth
                yield from (FileEntry(f"{folder}a{n:03}", SHA, 1, n) for n in range(100))

    tracemalloc.start()
    rows = 0
    for node in TreeBuilder(tmp_path).build(make()):
        rows += sum(1 for _ in node.files)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == {"flat": 100_000, "deep": 30_000, "many folders": 20_000}[shape]
    assert peak < 12 * 2**20
    assert not list(tmp_path.iterdir()), "the spool has no name"
