"""Files by other people's software in a real browser. GUIDE=docs/guide/images keeps the pictures of the user guide."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Response, expect

from tests.e2e.looking import glance, settle
from tests.e2e.sending import make_dataset, seal_version, send_version
from tests.e2e.specimens import specimens
from tests.servers import LiveApplication

pytestmark = [pytest.mark.browser, pytest.mark.server]

GUIDE = os.environ.get("GUIDE", "")
VERSION = "/teams/lab/datasets/specimens/versions/1/"
MOST_GUIDE_BYTES = 120_000
# What the page of each file must say; from what was written, not from what is shown.
SAID = {
    "shipped/pyarrow.parquet": "carat",
    "shipped/pyarrow.feather": "int64",
    "shipped/compound.h5": "complex128",
    "shipped/strings.h5": "/DS1",
    "shipped/numpy.npy": "float64",
    "shipped/scipy.npz": "float64",
    "shipped/numpy.csv": "dtype",
    "shipped/scipy.wav": "pcm_f32le",
    "shipped/django.svg": "viewBox",
    "shipped/networkx.png": "800 x 600 pixels",
    "shipped/module.py": "Functional interface to graph methods",
    "tables/pandas.csv": "Accra",
    "tables/pandas.tsv": "Accra",
    "tables/pandas.jsonl": "Accra",
    "tables/pandas.jsonl.zst": "Accra",
    "tables/pandas.csv.gz": "Accra",
    "tables/duckdb.parquet": "row 42",
    "tables/arrow.arrow": "Accra",
    "tables/arrow.feather": "Accra",
    "arrays/one.npy": "6 x 10",
    "arrays/many.npz": "4 x 28 x 28",
    "arrays/tree.h5": "unit=lux",
    "arrays/model.safetensors": "encoder.weight",
    "models/tiny.gguf": "Tiny llama",
    "models/tiny.onnx": "Relu",
    "models/tiny.pt": "This file holds a pickle: loading it runs code.",
    "README.md": "Files of many kinds.",
    "texts/page.html": "<script>document.title = 'run'</script>",
    "texts/book.ipynb": "loss 0.25",
    "texts/config.json": "optimizer",
    "texts/paper.pdf": "Page 1 of 3",
    "texts/log.txt": "step 999: loss 0.0010",
    "texts/secret.age": "Encrypted by age.",
    "texts/unknown.bin": "00 01 02 03 04 05 06 07",
    "texts/cut.parquet": "Below is what it begins with.",
    "pictures/photo.jpg": "400 x 300 pixels",
    "pictures/photo.png": "400 x 300 pixels",
    "pictures/pages.tif": "1 of 2",
    "pictures/deep.tif": "16 bit, grey",
    "pictures/print.jpg": "CMYK",
    "pictures/moving.gif": "1 of 2",
    "pictures/small.webp": "80 x 60 pixels",
    "archives/shard-000.tar": "000.cls",
    "archives/files.zip": "inside",
    "archives/system.tar.gz": "1 entry",
    "films/noise.webm": "vp8",
    "films/waves.webm": "320 x 180 pixels",
}
# A hundredth of a second has no spectrogram.
NOT_DRAWN = {"shipped/scipy.wav"}
INSIDE = {
    "inside/texts/book.ipynb": "loss 0.25",
    "inside/texts/paper.pdf": "Page 1 of 3",
    "inside/texts/secret.age": "Encrypted by age.",
    "inside/texts/cut.parquet": "No preview of this file",
    "inside/arrays/tree.h5": "unit=lux",
    "inside/arrays/model.safetensors": "encoder.weight",
}
# The user guide's pictures: name, address, height of the window.
PICTURES = [
    ("picture", "files/pictures/photo.jpg", 760),
    ("film", "files/films/waves.webm", 760),
    ("code", "files/shipped/module.py", 560),
    ("json", "files/texts/config.json", 560),
    ("pdf", "files/texts/paper.pdf", 800),
    ("markdown", "files/README.md", 620),
    ("arrays", "files/arrays/model.safetensors?item=encoder.weight", 720),
    ("hdf5", "files/arrays/tree.h5", 560),
    ("model", "files/models/tiny.gguf", 620),
    ("encrypted", "files/texts/secret.age", 520),
    ("fallback", "files/texts/cut.parquet", 620),
    ("sql", "files/tables/pandas.csv?view=sql&sql=SELECT+city,+count(*)+AS+n,+avg(share)+FROM+data+GROUP+BY+city", 620),
    ("search", "search/?q=*.parquet", 480),
    ("overlap", "overlap/?with=specimens@2", 520),
    ("compare-tables", "compare/tables/pandas.csv?with=2", 760),
    ("compare-pictures", "compare/pictures/photo.jpg?with=2", 680),
]

DURATION = "one => one.readyState ? one.duration : new Promise((r) => { one.onloadedmetadata = () => r(one.duration) })"
SOUGHT = "one => new Promise((r) => { one.onseeked = () => r([one.currentTime, one.videoWidth]); one.currentTime = 8 })"


@pytest.fixture(scope="module")
def content(application: LiveApplication, tmp_path_factory: pytest.TempPathFactory) -> LiveApplication:
    made = specimens(tmp_path_factory.mktemp("specimens"))
    assert made.keys() == SAID.keys()
    make_dataset(application, "specimens")
    seal_version(application, send_version(application, "specimens", 1, made))
    changed = {
        "tables/pandas.csv": made["tables/pandas.csv"].replace(b"Accra,2,", b"Quito,2,"),
        "pictures/photo.jpg": made["pictures/print.jpg"],
        "tables/duckdb.parquet": made["tables/duckdb.parquet"],
    }
    seal_version(application, send_version(application, "specimens", 2, changed))
    return application


def draws_everything(page: Page) -> bool:
    drawn = "[...document.querySelectorAll('main img[src]:not([hidden])')].every((one) => one.naturalWidth > 0)"
    # What can't be drawn says why, in its place.
    return bool(page.evaluate(drawn)) and page.locator(".picture-problem").count() == 0


# Minutes: `make test` has test_previews.py for a file of each kind.
@pytest.mark.nightly
@pytest.mark.parametrize("folder", sorted({path.partition("/")[0] for path in SAID}))
def test_it_works(content: LiveApplication, signed_in: Page, folder: str) -> None:
    for path, words in SAID.items():
        if path.partition("/")[0] != folder:
            continue
        response = signed_in.goto(f"{content.url}{VERSION}files/{path}")
        assert response is not None
        assert response.status == 200, path
        expect(signed_in.locator("main")).to_contain_text(words)
        settle(signed_in)
        assert draws_everything(signed_in) or path in NOT_DRAWN, path
        glance(signed_in, path)


@pytest.mark.nightly
def test_files_of_an_archive(content: LiveApplication, signed_in: Page) -> None:
    for path, words in INSIDE.items():
        signed_in.goto(f"{content.url}{VERSION}files/archives/files.zip?member={path}")
        expect(signed_in.locator("#preview")).to_contain_text(words)
        settle(signed_in)
        assert draws_everything(signed_in), path
        glance(signed_in, path)


def test_a_film_can_be_sought(content: LiveApplication, signed_in: Page) -> None:
    parts: list[Response] = []
    signed_in.on("response", lambda one: parts.append(one) if "noise.webm?inline" in one.url else None)
    signed_in.goto(f"{content.url}{VERSION}files/films/noise.webm")
    video = signed_in.locator("video")
    length = video.evaluate(DURATION)
    assert length == pytest.approx(10, abs=0.2)
    assert video.evaluate(SOUGHT) == [8, 160]
    assert {one.status for one in parts} == {206}
    starts = [int(one.headers["content-range"].removeprefix("bytes ").partition("-")[0]) for one in parts]
    assert any(start > 0 for start in starts), starts


@pytest.mark.nightly
def test_a_finished_summary_with_findings(content: LiveApplication, signed_in: Page) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        signed_in.goto(f"{content.url}{VERSION}")
        if signed_in.locator("main").get_by_text("texts/cut.parquet").count():
            break
        time.sleep(1)
    expect(signed_in.locator("main")).to_contain_text("texts/cut.parquet")
    glance(signed_in, "summary")


@pytest.mark.nightly
def test_pictures_of_the_guide(content: LiveApplication, signed_in: Page, tmp_path: Path) -> None:
    signed_in.emulate_media(color_scheme="light")
    for name, address, height in PICTURES:
        signed_in.set_viewport_size({"width": 1100, "height": height})
        signed_in.goto(f"{content.url}{VERSION}{address}")
        settle(signed_in)
        picture = Image.open(io.BytesIO(signed_in.screenshot())).convert("RGB")
        target = Path(GUIDE or tmp_path) / (f"{name}.png" if name.startswith("compare") else f"preview-{name}.png")
        picture.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)
        assert target.stat().st_size < MOST_GUIDE_BYTES, name
