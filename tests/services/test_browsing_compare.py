"""Comparing two versions."""

from __future__ import annotations

import hashlib

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_app.errors import NotFound
from datasets_app.services.browsing import Change, compare_versions
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]


def naive_changes(old: dict[str, bytes], new: dict[str, bytes]) -> dict[str, str]:
    """Compare path by path."""
    found = dict.fromkeys(old.keys() - new.keys(), "removed")
    found |= dict.fromkeys(new.keys() - old.keys(), "added")
    return found | {path: "changed" for path in old.keys() & new.keys() if old[path] != new[path]}


def compare(old: dict[str, bytes], new: dict[str, bytes]) -> list[Change]:
    dataset = make_dataset(make_team())
    versions = [make_available_version(dataset, files) for files in (old, new)]
    actor = make_member(dataset.team, "reader")
    return list(compare_versions(actor, old=versions[0], new=versions[1]))


def test_it_works() -> None:
    changes = compare({"a/x": b"1", "a/y": b"2", "gone": b"3"}, {"a/x": b"1", "a/y": b"22", "new/z": b"4"})
    assert [(c.kind, c.path, c.old_size, c.new_size) for c in changes] == [
        ("changed", "a/y", 1, 2),
        ("removed", "gone", 1, None),
        ("added", "new/z", None, 1),
    ]
    assert changes[0].new_sha256 == hashlib.sha256(b"22").hexdigest()


def test_equal_versions_have_no_changes() -> None:
    assert compare({"a/x": b"1"}, {"a/x": b"1"}) == []


def test_a_file_that_became_a_directory() -> None:
    changes = compare({"a": b"1"}, {"a/b": b"1", "a/c": b"2"})
    assert [(c.kind, c.path) for c in changes] == [("removed", "a"), ("added", "a/b"), ("added", "a/c")]


def test_equal_subtrees_are_not_read() -> None:
    dataset = make_dataset(make_team())
    same = {f"big/{folder}/{file}": b"1" for folder in range(20) for file in range(3)}
    old = make_available_version(dataset, same | {"notes/n": b"1"})
    new = make_available_version(dataset, same | {"notes/n": b"2"})
    actor = make_member(dataset.team, "reader")
    with CaptureQueriesContext(connection) as queries:
        assert [c.path for c in compare_versions(actor, old=old, new=new)] == ["notes/n"]
    # Two roots and two "notes", each a page of files and one of directories and perhaps an empty page after it.
    assert len(queries) < 25


def test_stranger() -> None:
    version = make_available_version(make_dataset(make_team()))
    with pytest.raises(NotFound):
        compare_versions(make_user(), old=version, new=version)


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)
TREES = st.dictionaries(PATHS, st.sampled_from([b"1", b"2"]), min_size=1, max_size=8)


def without_clashes(files: dict[str, bytes]) -> dict[str, bytes]:
    """Drop files whose path is also a directory."""
    return {path: data for path, data in files.items() if not any(other.startswith(f"{path}/") for other in files)}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES.map(without_clashes), TREES.map(without_clashes))
def test_any_two_trees(db: None, old: dict[str, bytes], new: dict[str, bytes]) -> None:
    changes = compare(old, new)
    assert len({(c.kind, c.path) for c in changes}) == len(changes)
    assert {c.path: c.kind for c in changes} == naive_changes(old, new)
