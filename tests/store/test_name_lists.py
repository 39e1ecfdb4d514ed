"""Lists of names: what is in them, and what may be asked of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from datasets_app.store.name_lists import MARK, MOST_CHARACTERS, list_names, needle

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


def test_it_works() -> None:
    (one,) = list_names([("A.PNG", 5), ("b.txt", 3)])
    assert one == ("A.PNG", "b.txt", "\na.png\nb.txt\n", 3, 5)
    assert list(list_names([])) == []


def test_many_names_are_several_lists() -> None:
    files = [(f"{number:06}.bin", number) for number in range(1000)]
    found = list(list_names(files))
    assert len(found) > 1
    assert max(len(one.names) for one in found) < MOST_CHARACTERS + 300
    assert [name for one in found for name in one.names.strip(MARK).split(MARK)] == [name for name, _ in files]
    assert all(before.last < after.first for before, after in pairwise(found))
    assert (found[0].least_size, found[-1].most_size) == (0, 999)


def test_what_has_a_case_beyond_ascii_is_not_asked_for() -> None:
    assert needle("IMG_Ä1") == "img_"
    assert needle("猫Photo") == "猫photo"
    assert needle("ÄÖ") == ""


@given(st.lists(NAMES, min_size=1, unique=True), st.data())
def test_a_name_that_fits_is_in_its_list(names: list[str], data: st.DataObject) -> None:
    names.sort(key=str.encode)
    name = data.draw(st.sampled_from(names))
    start = data.draw(st.integers(0, len(name)))
    part = name[start : data.draw(st.integers(start, len(name)))]
    for asked in (part, "".join(letter.upper() if letter.isascii() else letter for letter in part)):
        lists = [one for one in list_names((name, 1) for name in names) if one.first <= name <= one.last]
        assert any(needle(asked) in one.names for one in lists)
