"""Listing and finding in sealed trees."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_app.errors import Conflict, Invalid, NotFound
from datasets_app.models import Directory, File, User, Version
from datasets_app.services.browsing import (
    Entry,
    find_directory,
    find_file,
    find_node,
    list_directory,
    list_versions,
)
from tests.factories import (
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
)

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]

FILES = {"b/x.txt": b"x", "b/deep/y.txt": b"yy", "a/z.txt": b"zzz", "read me.md": b"hello", "größe.txt": b""}


@pytest.fixture
def version() -> Version:
    return make_available_version(make_dataset(make_team("vision"), "images"), FILES)


@pytest.fixture
def reader(version: Version) -> User:
    return make_member(version.dataset.team, "reader")


def every_entry(actor: User, version: Version, path: str, limit: int) -> list[Entry]:
    """Follow the cursors to the end; no page but the last may be short."""
    found: list[Entry] = []
    cursor = None
    while True:
        page = list_directory(actor, version=version, path=path, cursor=cursor, limit=limit)
        found += page.items
        if page.next_cursor is None:
            return found
        assert len(page.items) == limit
        cursor = page.next_cursor


def test_it_works(version: Version, reader: User) -> None:
    page = list_directory(reader, version=version)
    assert page.next_cursor is None
    shown = [(entry.kind, entry.path, entry.size, entry.file_count) for entry in page.items]
    assert shown == [
        ("directory", "a", 3, 1),
        ("directory", "b", 3, 2),
        ("file", "größe.txt", 0, 1),
        ("file", "read me.md", 5, 1),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 1000])
def test_pages_of_any_length_give_the_same_list(version: Version, reader: User, limit: int) -> None:
    names = [entry.name for entry in every_entry(reader, version, "", limit)]
    assert names == ["a", "b", "größe.txt", "read me.md"]
    assert [entry.path for entry in every_entry(reader, version, "b", limit)] == ["b/deep", "b/x.txt"]


def test_finds_directories_and_files(version: Version, reader: User) -> None:
    assert find_directory(reader, version=version).pk == version.root_id
    deep = find_node(reader, version=version, path="b/deep/")
    assert isinstance(deep, Directory)
    assert (deep.file_count, deep.size) == (1, 2)
    file = find_file(reader, version=version, path="b/deep/y.txt")
    assert isinstance(file, File)
    assert file.blob.size == 2


def test_finds_names_that_arrive_decomposed(version: Version, reader: User) -> None:
    assert find_file(reader, version=version, path="gro\u0308\u00dfe.txt").name == "größe.txt"


@pytest.mark.parametrize("path", ["c", "b/nope", "b/x.txt/more", "a/../b", "b//x.txt", "b\\x.txt", "a" * 5000, "read"])
def test_what_is_not_there(version: Version, reader: User, path: str) -> None:
    with pytest.raises(NotFound):
        find_node(reader, version=version, path=path)


def test_a_file_is_no_directory(version: Version, reader: User) -> None:
    with pytest.raises(NotFound, match="is a file"):
        list_directory(reader, version=version, path="b/x.txt")
    with pytest.raises(NotFound, match="is a directory"):
        find_file(reader, version=version, path="b")


def test_stranger(version: Version) -> None:
    with pytest.raises(NotFound):
        list_directory(make_user(), version=version)


@pytest.mark.parametrize("limit", [0, 1001])
def test_bad_limit(version: Version, reader: User, limit: int) -> None:
    with pytest.raises(Invalid):
        list_directory(reader, version=version, limit=limit)


@pytest.mark.parametrize("cursor", ["x", "d.nonsense", "f.nonsense", "z.abc"])
def test_bad_cursor(version: Version, reader: User, cursor: str) -> None:
    with pytest.raises(Invalid):
        list_directory(reader, version=version, cursor=cursor)


def test_an_open_version_has_no_tree_yet() -> None:
    version = make_version(make_dataset(make_team()))
    with pytest.raises(Conflict):
        list_directory(make_member(version.dataset.team, "reader"), version=version)


def test_versions_come_newest_first_in_pages(version: Version, reader: User) -> None:
    for _ in range(2):
        make_version(version.dataset)
    page = list_versions(reader, dataset=version.dataset, limit=2)
    assert [row.number for row in page.items] == [3, 2]
    rest = list_versions(reader, dataset=version.dataset, limit=2, cursor=page.next_cursor)
    assert [row.number for row in rest.items] == [1]
    assert rest.next_cursor is None
    available = list_versions(reader, dataset=version.dataset, available=True)
    assert [row.number for row in available.items] == [1]


NAMES = st.text(alphabet="aAzé.-0日", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(NAMES, min_size=1, max_size=12), st.sets(NAMES, max_size=6), st.integers(1, 5))
def test_any_directory_is_listed_completely_and_in_byte_order(
    db: None, names: set[str], folders: set[str], limit: int
) -> None:
    files = {f"top/{name}": b"1" for name in names - folders} | {f"top/{name}/f": b"2" for name in folders}
    version = make_available_version(make_dataset(make_team()), files)
    actor = make_member(version.dataset.team, "reader")
    found = every_entry(actor, version, "top", limit)
    expected = [("directory", name) for name in sorted(folders, key=str.encode)]
    expected += [("file", name) for name in sorted(names - folders, key=str.encode)]
    assert [(entry.kind, entry.name) for entry in found] == expected
