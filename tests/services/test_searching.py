"""The search in a version: what it finds is what fits, whichever way the database takes to it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets_app.errors import Conflict, Invalid
from datasets_app.models import NameList, Role, User, Version
from datasets_app.services.searching import Search, find_files_page, search_files
from tests.factories import make_available_version, make_dataset, make_member, make_team, make_version
from tests.services.test_browsing_speed import seal_many

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]

ENDINGS = ("png", "PNG", "jpeg", "txt", "tar.gz")
WORDS = ("cat", "Cat", "dog_%", "über", "ÜBER", "猫", "a[b]", "x!y", "train", "7")
ASKED = [
    Search(text="cat"),
    Search(text="CAT_0"),
    Search(text="dog_%"),
    Search(text="猫"),
    Search(text="über_1"),
    Search(text="x!y"),
    Search(text="nothing like it"),
    Search(suffix="png"),
    Search(suffix="tar.gz"),
    Search(suffix="json"),
    Search(text="*.png"),
    Search(text="ca?_*.jpeg"),
    Search(text="*_00[1-4]*"),
    Search(text="*.jp?g2"),
    Search(text="few/cat"),
    Search(text="many/deep"),
    Search(text="ny/deep/tra"),
    Search(text="m*/**/cat_*.png"),
    Search(text="many/*0.txt"),
    Search(text="cat", suffix="txt"),
]


@pytest.fixture
def version() -> Version:
    """A version with a folder of many files, one of few, and one file beside them."""
    dataset = make_dataset(make_team("vision"), "images")
    make_available_version(dataset)
    chance = random.Random(5)
    names = {f"{chance.choice(WORDS)}_{number:03}.{chance.choice(ENDINGS)}" for number in range(400)}
    paths = [f"many/deep/{name}" for name in names] + [f"few/{name}" for name in sorted(names)[:5]] + ["zcat_alone.png"]
    return seal_many(make_version(dataset), sorted(paths, key=lambda path: path.replace("/", "\x01")))


@pytest.fixture
def reader(version: Version) -> User:
    return make_member(version.dataset.team, Role.READER)


def all_pages(reader: User, version: Version, search: Search, limit: int = 37) -> list[str]:
    found: list[str] = []
    cursor = None
    while True:
        page = find_files_page(reader, version=version, search=search, cursor=cursor, limit=limit)
        found += [entry.path for entry in page.items]
        cursor = page.next_cursor
        if cursor is None:
            return found
        assert len(page.items) == limit


@pytest.mark.parametrize("search", ASKED, ids=str)
def test_lists_of_names_change_nothing(reader: User, version: Version, search: Search) -> None:
    with_lists = all_pages(reader, version, search)
    assert NameList.objects.exists()
    empty_lists()
    assert all_pages(reader, version, search, limit=1000) == with_lists
    assert len(set(with_lists)) == len(with_lists)
    keys = [[part.replace("/", "\x01").encode() for part in path.rpartition("/")] for path in with_lists]
    assert keys == sorted(keys)


def empty_lists() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {NameList._meta.db_table}")


def test_it_finds_what_fits(reader: User, version: Version) -> None:
    every = all_pages(reader, version, Search())
    assert len(every) == version.file_count

    def fitting(fits: Callable[[str], object]) -> list[str]:
        return [path for path in every if fits(path.rpartition("/")[2])]

    assert all_pages(reader, version, Search(text="CAT_")) == fitting(lambda name: "cat_" in name.lower())
    assert all_pages(reader, version, Search(suffix="png")) == fitting(lambda name: name.lower().endswith(".png"))
    assert all_pages(reader, version, Search(text="*.png")) == fitting(lambda name: name.endswith(".png"))
    assert all_pages(reader, version, Search(text="*_00[1-4]*")) == fitting(lambda name: re.search("_00[1-4]", name))
    assert all_pages(reader, version, Search(text="猫")) == fitting(lambda name: "猫" in name)


def test_sizes() -> None:
    dataset = make_dataset(make_team("vision"), "images")
    files = {f"{number:03}": b"x" * number for number in range(200)}
    version = make_available_version(dataset, files)
    reader = make_member(dataset.team, Role.READER)
    assert all_pages(reader, version, Search(least_size=150)) == [f"{number:03}" for number in range(150, 200)]
    assert all_pages(reader, version, Search(most_size=99)) == [f"{number:03}" for number in range(100)]
    assert all_pages(reader, version, Search(least_size=99, most_size=100)) == ["099", "100"]
    assert all_pages(reader, version, Search(text="1", least_size=195)) == ["195", "196", "197", "198", "199"]
    assert all_pages(reader, version, Search(least_size=200)) == []


def test_pages_by_number_are_the_same(reader: User, version: Version) -> None:
    every = all_pages(reader, version, Search(text="_"))
    first, second = (search_files(reader, version=version, search=Search(text="_"), page=page) for page in (1, 2))
    assert [one.path for one in first.items + second.items] == every[:200]
    assert first.has_more


def test_what_is_not_there_costs_no_look_at_files(reader: User, version: Version) -> None:
    """The plan reads no file of a folder that has lists, since none of them has the name."""
    with CaptureQueriesContext(connection) as queries:
        assert all_pages(reader, version, Search(text="nothing like it")) == []
    statement = next(query["sql"] for query in queries if "namelist" in query["sql"])
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}")
            plan = [row[0] for row in cursor.fetchall()]
        # Once for each of the places without lists: the root, the folder of few, the one between.
        (scan,) = [line for line in plan if "file_name" in line or "on datasets_app_file" in line]
        assert "loops=3" in scan, plan
    else:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
            steps = [row[-1] for row in cursor.fetchall()]
        order = [next((word for word in ("below", " l ", " f ") if word in step), "") for step in steps]
        assert order.index(" l ") < order.index(" f "), steps


@pytest.mark.parametrize("bad", [{"limit": 0}, {"limit": 1001}, {"cursor": "forged"}])
def test_bad_input(reader: User, version: Version, bad: dict[str, int | str]) -> None:
    with pytest.raises(Invalid):
        find_files_page(reader, version=version, search=Search(text="a"), **bad)  # type: ignore[arg-type]


def test_an_open_version_has_no_files_yet(reader: User, version: Version) -> None:
    with pytest.raises(Conflict, match="once it is sealed"):
        find_files_page(reader, version=make_version(version.dataset), search=Search(text="a"))
