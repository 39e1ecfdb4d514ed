"""What each kind of preview shows of a file, made in a worker process as the pages do it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datasets_app.previews.base import Ask, Budget, MemoryReader, Preview, PreviewError, Product
from datasets_app.previews.images import open_image
from datasets_app.previews.process import run_preview
from datasets_app.previews.registry import module_of, recognise


class Bytes:
    """A file in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.taken = 0

    def read(self, offset: int, length: int) -> bytes:
        part = self.data[offset : offset + length]
        self.taken += len(part)
        return part


def show(data: bytes | Bytes, name: str, part: str = "", **options: str) -> Preview | Product:
    reader = data if isinstance(data, Bytes) else Bytes(data)
    kind = recognise(reader.data[: 64 * 1024], name)
    assert kind is not None, f"{name} is of no kind"
    return run_preview(kind.name, reader, Ask(name, part=part, options=options))


def page(data: bytes | Bytes, name: str, **options: str) -> Preview:
    shown = show(data, name, **options)
    assert isinstance(shown, Preview)
    return shown


def parquet(rows: int, **options: Any) -> bytes:
    sink = io.BytesIO()
    table = pa.table({"number": range(rows), "label": [("cat", "dog")[n % 2] for n in range(rows)]})
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def picture(mode: str, size: tuple[int, int], form: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    Image.new(mode, size, 200).save(sink, form, **options)
    return sink.getvalue()


def texts(shown: Preview) -> list[str]:
    return ["".join(text for _, text in line) for line in shown.data["lines"]]


def test_a_page_of_parquet_reads_a_small_part() -> None:
    reader = Bytes(parquet(400_000, row_group_size=50_000, compression="none", use_dictionary=False))
    shown = page(reader, "a.parquet", page="3")
    assert shown.data["rows"][0] == ["200", "cat"]
    assert dict(shown.facts)["Rows"].replace("\N{NARROW NO-BREAK SPACE}", "") == "400000"
    assert reader.taken < reader.size / 4


def test_rows_are_sorted_and_filtered() -> None:
    shown = page(parquet(1000), "a.parquet", sort="-number", column="label", op="eq", value="cat")
    assert shown.data["rows"][:2] == [["998", "cat"], ["996", "cat"]]
    assert shown.data["has_more"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"x,y\n1,one\n2,two\n"),
        ("a.csv", b"x;y\n1;one\n2;two\n"),
        ("a.tsv", b"x\ty\n1\tone\n2\ttwo\n"),
        ("a.csv.gz", gzip.compress(b"x,y\n1,one\n2,two\n", mtime=0)),
        ("a.jsonl", b'{"x": 1, "y": "one"}\n{"x": 2, "y": "two"}\n'),
        ("a.json", b'[{"x": 1, "y": "one"}, {"x": 2, "y": "two"}]'),
    ],
    ids=["commas", "semicolons", "tabs", "gzip", "lines", "array"],
)
def test_tables_of_text(name: str, data: bytes) -> None:
    shown = page(data, name)
    assert shown.data["rows"] == [["1", "one"], ["2", "two"]]
    assert [column["name"] for column in shown.data["columns"]] == ["x", "y"]


def test_a_later_value_of_another_type_makes_text_of_all() -> None:
    many = b"".join(b"%d\n" % n for n in range(400_000))
    shown = page(b"x\n" + many + b"none\n", "a.csv", sort="-x")
    assert shown.data["rows"][0] == ["none"]
    assert "text" in shown.notes[0]


def test_statistics() -> None:
    shown = page(parquet(1000), "a.parquet", view="statistics")
    number, label = shown.data["statistics"]
    assert dict(number["facts"])["Median"] == "499.5"
    assert sum(bar["count"] for bar in number["bars"]) == 1000
    assert label["common"][0] == {"value": "cat", "count": 500, "percent": 50.0}


def test_sql() -> None:
    shown = page(
        parquet(1000), "a.parquet", view="sql", sql="SELECT label, count(*) AS n FROM data GROUP BY ALL ORDER BY 1"
    )
    assert shown.data["rows"] == [["cat", "500"], ["dog", "500"]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "ATTACH '/tmp/x.db'",
        "SELECT 1; SELECT 2",
        "SELECT * FROM nothing",
    ],
)
def test_sql_reaches_nothing_but_the_table(sql: str) -> None:
    shown = page(parquet(10), "a.parquet", view="sql", sql=sql)
    assert shown.data["rows"] == []
    assert shown.data["error"]


