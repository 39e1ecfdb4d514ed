"""What differs between two versions: exact, by whole folders where possible, and cheap where little differs."""

from __future__ import annotations

import hashlib
from unittest.mock import patch

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from datasets_app.errors import Conflict, Invalid, NotFound
from datasets_app.services import changes, comparing, file_renames, renames
from datasets_app.services.comparing import Change, Comparison, compare_versions
from datasets_app.store.paths import to_key
from tests.factories import (
    api_client,
    make_available_version,
    make_dataset,
    make_member,
    make_team,
    make_user,
    make_version,
)

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]

Files = dict[str, bytes]


def compare(old: Files, new: Files, *, expand: bool = False, kind: str = "") -> Comparison:
    dataset = make_dataset(make_team())
    versions = [make_available_version(dataset, files) for files in (old, new)]
    actor = make_member(dataset.team, "reader")
    return compare_versions(actor, old=versions[0], new=versions[1], expand=expand, kind=kind)


def lines(comparison: Comparison) -> list[tuple[str, str, str | None]]:
    return [(c.kind, c.path + "/" * c.is_directory, c.old_path) for c in comparison.changes]


def test_it_works() -> None:
    found = compare({"a/x": b"1", "a/y": b"2", "gone": b"3"}, {"a/x": b"1", "a/y": b"22", "new/z": b"4"})
    assert [(c.kind, c.path, c.old_size, c.new_size) for c in found.changes] == [
        ("changed", "a/y", 1, 2),
        ("removed", "gone", 1, None),
        ("added", "new", None, 1),
    ]
    assert found.changes[0].new_sha256 == hashlib.sha256(b"22").hexdigest()
    assert found.tallies is not None
    assert {kind: (tally.files, tally.size) for kind, tally in found.tallies.items()} == {
        "added": (1, 1),
        "removed": (1, 1),
        "changed": (1, 2),
        "renamed": (0, 0),
    }


def test_equal_versions() -> None:
    found = compare({"a/x": b"1"}, {"a/x": b"1"})
    assert found.changes == []
    assert found.is_empty


def test_a_file_that_became_a_directory_and_the_other_way_round() -> None:
    assert lines(compare({"a": b"1"}, {"a/b": b"2", "a/c": b"3"})) == [("removed", "a", None), ("added", "a/", None)]
    found = compare({"a/b": b"2", "a/c": b"3"}, {"a": b"1"}, expand=True)
    assert lines(found) == [("added", "a", None), ("removed", "a/b", None), ("removed", "a/c", None)]


def test_a_renamed_file() -> None:
    assert lines(compare({"a/x": b"1", "b": b"2"}, {"c/y": b"1", "b": b"2"})) == [("renamed", "c/y", "a/x")]


def test_a_renamed_folder_is_one_change() -> None:
    old = {f"old/{number}/{name}": f"{number}{name}".encode() for number in range(3) for name in "ab"}
    new = {path.replace("old/", "deep/new/"): data for path, data in old.items()}
    found = compare(old | {"z": b"z"}, new | {"z": b"z"})
    assert lines(found) == [("renamed", "deep/new/", "old")]
    assert found.changes[0].file_count == 6
    expanded = compare(old | {"z": b"z"}, new | {"z": b"z"}, expand=True)
    assert lines(expanded)[:2] == [("renamed", "deep/new/0/a", "old/0/a"), ("renamed", "deep/new/0/b", "old/0/b")]
    assert len(expanded.changes) == 6


def test_what_was_moved_out_of_a_folder_that_went() -> None:
    found = compare({"old/keep/x": b"1", "old/drop": b"2"}, {"keep/x": b"1", "other": b"3"})
    assert lines(found) == [("renamed", "keep/", "old/keep"), ("removed", "old/drop", None), ("added", "other", None)]


def test_files_of_one_content_are_paired_by_name() -> None:
    found = compare({"a/x": b"1", "a/y": b"1", "k": b"k"}, {"b/y": b"1", "c/x": b"1", "k": b"k"})
    assert lines(found) == [("renamed", "b/y", "a/y"), ("renamed", "c/x", "a/x")]


