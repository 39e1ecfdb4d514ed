"""The plain preview: what files are, told by their bytes."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_app.previews.plain import decode_text, preview_plainly


def test_it_works() -> None:
    preview = preview_plainly(b"# Title\n\ttext\r\n")
    assert (preview.kind, preview.text, preview.encoding) == ("text", "# Title\n\ttext\r\n", "ASCII")


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    ],
)
def test_pictures_are_known_by_their_bytes(head: bytes, media_type: str) -> None:
    preview = preview_plainly(head)
    assert (preview.kind, preview.media_type) == ("image", media_type)


@pytest.mark.parametrize("head", [b"<svg onload='alert(1)'/>", b"<html><script>alert(1)</script>", b"%PDF-1.7\n"])
def test_what_browsers_would_run_is_text(head: bytes) -> None:
    preview = preview_plainly(head)
    assert (preview.kind, preview.media_type) == ("text", "text/plain")


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        ("Größe".encode(), "Größe", "UTF-8"),
        (codecs.BOM_UTF8 + b"a,b", "a,b", "UTF-8"),
        ("Größe".encode("utf-16"), "Größe", "UTF-16"),
        (codecs.BOM_UTF16_BE + "Größe".encode("utf-16-be"), "Größe", "UTF-16"),
        ("Größe".encode("utf-32"), "Größe", "UTF-32"),
        ("Die Größe der Straße".encode("cp1252"), "Die Größe der Straße", "Windows-1252"),
    ],
)
def test_encodings(data: bytes, text: str, encoding: str) -> None:
    assert decode_text(data) == (text, encoding)


def test_a_character_cut_at_the_end_is_left_out() -> None:
    assert decode_text("aé日".encode()[:-1]) == ("aé", "UTF-8")


def test_binary_is_shown_in_hex() -> None:
    preview = preview_plainly(bytes(range(20)))
    assert preview.kind == "binary"
    offset, figures, shown = preview.hex_lines[0]
    assert offset == "00000000"
    assert figures.startswith("00 01 02 03 04 05 06 07  08 09")
    assert shown == "." * 16
    assert preview.hex_lines[1][0] == "00000010"


def test_empty() -> None:
    assert preview_plainly(b"").kind == "empty"


@given(st.binary(max_size=300))
def test_any_bytes_have_a_preview(head: bytes) -> None:
    preview = preview_plainly(head)
    assert "\0" not in preview.text
    assert preview.kind == "empty" or preview.text or preview.hex_lines or preview.kind in {"image", "text"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_any_text_in_utf_8_is_read_back(text: str) -> None:
    decoded = decode_text(text.encode())
    assert decoded is not None
    assert decoded[0] == text.removeprefix("\ufeff")