def test_an_endless_query_is_killed() -> None:
    reader = Bytes(parquet(10))
    ask = Ask(
        "a.parquet",
        options={"view": "sql", "sql": "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"},
    )
    with pytest.raises(PreviewError, match="longer than 2 seconds"):
        run_preview("table", reader, ask, budget=Budget(seconds=2))


def test_memory_is_bounded() -> None:
    reader = Bytes(picture("RGB", (9000, 9000)))
    with pytest.raises(PreviewError, match=r"memory|decoder"):
        run_preview("image", reader, Ask("a.png", part="picture"), budget=Budget(memory_bytes=128 * 2**20))


def test_text_by_window() -> None:
    data = b"".join(b"line %d\n" % n for n in range(1, 100_001))
    first = page(data, "a.txt")
    assert texts(first)[:2] == ["line 1", "line 2"]
    then = page(data, "a.txt", at=str(first.data["next"]["at"]), line=str(first.data["next"]["line"]))
    assert texts(then)[0] == f"line {then.data['first_line']}"
    assert texts(page(data, "a.txt", go="77777"))[0] == "line 77777"
    beyond = page(data, "a.txt", go="100500")
    assert texts(beyond) == ["line 100000"]
    assert "last one" in beyond.notes[0]


def test_a_line_that_is_longer_than_a_window_is_one_line() -> None:
    data = b"first\n" + b"x" * 500_000 + b"\nthird\n"
    at, line, seen = "0", "1", []
    while True:
        shown = page(data, "a.txt", at=at, line=line)
        seen.append((shown.data["first_line"], len(shown.data["lines"])))
        if shown.data["next"] is None:
            break
        assert "too long to be shown at once" in " ".join(shown.notes) or shown.data["next"]["line"] in {2, 3}
        at, line = str(shown.data["next"]["at"]), str(shown.data["next"]["line"])
    first_line, lines = seen[-1]
    assert first_line + lines - 1 == 3
    assert texts(shown)[-1] == "third"


def test_code_is_coloured() -> None:
    shown = page(b"def f():\n    return 1\n", "a.py")
    assert ["k", "def"] in [list(word) for line in shown.data["lines"] for word in line]
    assert texts(shown) == ["def f():", "    return 1"]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_every_mode(mode: str) -> None:
    form = "TIFF" if mode in {"CMYK", "F"} else "PNG"
    product = show(picture(mode, (40, 30), form), f"a.{form.lower()}", "thumbnail")
    assert isinstance(product, Product)
    assert Image.open(io.BytesIO(product.body)).size == (40, 30)


