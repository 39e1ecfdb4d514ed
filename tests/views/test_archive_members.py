"""A file inside an archive is shown by its page as a file of its own would be."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zipfile
from urllib.parse import unquote

import h5py
import numpy as np
import pytest
from django.test import Client
from PIL import Image

from datasets_app.models import Role, Team
from tests.factories import make_available_version, make_dataset, make_member, make_team, page_client
from tests.previews.test_more_kinds import film, packed, pdf, safetensors, sound

pytestmark = pytest.mark.django_db

URL = "/teams/vision/datasets/images/versions/1/"
BOOK = {"cells": [{"cell_type": "code", "source": "40 + 2", "outputs": []}]}


def pages() -> bytes:
    sink = io.BytesIO()
    first, *others = [Image.new("L", (20, 20), shade) for shade in (1, 2, 3)]
    first.save(sink, "TIFF", save_all=True, append_images=others)
    return sink.getvalue()


def arrays(kind: str) -> bytes:
    sink = io.BytesIO()
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    if kind == "h5":
        with h5py.File(sink, "w") as file:
            file["group/values"] = values
    elif kind == "npz":
        np.savez(sink, weights=values)
    else:
        np.save(sink, values)
    return sink.getvalue()


FILES = {
    "in/sound.wav": sound(1),
    "in/film.mp4": film(),
    "in/book.ipynb": json.dumps(BOOK).encode(),
    "in/a.npy": arrays("npy"),
    "in/a.npz": arrays("npz"),
    "in/a.h5": arrays("h5"),
    "in/model.safetensors": safetensors(),
    "in/secret.age": b"age-encryption.org/v1\n" + bytes(50),
    "in/doc.pdf": pdf(3),
    "in/pages.tif": pages(),
    "in/table.csv": b"number\n" + b"".join(b"%d\n" % number for number in range(250)),
    "in/broken.parquet": b"PAR1" + bytes(200),
    "in/data.json": b'{"a": [1]}',
    "in/unknown": bytes(range(256)),
}


@pytest.fixture
def client() -> Client:
    version = make_available_version(make_dataset(make_team("vision"), "images"), {"d/files.zip": packed(FILES)})
    return page_client(make_member(version.dataset.team, Role.READER))


def show(client: Client, member: str, **options: str | int) -> str:
    answer = client.get(f"{URL}files/d/files.zip", {"member": member, **options})
    assert answer.status_code == 200
    page = answer.content.decode()
    assert f"members/d/files.zip?member={member.replace('/', '%2F')}" in page
    assert "Back to the archive" in page
    return page


def test_the_tab_says_what_is_shown(client: Client) -> None:
    title = "<title>in/data.json in d/files.zip in images@1 · FlexAI</title>"
    member = {"member": "in/data.json"}
    assert show(client, "in/data.json").count("<title>") == show(client, "in/data.json").count(title) == 1
    # htmx takes it from the part that it asked for.
    part = client.get(f"{URL}files/d/files.zip", member, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part
    assert part.count(title) == 1
    assert (
        "<title>d/files.zip in images@1 · FlexAI</title>"
        in client.get(f"{URL}files/d/files.zip", headers={"HX-Request": "true"}).content.decode()
    )


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ("in/sound.wav", 'aria-label="Waveform"'),
        ("in/film.mp4", "A picture of in/film.mp4"),
        ("in/book.ipynb", '<ol class="cells">'),
        ("in/a.npy", "float32"),
        ("in/a.npz", "weights"),
        ("in/a.h5", "group/values"),
        ("in/model.safetensors", "layer.weight"),
        ("in/secret.age", "age"),
        ("in/data.json", '<span class="json-key">a</span>'),
        ("in/unknown", "Download this file to look into it."),
    ],
)
def test_it_works(client: Client, member: str, words: str) -> None:
    page = show(client, member)
    assert words in page
    assert "spectrogram" not in page


def test_what_it_draws_can_be_had(client: Client) -> None:
    for member in ("in/film.mp4", "in/pages.tif", "in/doc.pdf"):
        source = re.search(r'<img src="([^"]+)"', show(client, member))
        assert source is not None
        answer = client.get(source[1].replace("&amp;", "&"))
        assert answer.headers["Content-Type"].startswith("image/"), member


@pytest.mark.parametrize("member", ["in/doc.pdf", "in/pages.tif"])
def test_its_pages_follow_each_other(client: Client, member: str) -> None:
    following = re.search(r'href="\?([^"]+)">Next', show(client, member))
    assert following is not None
    assert "frame=1" in following[1]
    second = show(client, member, frame=1)
    assert "2 of 3" in second
    assert "&amp;part=picture&amp;frame=1" in second
    assert "frame=2" in second


def test_first_values_of_an_array_are_asked_for(client: Client) -> None:
    page = show(client, "in/a.npz")
    assert '<input type="hidden" name="member" value="in/a.npz">' in page
    assert re.search(r"<td[^>]*>11</td>", show(client, "in/a.npz", item="weights"))


def test_rows_of_a_table_go_on(client: Client) -> None:
    page = show(client, "in/table.csv")
    assert '<td class="num">99</td>' in page
    further = re.search(r'href="\?([^"]+)"[^>]*>Next<', page)
    assert further is not None
    query = unquote(further[1]).replace("&amp;", "&")
    page = client.get(f"{URL}files/d/files.zip?{query}").content.decode()
    assert '<td class="num">100</td>' in page
    assert '<td class="num">199</td>' in page
    assert '<td class="num">200</td>' not in page
    assert 'class="column"' in show(client, "in/table.csv", view="statistics")


def test_a_table_is_sorted_and_filtered(client: Client) -> None:
    page = show(client, "in/table.csv")
    order = re.search(r'href="\?([^"]+)"[^>]*>number<', page)
    assert order is not None
    assert order[1] == "member=in%2Ftable.csv&amp;sort=number"
    page = show(client, "in/table.csv", sort="-number")
    assert re.findall(r'<td class="num">(\d+)</td>', page)[:2] == ["249", "248"]
    page = show(client, "in/table.csv", column="number", op="gt", value="247", sort="number")
    assert re.findall(r'<td class="num">(\d+)</td>', page) == ["248", "249"]
    assert '<input type="hidden" name="member" value="in/table.csv">' in page
    assert 'href="?member=in%2Ftable.csv&amp;">Clear' in page


def nested() -> bytes:
    """A ZIP in a packed TAR in a ZIP in a ZIP."""
    inner = packed({"deep/very.zip": packed({"a.txt": b"at the bottom"}), "deep/b.csv": b"n\n7\n"})
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        entry = tarfile.TarInfo("shard/inner.zip")
        entry.size = len(inner)
        archive.addfile(entry, io.BytesIO(inner))
    return packed({"in/shard.tar.gz": sink.getvalue(), "in/odd!/name.txt": b"not nested"})


@pytest.fixture
def nest(client: Client) -> Client:
    make_available_version(make_dataset(Team.objects.get(), "nested"), {"all.zip": nested()})
    return client


def open_at(client: Client, query: str) -> str:
    answer = client.get(f"/teams/vision/datasets/nested/versions/1/files/all.zip{query}")
    assert answer.status_code == 200
    return answer.content.decode()


def link(page: str, words: str) -> str:
    found = re.search(rf'href="([^"]+)"[^>]*>{words}</a>', page)
    assert found is not None, words
    return found[1].replace("&amp;", "&")


def test_archives_in_archives_are_walked_by_their_links(nest: Client) -> None:
    page = open_at(nest, "?in=in")
    for words in ("shard.tar.gz", "shard", "inner.zip", "deep"):
        page = open_at(nest, link(page, words))
    assert "very.zip" in page
    assert "<td" in open_at(nest, link(page, "b.csv"))
    last = open_at(nest, link(page, "very.zip"))
    assert "opened 3 deep. Download this one" in last
    back = re.search(r'<a href="([^"]+)"><svg[^>]*><use[^>]*/?>(?:</use>)?</svg> Back to the archive', last)
    assert back is not None
    assert "b.csv" in open_at(nest, back[1].replace("&amp;", "&"))
    assert "opened 3 deep" in open_at(nest, "?member=in/shard.tar.gz!/shard/inner.zip!/deep/very.zip!/a.txt")


def test_a_member_of_a_member_can_be_had(nest: Client) -> None:
    url = "/api/v1/teams/vision/datasets/nested/versions/1/members/all.zip"
    answer = nest.get(url, {"member": "in/shard.tar.gz!/shard/inner.zip!/deep/b.csv"})
    assert b"".join(answer.streaming_content) == b"n\n7\n"  # type: ignore[attr-defined]
    answer = nest.get(url, {"member": "in/shard.tar.gz!/shard/inner.zip"})
    whole = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    assert zipfile.ZipFile(io.BytesIO(whole)).namelist() == ["deep/very.zip", "deep/b.csv"]
    assert nest.get(url, {"member": "in/shard.tar.gz!/nothing"}).status_code == 503
    answer = nest.get(url, {"member": "in/odd!/name.txt"})
    assert b"".join(answer.streaming_content) == b"not nested"  # type: ignore[attr-defined]


def test_what_is_no_archive_has_no_members(nest: Client) -> None:
    page = open_at(nest, "?member=in/odd!/name.txt!/x")
    assert "No preview of this file" in page


def test_a_broken_one_can_be_had_and_says_why(client: Client) -> None:
    page = show(client, "in/broken.parquet")
    assert "No preview of this file" in page
    assert "Below is what it begins with" not in page
    assert "in hexadecimal" not in page


def test_a_locked_one_says_so(client: Client) -> None:
    sink = io.BytesIO(packed({"a.txt": b"x"}))
    with zipfile.ZipFile(sink) as archive:
        (entry,) = archive.infolist()
    raw = bytearray(sink.getvalue())
    # The flag that says "encrypted", in the header and in the directory.
    raw[6] |= 1
    raw[archive.start_dir + 8] |= 1
    version = make_available_version(make_dataset(Team.objects.get(), "locked"), {"a.zip": bytes(raw)})
    url = f"/teams/vision/datasets/locked/versions/{version.number}/files/a.zip"
    page = client.get(url, {"member": entry.filename}).content.decode()
    assert "This file is encrypted." in page
    assert "No preview of this file" in page
