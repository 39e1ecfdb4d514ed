"""What every source must do, whatever store it reads.

A provider's test module subclasses `SourceContract`:

    class TestExample(SourceContract):
        @pytest.fixture
        def remote(self) -> Remote: ...

Its own behaviour (errors of its own, what goes over the wire) is tested beside it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets_app.sources.base import PAGE_FILES, Cause, Data, Source, SourceError, SourceFile, Tree

# Legal paths that clients like to spoil.
ODD_NAMES = (
    "a b.txt",
    "a+b.txt",
    "100%.txt",
    "p%20c.txt",
    "q?x#y.txt",
    "it's & <b>.txt",
    "ünïcode/日本語.txt",
    "tilde~star*[1].txt",
    "semi;colon=,@$.txt",
    "UPPER/lower.TXT",
    ".hidden",
    "dots.../...x",
)


class Remote(ABC):
    """A place of its own in a store, for one test: it is empty at first."""

    # The source under test, and the source path of this place.
    source: Source
    path: str
    # A path where there is no bucket or repository.
    missing_path: str
    # Keys that the store takes as they are, beyond legal paths; they must come out of a listing as they went in.
    odd_keys: Sequence[str] = ()
    # Whether an opened tree stays as it was, so that what is replaced later can still be read.
    is_pinned = False
    # Whether a source path may lead below the bucket or repository.
    has_folders = True

    @abstractmethod
    def put(self, files: Mapping[str, bytes]) -> None:
        """Write or replace objects, by their path in this place."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete an object."""

    def open(self, path: str = "") -> Tree:
        """Open this place, or a folder of it."""
        return self.source.open(f"{self.path}/{path}" if path else self.path)


def list_all(tree: Tree, after: str = "") -> dict[str, SourceFile]:
    """Return all files by path; fail when one is listed twice."""
    files = [file for page in tree.list_files(after=after) for file in page.files]
    found = {file.path: file for file in files}
    assert len(found) == len(files)
    return found


def cause_of(error: pytest.ExceptionInfo[SourceError]) -> Cause:
    """Return the cause; fail when there is no sentence for the user."""
    assert error.value.detail.endswith((".", ").")), error.value.detail
    return error.value.cause