@pytest.mark.parametrize(("mode", "form"), [("RGB", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"), ("CMYK", "TIFF")])
def test_a_hundred_megapixels_are_drawn_within_the_limit(mode: str, form: str) -> None:
    options = {"compress_level": 1} if form == "PNG" else {"compression": "tiff_adobe_deflate"}
    product = show(picture(mode, (10_000, 10_000), form, **options), f"a.{form.lower()}", "picture")
    assert isinstance(product, Product)
    drawn = Image.open(io.BytesIO(product.body))
    assert drawn.size == (1600, 1600)
    # Every strip is there, and the last one as well as the first.
    assert np.ptp(np.asarray(drawn.convert("RGB")), axis=(0, 1)).max() <= 2


def test_strips_of_a_picture_fit_together() -> None:
    steps = np.arange(5000, dtype=np.uint16)[:, None].repeat(3001, axis=1)
    sink = io.BytesIO()
    Image.fromarray(steps).save(sink, "PNG")
    product = show(sink.getvalue(), "a.png", "thumbnail")
    assert isinstance(product, Product)
    column = np.asarray(Image.open(io.BytesIO(product.body)).convert("L"))[:, 50].astype(int)
    # From black to white without a step back, where strips begin too.
    assert (column[0], column[-1]) == (pytest.approx(0, abs=4), pytest.approx(255, abs=4))
    assert np.diff(column).min() >= -3


def test_postscript_is_never_run() -> None:
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with pytest.raises(PreviewError, match="no picture that can be decoded"):
        open_image(MemoryReader(script))
    saved = {"data": {"image/png": base64.b64encode(script).decode()}}
    book = {"cells": [{"cell_type": "code", "source": "1", "outputs": [saved]}]}
    shown = page(json.dumps(book).encode(), "a.ipynb")
    assert shown.data["cells"][0]["outputs"] == [{"kind": "error", "text": "A picture is damaged."}]


def test_pages_of_a_tiff() -> None:
    sink = io.BytesIO()
    pages = [Image.new("L", (10 + n, 10), n) for n in range(3)]
    pages[0].save(sink, "TIFF", save_all=True, append_images=pages[1:])
    assert page(sink.getvalue(), "a.tiff").data["frames"] == 3
    product = show(sink.getvalue(), "a.tiff", "picture", frame="2")
    assert isinstance(product, Product)
    assert Image.open(io.BytesIO(product.body)).width == 12


def test_a_bomb_is_refused() -> None:
    # The header says 60,000 x 60,000; there are no pixels.
    bomb = bytearray(picture("L", (10, 10)))
    bomb[16:24] = (60_000).to_bytes(4, "big") * 2
    bomb[29:33] = zlib.crc32(bytes(bomb[12:29])).to_bytes(4, "big")
    with pytest.raises(PreviewError, match="pixels"):
        show(bytes(bomb), "a.png")


def test_the_place_of_a_photo_is_not_shown() -> None:
    exif = Image.Exif()
    exif[271] = "Camera maker"
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    shown = page(picture("RGB", (10, 10), "JPEG", exif=exif), "a.jpg")
    assert ("Make", "Camera maker") in [tuple(one) for one in shown.data["exif"]]
    assert "52" not in json.dumps(shown.data["exif"])
    assert "location" in shown.notes[0]


def test_the_exif_behind_the_pixels_of_a_png_is_found_without_decoding_them() -> None:
    exif = Image.Exif()
    exif[271] = "Camera maker"
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    chunk = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = (len(chunk) - 4).to_bytes(4) + chunk + zlib.crc32(chunk).to_bytes(4)
    noise = Image.effect_noise((2000, 1000), 90).convert("RGB")
    sink = io.BytesIO()
    noise.save(sink, "PNG", compress_level=1)
    pixels, end = sink.getvalue()[:-12], sink.getvalue()[-12:]
    # Of the same name, but no chunk: its checksum is none.
    reader = Bytes(pixels + chunk + b"\0\0\0\4teXIf" + bytes(7) + end)
    shown = page(reader, "a.png")
    assert ("Make", "Camera maker") in [tuple(one) for one in shown.data["exif"]]
    assert "location" in shown.notes[0]
    assert reader.taken < reader.size / 2
    drawn = show(reader, "a.png", "picture")
    assert isinstance(drawn, Product)
    assert not Image.open(io.BytesIO(drawn.body)).getexif()


def test_a_worker_imports_the_one_kind_that_it_needs() -> None:
    code = (
        "import sys; import datasets_app.previews.worker as worker; worker._kind(*sys.argv[1:]);"
        "print(*(name for name in sys.modules if name.startswith('datasets_app.previews.')))"
    )
    command = [sys.executable, "-c", code, *module_of("image")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert {name.removeprefix("datasets_app.previews.") for name in said} == {"base", "frames", "images", "worker"}


def test_a_small_picture_gives_nothing_away_either() -> None:
    exif = Image.Exif()
    exif[271] = "Camera maker"
    drawn = show(picture("RGB", (10, 20), "JPEG", exif=exif, comment=b"a secret"), "a.jpg", "picture")
    assert isinstance(drawn, Product)
    assert b"Camera" not in drawn.body
    assert b"secret" not in drawn.body


def test_markdown_and_its_front_matter() -> None:
    shown = page(b"---\nlicense: mit\ntags: [a, b]\n---\n# Title\n\n<script>alert(1)</script>\n", "README.md")
    assert shown.facts == [("license", "mit"), ("tags", "a, b")]
    assert "<h1>Title</h1>" in shown.data["html"]
    assert "<script>" not in shown.data["html"]


@pytest.mark.parametrize("book", ["{}", '{"worksheets": []}', '{"worksheets": [{}]}'])
def test_json_without_cells_is_no_notebook(book: str) -> None:
    with pytest.raises(PreviewError, match="This is no notebook: it has no cells"):
        run_preview("notebook", Bytes(book.encode()), Ask("a.ipynb"))


def test_json_is_a_tree() -> None:
    shown = page(json.dumps({"a": [1, None, "x"], "b": {"c": True}}).encode(), "a.json")
    first, second = shown.data["children"]
    assert (first["key"], first["count"]) == ("a", 3)
    assert second["children"][0] == {"key": "c", "kind": "constant", "value": "true"}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.parquet", parquet(100)[:300]),
        ("a.png", picture("RGB", (10, 10))[:20]),
        ("a.json", b'{"a": '),
        ("a.json", b"[" * 100_000),
        ("a.jsonl", b'{"a": 1}\nno\n'),
    ],
    ids=["parquet", "png", "json", "deep", "lines"],
)
def test_broken_files_are_said_to_be_so(name: str, data: bytes) -> None:
    with pytest.raises(PreviewError, match=r"\w{3,}"):
        show(data, name)
