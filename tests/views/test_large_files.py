"""Pages of files that are too large for their previews: what can be shown is, with a way to the rest."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from datasets_app.models import Role, Team
from tests.factories import make_available_version, make_dataset, make_member, make_team, page_client

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/versions/1/files/"


def client_of(files: Mapping[str, bytes]) -> Client:
    version = make_available_version(make_dataset(make_team("vision"), "images"), files)
    return page_client(make_member(version.dataset.team, Role.READER))


def client_of_parquet() -> Client:
    sink = io.BytesIO()
    pq.write_table(pa.table({"n": [1, 2]}), sink)
    team = Team.objects.get()
    make_available_version(make_dataset(team, "table"), {"a.parquet": sink.getvalue()})
    return page_client(make_member(team, Role.READER))


def one_large_page() -> bytes:
    """A Parquet file with 300 MB of text in one row group and one page of it, which can only be unpacked whole."""
    rows = 10_000
    table = pa.table(
        {"id": pa.array(range(rows)), "text": pa.array(["x" * 30_000] * rows), "when": pa.array([1.5] * rows)}
    )
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", use_dictionary=False, data_page_size=2**30, write_batch_size=rows
    ) as writer:
        writer.write_table(table, row_group_size=rows)
    return sink.getvalue()


def test_of_a_table_whose_pages_are_too_large_the_footer_is_shown(settings: Settings) -> None:
    settings.PREVIEW_MEMORY_BYTES = 256 * 2**20
    client = client_of({"a.parquet": one_large_page()})
    for query in ("", "?sort=text", "?view=statistics"):
        page = client.get(f"{URL}a.parquet{query}").content.decode()
        assert "more memory than 256 MiB" in page
        assert ">text</th>" in page
        assert "1, the largest of 300 MB unpacked" in page
        # Bounds of the numbers, and the first rows of what is small.
        assert 'data-label="Largest">9999</td>' in page
        assert "the first rows of those that take little memory" in page
        assert '<td class="num">99</td><td class="num">1.5</td>' in page
        assert "in hexadecimal" not in page


def test_of_a_table_that_is_too_wide_to_sort_the_rows_are_shown_unsorted(settings: Settings) -> None:
    settings.PREVIEW_MEMORY_BYTES = 256 * 2**20
    sink = io.BytesIO()
    rows = 20_000
    # No dictionary could make it small, neither in the file nor in memory.
    words = {f"c{column}": [f"{column} {row} ".ljust(300, "x") for row in range(rows)] for column in range(30)}
    pq.write_table(pa.table(words), sink, row_group_size=1000, use_dictionary=False, compression="zstd")
    client = client_of({"a.parquet": sink.getvalue()})
    page = client.get(f"{URL}a.parquet?sort=-c1&page=2").content.decode()
    assert "more memory than 256 MiB" in page
    assert "These are its rows as they are in the file, not sorted." in page
    assert ">0 100 x" in page
    assert 'aria-sort="descending"' not in page
    # The page after it, although the address still asks for an order.
    assert "sort=-c1&amp;page=3" in page


def test_of_text_too_long_to_sort_the_rows_are_shown_unsorted(settings: Settings) -> None:
    settings.PREVIEW_MEMORY_BYTES = 150 * 2**20
    rows = b"".join(b"%d,%s\n" % (row, str(row).encode() * 100) for row in range(200_000))
    client = client_of({"a.csv": b"n,word\n" + rows})
    page = client.get(f"{URL}a.csv?sort=word&column=n&op=full&page=300").content.decode()
    assert "These are its rows as they are in the file, not sorted and not filtered." in page
    assert '<td class="num">29900</td>' in page


def test_the_schema_of_any_table_is_a_view_of_its_own() -> None:
    client = client_of({"a.csv": b"n,word\n1,a\n2,b\n"})
    assert 'view=schema"' in client.get(f"{URL}a.csv").content.decode()
    page = client.get(f"{URL}a.csv?view=schema").content.decode()
    assert ">word</th>" in page
    assert '<td data-label="Type">string</td>' in page
    assert "Unpacked" not in page
    client = client_of_parquet()
    page = client.get("/teams/vision/datasets/table/versions/1/files/a.parquet?view=schema").content.decode()
    assert ">Unpacked<" in page
    assert "The first rows" not in page


def test_of_long_markdown_the_first_part_is_rendered_and_the_rest_is_text() -> None:
    long = b"# Title\n\n" + b"Some *words* of it.\n\n" * 60_000 + b"the very end\n"
    client = client_of({"a.md": long, "b.md": b"# Short\n"})
    page = client.get(f"{URL}a.md").content.decode()
    assert "<h1>Title</h1>" in page
    assert "Only the first 256 KiB are rendered." in page
    assert 'href="?as=text">The whole file as text</a>' in page
    text = client.get(f"{URL}a.md?as=text").content.decode()
    assert "<h1>Title</h1>" not in text
    assert "?as=text&amp;at=" in text
    assert '<a href="?">Rendered</a>' in text
    assert "the very end" in client.get(f"{URL}a.md?as=text&go=120003").content.decode()
    short = client.get(f"{URL}b.md").content.decode()
    assert "The whole file as text" not in short
    assert "# Short" in client.get(f"{URL}b.md?as=text").content.decode()
