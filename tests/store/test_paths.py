"""Paths: what is refused and why, and the order of keys."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_app.store.paths import InvalidPath, from_key, normalise, parents, to_key
from tests.store.vectors import ACCEPTED, REFUSED

PARTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize("path", ["a", "a/b.txt", "Ordner/Größe (1).csv", *ACCEPTED])
def test_it_works(path: str) -> None:
    assert normalise(path) == path


@pytest.mark.parametrize(("path", "why"), REFUSED)
def test_refuses_with_path_and_reason(path: str, why: str) -> None:
    with pytest.raises(InvalidPath) as caught:
        normalise(path)
    assert caught.value.path == path, why
    assert caught.value.reason.endswith(".")
    # What is shown and sent must itself be encodable, whatever the path was made of.
    json.dumps(caught.value.errors).encode()
    caught.value.detail.encode()


def test_composes_accents() -> None:
    assert normalise("cafe\u0301/re\u0301sume\u0301") == "café/résumé"


def test_limits_count_bytes_after_composing() -> None:
    assert len(normalise("e\u0301" * 127).encode()) == 254
    with pytest.raises(InvalidPath, match="255 bytes"):
        normalise("e\u0301" * 128)
    # u with diaeresis and acute: three characters that become one of two bytes.
    composing = "/".join(["u\u0308\u0301" * 127] * 16)
    assert len(normalise(composing).encode()) == 16 * 254 + 15


@given(st.text(max_size=40) | st.text("ab./\\\n\x7f\x80é", max_size=12) | st.lists(PARTS, max_size=4).map("/".join))
def test_says_the_same_as_the_rules_read_slowly(path: str) -> None:
    def legal(text: str) -> bool:
        try:
            encoded = unicodedata.normalize("NFC", text).encode()
        except UnicodeEncodeError:
            return False
        parts = unicodedata.normalize("NFC", text).split("/")
        return (
            len(encoded) <= 4096
            and all(part not in {"", ".", ".."} and len(part.encode()) <= 255 for part in parts)
            and not any(unicodedata.category(character) == "Cc" or character == "\\" for character in text)
        )

    try:
        normal = normalise(path)
    except InvalidPath:
        assert not legal(path)
    else:
        assert legal(path)
        assert normal == unicodedata.normalize("NFC", path) == normalise(normal)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), max_size=12))
def test_keys_sort_as_trees_do(paths: list[str]) -> None:
    legal = []
    for path in paths:
        try:
            legal.append(normalise(path))
        except InvalidPath:
            continue
    by_key = sorted(legal, key=lambda path: to_key(path).encode())
    assert by_key == sorted(legal, key=lambda path: path.encode().split(b"/"))
    # Python's order of text is that of its UTF-8 bytes, so nobody needs to encode in order to sort.
    assert by_key == sorted(legal, key=to_key)
    assert [from_key(to_key(path)) for path in legal] == legal


def test_parents_outermost_first() -> None:
    assert parents("a/b/c") == ["a", "a/b"]
    assert parents("a") == []