def test_empty_files_are_not_taken_for_each_other() -> None:
    assert [c.kind for c in compare({"a/x": b"", "k": b"k"}, {"b/y": b"", "k": b"k"}).changes] == ["removed", "added"]
    assert [c.kind for c in compare({"a/x": b"", "k": b"k"}, {"b/x": b"", "k": b"k"}).changes] == ["renamed"]


def test_only_one_kind() -> None:
    found = compare({"a": b"1", "gone": b"3"}, {"a": b"2", "new": b"4"}, kind="removed")
    assert lines(found) == [("removed", "gone", None)]
    with pytest.raises(Invalid):
        compare({"a": b"1"}, {"a": b"2"}, kind="broken")


def test_equal_subtrees_are_not_read() -> None:
    dataset = make_dataset(make_team())
    same = {f"big/{folder}/{file}": b"1" for folder in range(20) for file in range(3)}
    old = make_available_version(dataset, same | {"notes/n": b"1"})
    new = make_available_version(dataset, same | {"notes/n": b"2"})
    actor = make_member(dataset.team, "reader")
    with CaptureQueriesContext(connection) as queries:
        assert [c.path for c in compare_versions(actor, old=old, new=new).changes] == ["notes/n"]
    # The two roots and the two "notes", four statements each; and who the actor is.
    assert len(queries) <= 12


def test_stranger_and_open_version() -> None:
    dataset = make_dataset(make_team())
    version, opened = make_available_version(dataset), make_version(dataset)
    with pytest.raises(NotFound):
        compare_versions(make_user(), old=version, new=version)
    with pytest.raises(Conflict, match="once it is sealed"):
        compare_versions(make_member(dataset.team), old=version, new=opened)


@pytest.mark.parametrize("limit", [0, 10_001])
def test_bad_limits_and_cursors(limit: int) -> None:
    version = make_available_version(make_dataset(make_team()))
    actor = make_member(version.dataset.team)
    with pytest.raises(Invalid):
        compare_versions(actor, old=version, new=version, limit=limit)
    with pytest.raises(Invalid):
        compare_versions(actor, old=version, new=version, cursor="nonsense")


def test_the_api() -> None:
    dataset = make_dataset(make_team("vision"), "images")
    make_available_version(dataset, {"a/1": b"1", "a/2": b"2", "b": b"3"})
    make_available_version(dataset, {"c/1": b"1", "c/2": b"2", "b": b"4"})
    client = api_client(make_member(dataset.team, "reader"))
    path = "/api/v1/teams/vision/datasets/images/versions/1/diff/2"
    answer = client.get(path).json()
    assert [(item["change"], item["path"], item["old_path"]) for item in answer["items"]] == [
        ("changed", "b", None),
        ("renamed", "c/1", "a/1"),
        ("renamed", "c/2", "a/2"),
    ]
    assert (answer["counts"]["renamed"], answer["truncated"]) == ({"files": 2, "size": 2}, False)
    whole = client.get(path, {"folders": "true"}).json()["items"][1]
    assert (whole["type"], whole["path"], whole["old_path"], whole["file_count"]) == ("directory", "c", "a", 2)
    first = client.get(path, {"limit": 2}).json()
    rest = client.get(path, {"limit": 2, "cursor": first["next_cursor"]}).json()
    assert first["items"] + rest["items"] == answer["items"]
    assert client.get(path, {"kind": "changed"}).json()["items"] == answer["items"][:1]


# Names around "/" in byte order, where a sort by plain paths would go wrong.
PATHS = st.lists(st.sampled_from(["a", "a-", "a.b", "b", "é"]), min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.sampled_from([b"", b"1", b"2"]), min_size=1, max_size=9)


def without_clashes(files: Files) -> Files:
    """Drop files whose path is also a directory."""
    return {path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)}


