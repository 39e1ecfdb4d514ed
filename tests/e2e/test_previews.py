"""The pages of every kind of file in a real browser: accessible, in both themes and widths, quiet on the console."""

from __future__ import annotations

import json
import struct
import zipfile
from io import BytesIO

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.looking import glance, settle
from tests.e2e.sending import make_dataset, seal_version, send_version
from tests.previews.test_kinds import parquet, picture
from tests.previews.test_more_kinds import FILES as INSIDE
from tests.previews.test_more_kinds import film, packed, pdf, safetensors, sound
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

BOOK = {
    "cells": [{"cell_type": "markdown", "source": "# One"}, {"cell_type": "code", "source": "1 + 1", "outputs": []}]
}
FILES = {
    "README.md": b"---\nlicense: mit\n---\n# Kinds\n\nSee [the code](code.py).\n\n| a | b |\n| - | - |\n| 1 | 2 |\n",
    "table.parquet": parquet(500),
    "short.parquet": parquet(400),
    "data.json": json.dumps({"a": [1, None, "x"], "b": {"c": True}}).encode(),
    "code.py": b"def f():\n    return 1\n",
    "long.txt": b"some words\n" * 5000,
    "sound.wav": sound(1),
    "film.mp4": film(),
    "doc.pdf": pdf(2),
    "book.ipynb": json.dumps(BOOK).encode(),
    "model.safetensors": safetensors(),
    "files.zip": packed(INSIDE),
    "nested.zip": packed({"in/files.zip": packed(INSIDE)}),
    "secret.age": b"age-encryption.org/v1\n" + bytes(50),
    "broken.parquet": b"PAR1" + struct.pack("<I", 7) * 50,
    "train/cat/1.png": picture("RGB", (60, 40)),
    "train/dog/2.png": picture("L", (40, 60)),
    "test/cat/3.png": picture("RGBA", (40, 60)),
    "test/dog/4.png": picture("RGB", (50, 50)),
}
VERSION = "/teams/lab/datasets/kinds/versions/1/"
PAGES = [
    "tree/",
    "tree/train/cat",
    "search/?q=*.png",
    "overlap/?with=kinds",
    *(f"files/{path}" for path in FILES),
    "files/table.parquet?view=statistics",
    "files/table.parquet?view=schema",
    "files/table.parquet?view=sql&sql=SELECT+1",
    "files/table.parquet?view=sql&sql=nonsense",
    "files/files.zip?member=README.md",
    "files/nested.zip?member=in/files.zip",
    "files/nested.zip?member=in/files.zip!/train/a.csv",
    "files/README.md?as=text",
    "files/model.safetensors?item=layer.weight",
    "sql/?files=*.parquet&sql=SELECT+label,+count(*)+AS+n+FROM+data+GROUP+BY+label",
    "sql/?files=nothing*",
    "compare/code.py?with=1&other=README.md",
    "compare/table.parquet?with=1&other=short.parquet",
    "compare/train/cat/1.png?with=1&other=train/dog/2.png",
    "compare/sound.wav?with=1&other=film.mp4",
    "compare/doc.pdf",
]


@pytest.fixture(scope="module")
def content(application: LiveApplication) -> LiveApplication:
    make_dataset(application, "kinds")
    seal_version(application, send_version(application, "kinds", 1, FILES))
    return application


def test_every_kind(content: LiveApplication, signed_in: Page) -> None:
    for address in PAGES:
        response = signed_in.goto(f"{content.url}{VERSION}{address}")
        assert response is not None
        assert response.status == 200, address
        settle(signed_in)
        glance(signed_in, address)


def test_a_table_is_sorted_and_filtered_in_place(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}files/table.parquet")
    rows = signed_in.locator("#preview tbody tr")
    signed_in.get_by_role("link", name="number").click()
    expect(signed_in.locator("th[aria-sort=ascending]")).to_be_visible()
    signed_in.get_by_role("link", name="number").click()
    expect(rows.first).to_contain_text("499")
    signed_in.get_by_label("Column").select_option("label")
    signed_in.get_by_label("Value").fill("cat")
    signed_in.get_by_role("button", name="Filter").click()
    expect(rows.first).to_contain_text("498")
    assert "column=label" in signed_in.url
    signed_in.go_back()
    expect(rows.first).to_contain_text("499")


def test_pictures_of_a_folder_are_drawn(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}tree/train/cat")
    settle(signed_in)
    drawn = signed_in.locator(".gallery img")
    expect(drawn).to_have_count(1)
    assert signed_in.evaluate("document.querySelector('.gallery img').naturalWidth") == 60
    drawn.click()
    signed_in.get_by_role("link", name="Open its page").click()
    signed_in.wait_for_url("**/files/train/cat/1.png")
    settle(signed_in)
    assert signed_in.evaluate("document.querySelector('.preview img').naturalWidth") == 60


def test_pictures_are_laid_over_each_other(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}compare/train/cat/1.png?with=1&other=train/dog/2.png")
    settle(signed_in)
    above = signed_in.locator(".frames .above")
    signed_in.get_by_label("One over the other").check()
    slider = signed_in.get_by_label("@1 to @1")
    slider.press("End")
    expect(above).to_have_css("opacity", "1")
    slider.press("Home")
    expect(above).to_have_css("opacity", "0")
    signed_in.get_by_label("Difference").check()
    expect(above).to_have_css("mix-blend-mode", "difference")


def test_a_sound_is_loaded(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}files/sound.wav")
    length = signed_in.evaluate(
        "new Promise((done) => { const a = document.querySelector('audio');"
        "if (a.readyState) done(a.duration); else a.onloadedmetadata = () => done(a.duration); })"
    )
    assert length == pytest.approx(1, abs=0.01)


def test_the_downloads_of_a_folder(content: LiveApplication, signed_in: Page) -> None:
    signed_in.goto(f"{content.url}{VERSION}tree/train")
    signed_in.get_by_text("Download", exact=True).click()
    with signed_in.expect_download() as download:
        signed_in.get_by_role("link", name="As zip").click()
    body = download.value.path().read_bytes()
    assert sorted(zipfile.ZipFile(BytesIO(body)).namelist()) == ["cat/1.png", "dog/2.png"]
