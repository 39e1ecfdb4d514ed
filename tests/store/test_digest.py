"""The digest format, letter by letter."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_app.store.digest import directory_entry, file_entry, format_digest, hash_stream, parse_digest

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_it_works() -> None:
    digest = bytes.fromhex(EMPTY)
    assert file_entry("größe.txt", digest, 0) == f"file {EMPTY} 0 größe.txt".encode() + b"\0"
    assert directory_entry("a b", digest, 1234567890123) == f"directory {EMPTY} 1234567890123 a b".encode() + b"\0"
    assert format_digest(digest) == f"sha256:{EMPTY}"


@pytest.mark.parametrize("text", [f"sha256:{EMPTY}", EMPTY, EMPTY.upper()])
def test_parses_what_people_paste(text: str) -> None:
    assert parse_digest(text).hex() == EMPTY


@pytest.mark.parametrize(
    "text", ["", "sha256:", EMPTY[:-2], EMPTY + "00", f"sha1:{EMPTY}", "z" * 64, EMPTY[:-3] + " 55 "]
)
def test_refuses_anything_else(text: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        parse_digest(text)


@given(st.binary(max_size=5000), st.integers(1, 2000))
def test_hashes_streams_of_any_length(content: bytes, block: int) -> None:
    assert hash_stream(io.BytesIO(content), block) == (hashlib.sha256(content).digest(), len(content))