def apply(old: Files, new: Files, found: list[Change]) -> Files:
    """Make the new version out of the old one and the changes, file by file."""
    result = dict(old)
    for change in found:
        if change.kind in {"removed", "renamed"}:
            del result[change.old_path or change.path]
    for change in found:
        if change.kind == "renamed":
            assert change.old_path is not None
            assert old[change.old_path] == new[change.path]
        if change.kind == "changed":
            assert old[change.path] != new[change.path]
        if change.kind == "added":
            assert change.path not in result
        if change.kind != "removed":
            result[change.path] = new[change.path]
    return result


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES.map(without_clashes), TREES.map(without_clashes), st.integers(1, 4), st.booleans())
@example({"a/b/c": b"1"}, {"a/b/c": b"2", "d/a/b/c": b"1"}, 1, True)
def test_any_two_trees(db: None, old: Files, new: Files, limit: int, countable: bool) -> None:  # noqa: FBT001
    dataset = make_dataset(make_team())
    versions = [make_available_version(dataset, files) for files in (old, new)]
    actor = make_member(dataset.team, "reader")
    # Small pages, so that every statement is asked for more; and once without counting and renames.
    with (
        patch.object(comparing, "MOST_COUNTED", 10**6 if countable else 0),
        patch.object(renames, "MOST_LOOKED_AT", 10**6),
    ):
        for expand in (True, False):
            found, cursor = [], None
            while True:
                page = compare_versions(
                    actor, old=versions[0], new=versions[1], expand=expand, limit=limit, cursor=cursor
                )
                found += page.changes
                cursor = page.next_cursor
                if cursor is None:
                    break
            keys = [to_key(c.path + "/" * c.is_directory) for c in found]
            assert keys == sorted(set(keys))
            if expand:
                assert apply(old, new, found) == new
            elif countable and page.tallies is not None:
                assert sum(tally.files for tally in page.tallies.values()) == sum(c.file_count for c in found)


def test_moved_folders_are_told_when_there_is_too_much_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_COUNTED", 3)
    cats, dogs = ({f"{kind}{n}": f"{kind}{n}".encode() for n in range(5)} for kind in "cd")
    loose = {f"loose{n}": bytes([n]) for n in range(4)}

    def tree(cat: str, dog: str, other: str) -> Files:
        moved = {f"{cat}/{name}": data for name, data in cats.items()}
        return moved | {f"{dog}/{name}": data for name, data in dogs.items()} | {other + n: d for n, d in loose.items()}

    kept = {"a/left": b"left", "b/kept": b"kept"}
    old, new = tree("a/cats", "dogs", "") | kept, tree("b/cats", "hounds", "in/") | kept
    found = compare(old, new)
    assert found.tallies is None
    assert [line for line in lines(found) if "loose" not in line[1]] == [
        ("renamed", "b/cats/", "a/cats"),
        ("renamed", "hounds/", "dogs"),
        ("added", "in/", None),
    ]
    assert ("removed", "loose0", None) in lines(found), "files in a folder that came are not looked for"
    every = compare(old, new, expand=True)
    assert apply(old, new, every.changes) == new
    renamed = [line for line in lines(every) if line[0] == "renamed"]
    assert renamed == [
        *(("renamed", f"b/cats/c{n}", f"a/cats/c{n}") for n in range(5)),
        *(("renamed", f"hounds/d{n}", f"dogs/d{n}") for n in range(5)),
        *(("renamed", f"in/loose{n}", f"loose{n}") for n in range(4)),
    ]


def in_pages(old: Files, new: Files, *, limit: int, expand: bool) -> list[Change]:
    """All changes, a page at a time."""
    dataset = make_dataset(make_team())
    versions = [make_available_version(dataset, files) for files in (old, new)]
    actor = make_member(dataset.team, "reader")
    found: list[Change] = []
    cursor: str | None = ""
    while cursor is not None:
        page = compare_versions(actor, old=versions[0], new=versions[1], expand=expand, limit=limit, cursor=cursor)
        assert page.tallies is None
        found += page.changes
        cursor = page.next_cursor
    return found


