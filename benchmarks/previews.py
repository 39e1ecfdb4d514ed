"""Measure how soon a file's page shows something that nobody has looked at before: over HTTP, kind by kind."""

from __future__ import annotations

import gzip
import html
import io
import json
import re
import sys
import time
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.command import our_command
from benchmarks.report import Goal, table

# Of each kind so many files with different bytes, of each of which the page is seen for the first time.
COPIES = 5
HUGE_BYTES = 10 * 10**9
GROUP_ROWS = 1_000_000
DATASET = "looked-at"
DRAWN = re.compile(r'<img[^>]* src="([^"]*/products/[^"]*)"')


class Look(NamedTuple):
    """The first views of a kind's files: what they are, and the seconds that each took."""

    kind: str
    size: int
    seconds: list[float]


def measure_previews(scratch: Path, *, huge_bytes: int = HUGE_BYTES, copies: int = COPIES) -> list[Look]:
    """Push a folder of files of many kinds and a huge Parquet file, and ask for each page once."""
    folder = scratch / "looked-at"
    _write_files(folder, copies)
    print(f"writing a Parquet file of {huge_bytes / 10**9:.0f} GB", file=sys.stderr)
    huge = folder / "huge.parquet"
    _write_huge(huge, huge_bytes)
    looks = []
    with our_command(scratch) as command:
        command.run("dataset", "push", DATASET, "--file", folder)
        application = command.application
        with httpx.Client(base_url=application.url, timeout=120, follow_redirects=True) as client:
            _sign_in(client, application.username, application.password)
            base = f"/teams/{application.team}/datasets/{DATASET}/versions/1/files/"
            # The process of the web server has loaded what every page needs.
            _look(client, f"{base}warm.bin")
            for kind in sorted({path.parent.name for path in folder.glob("*/*")}):
                paths = sorted((folder / kind).iterdir())
                seconds = [_look(client, f"{base}{kind}/{path.name}") for path in paths]
                looks.append(Look(_TITLES[kind], paths[0].stat().st_size, seconds))
                print(f"  {looks[-1]}", file=sys.stderr)
            size = huge.stat().st_size
            looks.append(Look("Parquet, huge", size, [_look(client, f"{base}huge.parquet")]))
            looks.append(Look("Parquet, huge: page 500", size, [_look(client, f"{base}huge.parquet?page=500")]))
    return looks


def previews_report(looks: list[Look]) -> list[str]:
    """Markdown."""
    rows = [[look.kind, _size(look.size), f"{median(look.seconds):.2f}", f"{max(look.seconds):.2f}"] for look in looks]
    return [
        f"### The first view of a file's page, seconds ({len(looks[0].seconds)} files of each kind)",
        "",
        *table(["", "each file", "median", "slowest"], rows),
        "",
    ]


def previews_goals(looks: list[Look]) -> list[Goal]:
    """Compare with what has to hold."""
    return [Goal(f"first view, {look.kind}: seconds", median(look.seconds), "at most", 1) for look in looks]


def _size(size: int) -> str:
    return f"{size / 10**9:.1f} GB" if size >= 10**9 else f"{size / 10**6:.1f} MB"


def _sign_in(client: httpx.Client, username: str, password: str) -> None:
    page = client.get("/sign-in/").text
    token = page.split('name="csrfmiddlewaretoken" value="', 1)[1].split('"', 1)[0]
    form = {"csrfmiddlewaretoken": token, "username": username, "password": password}
    done = client.post("/sign-in/", data=form, headers={"Referer": str(client.base_url)})
    if "sign-in" in str(done.url):
        sys.exit(f"signing in failed: {done.status_code}")


def _look(client: httpx.Client, address: str) -> float:
    started = time.perf_counter()
    answer = client.get(address)
    if answer.status_code != 200 or "Below is what it begins with" in answer.text:
        sys.exit(f"{address}: {answer.status_code}, no preview")
    # Of a picture or a sound, the page is only useful with what is drawn of it.
    drawn = DRAWN.search(answer.text)
    if drawn is not None:
        client.get(html.unescape(drawn[1])).raise_for_status()
    return time.perf_counter() - started


def _write_files(folder: Path, copies: int) -> None:
    for kind, (name, _, write) in _KINDS.items():
        (folder / kind).mkdir(parents=True)
        for number in range(copies):
            stem, dot, ending = name.partition(".")
            (folder / kind / f"{stem}-{number}{dot}{ending}").write_bytes(write(np.random.default_rng(number)))
    (folder / "warm.bin").write_bytes(bytes(range(256)))


