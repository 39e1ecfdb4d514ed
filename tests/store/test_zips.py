"""The length of a ZIP is known before it is made, whatever is in it."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datasets_app.store import zips
from datasets_app.store.zips import zip_parts, zip_size

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), min_size=1, max_size=300)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=700), max_size=8)


def make(members: dict[str, bytes]) -> bytes:
    return b"".join(zip_parts((path, len(body), [body[:10], body[10:]]) for path, body in members.items()))


def check(members: dict[str, bytes]) -> None:
    made = make(members)
    assert zip_size((path, len(body)) for path, body in members.items()) == len(made)
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members


@given(members=MEMBERS)
def test_it_works(members: dict[str, bytes]) -> None:
    check(members)


@pytest.mark.parametrize(("count", "length"), [(2, 100), (65_535, 300), (5, 600), (3, 2000)])
@given(members=MEMBERS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_where_64_bits_are_needed(
    monkeypatch: pytest.MonkeyPatch, count: int, length: int, members: dict[str, bytes]
) -> None:
    """The limits of the format lie at 2 GiB and 65,535 files; smaller ones take the same ways through the library."""
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", count)
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", length)
    monkeypatch.setattr(zips, "ZIP64_BYTES", length // 2)
    check(members)


def test_more_files_than_16_bits_count() -> None:
    check({f"{number}": b"" for number in range(65_536)})