@pytest.mark.parametrize("expand", [True, False])
@pytest.mark.parametrize("chunk", [2, 500])
def test_renamed_files_are_told_when_there_is_too_much_to_count(
    monkeypatch: pytest.MonkeyPatch, chunk: int, *, expand: bool
) -> None:
    """Whatever page and chunk the two places lie in: each rename is told once, on the new place."""
    monkeypatch.setattr(comparing, "MOST_COUNTED", 0)
    monkeypatch.setattr(file_renames, "CHUNK", chunk)
    old = {f"a/{n}": b"%d" % n for n in range(7)} | {"a/same/x": b"twice", "a/y": b"twice", "a/none": b"", "b/k": b"k"}
    new = {f"b/{9 - n}": b"%d" % n for n in range(7)} | {"b/same/x": b"twice", "b/z": b"twice", "b/k": b"k"}
    old, new = (files | {"a/kept": b"kept", "a/same/kept": b"1", "b/same/kept": b"2"} for files in (old, new))
    old |= {"a/three": b"was"}
    new |= {"b/empty": b"", "b/none": b""}
    wanted = {
        *(("renamed", f"b/{9 - n}", f"a/{n}") for n in range(7)),
        ("renamed", "b/same/x", "a/same/x"),
        ("renamed", "b/z", "a/y"),
        ("renamed", "b/none", "a/none"),
        ("added", "b/empty", None),
        ("removed", "a/three", None),
    }
    for limit in (1, 3, 200):
        found = in_pages(old, new, limit=limit, expand=expand)
        assert {(c.kind, c.path, c.old_path) for c in found} == wanted
        assert len(found) == len(wanted)


def test_a_page_looks_at_so_many_places_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said where a renamed file was: a page may be short then, and the next one goes on."""
    monkeypatch.setattr(comparing, "MOST_COUNTED", 0)
    monkeypatch.setattr(comparing, "MOST_LOOKED_AT", 2)
    old = {f"a/{n}": b"%d" % n for n in range(5)} | {"a/kept": b"", "b/kept": b""}
    new = {f"b/{n}": b"%d" % n for n in range(5)} | {"a/kept": b"", "b/kept": b""}
    found = in_pages(old, new, limit=100, expand=True)
    assert [(c.path, c.old_path) for c in found] == [(f"b/{n}", f"a/{n}") for n in range(5)]


def test_too_many_copies_are_no_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_COUNTED", 0)
    kept = {"a/kept": b"", "b/kept": b""}
    old, new = kept | {"a/1": b"one", "a/2": b"two"}, kept | {"b/1": b"one", "b/2": b"two", "b/3": b"two"}
    monkeypatch.setattr(file_renames, "MOST_COPIES", 2)
    found = compare(old, new, expand=True)
    assert lines(found) == [
        ("removed", "a/2", None),
        ("renamed", "b/1", "a/1"),
        ("added", "b/2", None),
        ("added", "b/3", None),
    ]


def test_renamed_files_in_folders_that_hold_too_much_to_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few folders differ, as wholes, and so are counted; when every file is shown, those of them that moved are too."""
    monkeypatch.setattr(renames, "MOST_LOOKED_AT", 3)
    old = {f"a/{n}": b"%d" % n for n in range(5)} | {"kept": b""}
    new = {f"b/x{n}": b"%d" % n for n in range(5)} | {"b/new": b"new", "kept": b""}
    folders = compare(old, new)
    assert lines(folders) == [("removed", "a/", None), ("added", "b/", None)]
    assert folders.tallies is not None
    files = compare(old, new, expand=True)
    assert lines(files) == [("added", "b/new", None), *(("renamed", f"b/x{n}", f"a/{n}") for n in range(5))]
    assert files.tallies is None


def test_too_many_folders_to_look_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "MOST_COUNTED", 0)
    monkeypatch.setattr(file_renames, "MOST_FOLDERS", 2)
    found = compare({"a/1": b"1", "a/k": b"", "b/k": b""}, {"b/1": b"1", "a/k": b"", "b/k": b""}, expand=True)
    assert lines(found) == [("removed", "a/1", None), ("added", "b/1", None)]


def test_long_lists_come_in_pages_of_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory with more differences than one statement gives."""
    for name in ("_CHANGED_FILES", "_GONE_FILES", "_CHANGED_DIRECTORIES", "_GONE_DIRECTORIES"):
        monkeypatch.setattr(changes, name, getattr(changes, name).replace("LIMIT 2000", "LIMIT 3"))
    monkeypatch.setattr(changes, "PAGE", 3)
    old = {f"f{number}": b"1" for number in range(10)} | {f"d{number}/f": b"1" for number in range(10)}
    new = {f"f{number}": b"2" for number in range(5, 15)} | {f"d{number}/f": b"2" for number in range(5, 15)}
    found = compare(old, new, expand=True)
    assert apply(old, new, found.changes) == new
