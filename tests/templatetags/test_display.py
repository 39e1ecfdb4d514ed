"""Figures, times and digests as they are written on pages."""

from __future__ import annotations

import datetime as dt

import pytest
from django.template import Context
from django.test import RequestFactory

from datasets_app.templatetags.display import (
    ago,
    copy,
    count,
    counted,
    digest,
    duration,
    filesize,
    filesize_text,
    icon,
    prose,
    relative_time,
    sort_header,
    status_badge,
    visible,
)

NOW = dt.datetime(2026, 11, 22, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "\u2013"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345, "12.3 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (123_456_789, "123 MB"),
        (3 * 10**15, "3.00 PB"),
        (5 * 10**21, "5000 EB"),
    ],
)
def test_file_sizes(size: int | None, text: str) -> None:
    assert filesize_text(size) == text


def test_the_exact_size_is_shown_on_hover() -> None:
    assert filesize(1_234_567) == '<span class="num" title="1\u202f234\u202f567 bytes">1.23 MB</span>'


def test_counts() -> None:
    assert count(1_234_567) == "1\u202f234\u202f567"
    assert counted(1, "file") == "1 file"
    assert counted(0, "file") == "0 files"
    assert counted(2, "directory,directories") == "2 directories"


def test_control_characters_are_written_out() -> None:
    assert visible("a\tb\n\x07\x9f é 数 \\") == "a\\tb\\n\\x07\\x9f é 数 \\"


@pytest.mark.parametrize(
    ("before", "text"),
    [
        (dt.timedelta(seconds=3), "just now"),
        (dt.timedelta(seconds=59), "59 s ago"),
        (dt.timedelta(minutes=59), "59 min ago"),
        (dt.timedelta(hours=23), "23 h ago"),
        (dt.timedelta(days=1, hours=3), "yesterday"),
        (dt.timedelta(days=13), "13 days ago"),
        (dt.timedelta(days=40), "13 Oct"),
        (dt.timedelta(days=400), "18 Oct 2025"),
        (-dt.timedelta(minutes=5), "in 5 min"),
        (-dt.timedelta(hours=23, minutes=59, seconds=59.8), "in 1 day"),
        (-dt.timedelta(days=7), "in 7 days"),
    ],
)
def test_relative_times(before: dt.timedelta, text: str) -> None:
    assert relative_time(NOW - before, NOW) == text


def test_times_carry_the_exact_one() -> None:
    html = ago(NOW)
    assert 'datetime="2026-11-22T12:00:00+00:00"' in html
    assert 'title="2026-11-22 12:00:00 UTC"' in html
    assert ago(None) == "\u2013"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "\u2013"), (0.44, "0.4 s"), (3, "3 s"), (61, "1 min 1 s"), (3600, "1 h"), (90_061, "1 d 1 h")],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_digests_are_short_and_copied_whole() -> None:
    html = digest("sha256:" + "ab" * 32)
    assert ">sha256:abababababab<" in html
    assert f'data-copy="sha256:{"ab" * 32}"' in html
    assert "muted" in digest("")


def test_everything_is_escaped() -> None:
    assert "<b>" not in copy("<b>\"'") + digest("<b>") + status_badge("<b>") + icon("<b>")


def test_sort_links_flip_and_forget_the_cursor() -> None:
    request = RequestFactory().get("/?search=a+b&sort=-size&cursor=xyz")
    html = sort_header(Context({"request": request, "sort": "-size"}), "size", "Size")
    assert 'aria-sort="descending"' in html
    assert 'href="?search=a+b&amp;sort=size"' in html
    other = sort_header(Context({"request": request, "sort": "-size"}), "name", "Name", "", "")
    assert "aria-sort" not in other
    assert "sort=name" in other


def test_prose_of_the_source() -> None:
    text = "Send `a: <b>`\nor nothing.\n\nMore & more.\n"
    assert prose(text) == "<p>Send <code>a: &lt;b&gt;</code> or nothing.</p><p>More &amp; more.</p>"