def _write_huge(path: Path, size: int) -> None:
    """Write row groups of different rows, uncompressed, so that the file is as large on the disk as it says."""
    chance = np.random.default_rng(7)
    columns: dict[str, Any] = {f"c{number}": chance.integers(0, 2**62, GROUP_ROWS) for number in range(20)}
    group = pa.table(columns)
    with pq.ParquetWriter(path, group.schema, compression="none", use_dictionary=False) as writer:
        while path.stat().st_size < size:
            writer.write_table(group, row_group_size=GROUP_ROWS)


def _rows(chance: np.random.Generator, count: int) -> pa.Table:
    words = ["cat", "dog", "bird", "fish"]
    labels = [words[place] for place in chance.integers(0, 4, count)]
    return pa.table({"id": np.arange(count), "score": chance.random(count), "label": labels})


def _csv(chance: np.random.Generator) -> bytes:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(_rows(chance, 1_000_000), sink)
    return sink.getvalue()


def _lines(chance: np.random.Generator, count: int = 100_000) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in _rows(chance, count).to_pylist())


def _parquet(chance: np.random.Generator) -> bytes:
    sink = io.BytesIO()
    pq.write_table(_rows(chance, 2_000_000), sink)
    return sink.getvalue()


def _picture(form: str) -> Callable[[np.random.Generator], bytes]:
    def draw(chance: np.random.Generator) -> bytes:
        small = Image.fromarray(chance.integers(0, 255, (30, 40, 3), dtype=np.uint8))
        sink = io.BytesIO()
        small.resize((4000, 3000)).save(sink, form)
        return sink.getvalue()

    return draw


def _sound(chance: np.random.Generator) -> bytes:
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(chance.integers(-8000, 8000, 16_000 * 60, dtype=np.int16).tobytes())
    return sink.getvalue()


def _text(chance: np.random.Generator) -> bytes:
    words = [f"word{number}" for number in chance.integers(0, 10_000, 2_000_000)]
    return b"\n".join(" ".join(words[start : start + 12]).encode() for start in range(0, len(words), 12))


def _code(chance: np.random.Generator) -> bytes:
    return "".join(f"def f{n}(x):\n    return x + {chance.integers(99)}\n\n" for n in range(5000)).encode()


def _markdown(chance: np.random.Generator) -> bytes:
    return "".join(f"## {n}\n\nSome *words* {chance.integers(99)}.\n\n" for n in range(2000)).encode()


def _json(chance: np.random.Generator) -> bytes:
    return json.dumps({"rows": _rows(chance, 2000).to_pylist()}).encode()


def _zip(chance: np.random.Generator) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for number in range(5000):
            archive.writestr(f"train/{number % 20:02}/{number:05}.bin", chance.bytes(1000))
    return sink.getvalue()


def _pdf(chance: np.random.Generator) -> bytes:
    small = [Image.fromarray(chance.integers(0, 255, (60, 40, 3), dtype=np.uint8)) for _ in range(5)]
    pages = [one.resize((800, 1200)) for one in small]
    sink = io.BytesIO()
    pages[0].save(sink, "PDF", save_all=True, append_images=pages[1:])
    return sink.getvalue()


def _array(chance: np.random.Generator) -> bytes:
    sink = io.BytesIO()
    np.save(sink, chance.random((2000, 1000)))
    return sink.getvalue()


_KINDS: dict[str, tuple[str, str, Callable[[np.random.Generator], bytes]]] = {
    "array": ("a.npy", "NumPy array", _array),
    "code": ("a.py", "Python code", _code),
    "csv": ("a.csv", "CSV of a million rows", _csv),
    "json": ("a.json", "JSON", _json),
    "jpeg": ("a.jpg", "JPEG, 12 megapixels", _picture("JPEG")),
    "lines": ("a.jsonl", "JSON Lines of 100,000 rows", _lines),
    "markdown": ("a.md", "Markdown", _markdown),
    "packed": ("a.jsonl.gz", "JSON Lines, gzip", lambda chance: gzip.compress(_lines(chance), 1)),
    "parquet": ("a.parquet", "Parquet of two million rows", _parquet),
    "pdf": ("a.pdf", "PDF", _pdf),
    "png": ("a.png", "PNG, 12 megapixels", _picture("PNG")),
    "text": ("a.txt", "text", _text),
    "wav": ("a.wav", "WAV, a minute", _sound),
    "zip": ("a.zip", "ZIP of 5,000 files", _zip),
}
_TITLES = {kind: title for kind, (_, title, _) in _KINDS.items()}