class SourceContract:
    """The tests."""

    def test_it_works(self, remote: Remote) -> None:
        files = {"a.txt": b"one", "folder/b.bin": bytes(range(256)) * 50, "folder/deep/c": b"three"}
        remote.put(files)
        tree = remote.open()
        found = list_all(tree)
        assert {path: file.size for path, file in found.items()} == {path: len(data) for path, data in files.items()}
        assert {path: bytes(tree.fetch(file)) for path, file in found.items()} == files
        assert all(file.tag and not file.problem for file in found.values())

    def test_a_range_is_exactly_what_was_asked_for(self, remote: Remote) -> None:
        data = bytes(range(256)) * 1000
        remote.put({"large.bin": data})
        tree = remote.open()
        file = list_all(tree)["large.bin"]
        for offset, length in ((0, 1), (0, len(data)), (1000, 70_000), (len(data) - 5, 5)):
            assert bytes(tree.fetch_range(file, offset, length)) == data[offset : offset + length]

    def test_an_empty_object_is_a_file(self, remote: Remote) -> None:
        remote.put({"empty": b"", "other": b"x"})
        tree = remote.open()
        file = list_all(tree)["empty"]
        assert file.size == 0
        assert bytes(tree.fetch(file)) == b""

    def test_pages_follow_each_other_from_every_cursor(self, remote: Remote) -> None:
        names = [f"d{number % 7}/{number:05d}" for number in range(PAGE_FILES + 150)]
        remote.put({name: name.encode() for name in names})
        tree = remote.open()
        pages = list(tree.list_files())
        assert all(len(page.files) <= PAGE_FILES for page in pages)
        assert len(pages) > 1
        assert sorted(file.path for page in pages for file in page.files) == sorted(names)
        for number, page in enumerate(pages):
            rest = [file.path for later in pages[number + 1 :] for file in later.files]
            assert [file.path for later in remote.open().list_files(after=page.cursor) for file in later.files] == rest

    def test_a_listing_is_read_as_it_is_asked_for(self, remote: Remote) -> None:
        remote.put({"a": b"1"})
        pages = remote.open().list_files()
        assert isinstance(pages, Iterator)
        assert [file.path for file in next(pages).files] == ["a"]

    def test_a_replaced_object_is_never_taken_for_the_listed_one(self, remote: Remote) -> None:
        old, new = b"a" * 2000, b"b" * 2000
        remote.put({"x": old})
        tree = remote.open()
        file = list_all(tree)["x"]
        remote.put({"x": new})
        reads: list[Callable[[], Data]] = [lambda: tree.fetch(file), lambda: tree.fetch_range(file, 0, 2000)]
        for read in reads:
            if remote.is_pinned:
                assert bytes(read()) == old
            else:
                with pytest.raises(SourceError) as error:
                    read()
                assert cause_of(error) == Cause.CHANGED
        fresh = list_all(remote.open())["x"]
        assert fresh.tag != file.tag
        assert bytes(remote.open().fetch(fresh)) == new

    def test_an_unchanged_object_keeps_its_tag(self, remote: Remote) -> None:
        remote.put({"x": b"same"})
        before = list_all(remote.open())["x"]
        remote.put({"y": b"other"})
        assert list_all(remote.open())["x"] == before

    def test_a_removed_object_is_missing(self, remote: Remote) -> None:
        remote.put({"x": b"1", "y": b"2"})
        tree = remote.open()
        file = list_all(tree)["x"]
        remote.remove("x")
        if remote.is_pinned:
            assert bytes(tree.fetch(file)) == b"1"
            return
        with pytest.raises(SourceError) as error:
            tree.fetch(file)
        assert cause_of(error) in {Cause.MISSING, Cause.CHANGED}

    def test_odd_names_go_through(self, remote: Remote) -> None:
        files = {name: name.encode() for name in (*ODD_NAMES, *remote.odd_keys)}
        remote.put(files)
        tree = remote.open()
        found = list_all(tree)
        assert sorted(found) == sorted(files)
        # What can't be read says so in the listing.
        assert {path: bytes(tree.fetch(file)) for path, file in found.items() if not file.problem} == {
            path: data for path, data in files.items() if not found[path].problem
        }
        assert not any(found[name].problem for name in ODD_NAMES)

    def test_looking_up_an_object_does_not_change_it(self, remote: Remote) -> None:
        remote.put({"x": b"some bytes"})
        tree = remote.open()
        file = list_all(tree)["x"]
        assert tree.look_up(file)._replace(sha256=None, checksum="") == file._replace(sha256=None, checksum="")

    def test_many_threads_may_read_at_once(self, remote: Remote) -> None:
        files = {f"{number:03d}": bytes([number]) * (number * 100 + 1) for number in range(60)}
        remote.put(files)
        tree = remote.open()
        found = list_all(tree)
        with ThreadPoolExecutor(16) as pool:
            data = dict(zip(found, pool.map(tree.fetch, found.values()), strict=True))
        assert {path: bytes(value) for path, value in data.items()} == files

    def test_the_browser_walks_folders_and_files(self, remote: Remote) -> None:
        remote.put({"top.txt": b"12345", "folder/b": b"1", "folder/deep/c": b"1"})
        top = {entry.name: entry for entry in remote.source.browse(remote.path).entries}
        assert {name: entry.is_folder for name, entry in top.items()} == {"folder": True, "top.txt": False}
        assert top["top.txt"].size == 5
        inner = remote.source.browse(top["folder"].path).entries
        assert [(entry.name, entry.is_folder) for entry in sorted(inner)] == [("b", False), ("deep", True)]

    def test_the_browser_gives_a_file_where_the_path_is_one(self, remote: Remote) -> None:
        if not remote.has_folders:
            pytest.skip("a source path is a whole repository")
        remote.put({"folder/one.csv": b"1,2", "folder/one.csv.gz": b"no"})
        for entry in remote.source.browse(f"{remote.path}/folder").entries:
            assert remote.source.browse(entry.path).entries == [entry]
            tree = remote.source.open(entry.path)
            assert list(list_all(tree)) == [entry.name]

    def test_the_browser_gives_everything_page_by_page(self, remote: Remote) -> None:
        names = {f"{number:04d}" for number in range(450)}
        remote.put(dict.fromkeys(names, b"x"))
        seen: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            walk = remote.source.browse(remote.path, cursor=cursor)
            seen += [entry.name for entry in walk.entries]
            cursor = walk.cursor
        assert sorted(seen) == sorted(names)

    def test_a_folder_is_not_its_namesakes(self, remote: Remote) -> None:
        if not remote.has_folders:
            pytest.skip("a source path is a whole repository")
        remote.put({"data/a": b"1", "data/b/c": b"2", "database/x": b"3", "data.txt": b"4"})
        assert sorted(list_all(remote.open("data"))) == ["a", "b/c"]
        assert sorted(list_all(remote.open("data/"))) == ["a", "b/c"]

    def test_a_path_may_be_one_object(self, remote: Remote) -> None:
        if not remote.has_folders:
            pytest.skip("a source path is a whole repository")
        remote.put({"folder/one.csv": b"1,2", "folder/one.csv.gz": b"no"})
        tree = remote.open("folder/one.csv")
        found = list_all(tree)
        assert list(found) == ["one.csv"]
        assert bytes(tree.fetch(found["one.csv"])) == b"1,2"
        assert found["one.csv"].tag == list_all(remote.open("folder"))["one.csv"].tag
        assert not list_all(tree, after=next(tree.list_files()).cursor)

    def test_a_path_where_nothing_is_is_missing(self, remote: Remote) -> None:
        if not remote.has_folders:
            pytest.skip("a source path is a whole repository")
        remote.put({"a/b": b"1"})
        for path in ("nothing", "a/b/", "a/bc"):
            with pytest.raises(SourceError) as error:
                remote.open(path)
            assert cause_of(error) == Cause.MISSING

    def test_a_missing_bucket_or_repository_is_missing(self, remote: Remote) -> None:
        for ask in (remote.source.open, remote.source.browse):
            with pytest.raises(SourceError) as error:
                ask(remote.missing_path)
            assert cause_of(error) == Cause.MISSING

    def test_the_check_goes_all_the_way(self, remote: Remote) -> None:
        remote.put({"a": b"123"})
        without, with_path = list(remote.source.check()), list(remote.source.check(remote.path))
        assert [step for step in (*without, *with_path) if step.ok is not True] == []
        assert all(step.name and step.detail for step in with_path)
        assert len(with_path) >= len(without) >= 3

    def test_the_check_stops_where_the_path_is_missing(self, remote: Remote) -> None:
        steps = list(remote.source.check(remote.missing_path))
        failed = [number for number, step in enumerate(steps) if step.ok is False]
        assert len(failed) == 1
        assert all(step.ok is True for step in steps[: failed[0]])
        assert all(step.ok is None for step in steps[failed[0] + 1 :])
