"""Broken files: cut off, with flipped bits, wrongly named. No exception but PreviewError, no process left behind."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import struct
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest

from datasets_app.previews.base import Ask, Budget, Preview, PreviewError
from datasets_app.previews.process import run_preview, start_worker
from datasets_app.previews.registry import KINDS, TOGETHER, recognise
from tests.previews.nursery import Nursery
from tests.previews.test_kinds import Bytes, parquet, picture
from tests.previews.test_more_kinds import ARCHIVES, FILES, film, packed, pdf, safetensors, sound
from tests.previews.test_tables import TABLE, arrow_file, arrow_stream

CASES = 50
NIGHTLY_CASES = 2000
SECONDS = 8
MOST_MEMORY = 512 * 2**20
NAMES = [
    "a.parquet",
    "a.csv",
    "a.jsonl",
    "a.json",
    "a.png",
    "a.tiff",
    "a.wav",
    "a.mp4",
    "a.pdf",
    "a.npz",
    "a.pt",
    "a.onnx",
    "a.h5",
    "a.zip",
    "a.tar",
    "a.ipynb",
    "a.md",
]


def hdf5() -> bytes:
    import h5py

    sink = io.BytesIO()
    with h5py.File(sink, "w") as file:
        file.create_dataset("a/values", data=np.arange(200).reshape(20, 10), compression="gzip")
    return sink.getvalue()


SAMPLES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "image": ("a.png", lambda: picture("RGB", (60, 40))),
    "media": ("a.mp4", film),
    "pdf": ("a.pdf", lambda: pdf(2)),
    "array": ("model.safetensors", safetensors),
    "hdf5": ("a.h5", hdf5),
    "model": ("a.pt", lambda: packed({"x/data.pkl": b"\x80\x02ctorch\nload\n.", "x/0": b"1234"})),
    "encrypted": ("a.age", lambda: b"age-encryption.org/v1\n" + bytes(100)),
    "table": ("a.parquet", lambda: parquet(2000)),
    "archive": ("a.zip", lambda: packed(FILES)),
    "notebook": (
        "a.ipynb",
        lambda: json.dumps({"cells": [{"cell_type": "code", "source": "1", "outputs": []}]}).encode(),
    ),
    "json": ("a.json", lambda: json.dumps({"a": [1, {"b": None}], "c": "text"}).encode()),
    "markdown": ("a.md", lambda: b"---\na: 1\n---\n# Title\n\n| a | b |\n| - | - |\n| 1 | 2 |\n"),
    "text": ("a.py", lambda: b"def f():\n    return 1\n" * 50),
}


CSV = b"id,label,score\n" + b"".join(b"%d,word %d,%d.5\n" % (n, n % 7, n) for n in range(200))
LINES = b"".join(b'{"id": %d, "label": "word %d", "score": %d.5}\n' % (n, n % 5, n) for n in range(100, 300))
PROSE = b"".join(b"line %d of a text\n" % n for n in range(300))
SQL = (
    "SELECT count(*) FROM data",
    "SELECT * FROM data ORDER BY 1 DESC",
    "SELECT label, count(*) FROM data GROUP BY ALL",
)
# What several files are asked together, and the files.
TOGETHER_SAMPLES: dict[str, tuple[str, list[str], Callable[[], list[bytes]]]] = {
    "text by lines": (
        "comparison",
        ["a.txt", "b.txt"],
        lambda: [PROSE, PROSE.replace(b"7", b"seven") + "ein Späßchen\n".encode("utf-16")],
    ),
    "tables by key": ("comparison", ["a.parquet", "b.parquet"], lambda: [parquet(1000), parquet(1200)]),
    "tables of text": ("comparison", ["a.csv", "b.jsonl"], lambda: [CSV, LINES]),
    "bytes": ("comparison", ["a.bin", "b.bin"], lambda: [picture("RGB", (60, 40)), picture("L", (60, 40))]),
    "joined Parquet": ("joined_tables", ["a.parquet", "b.parquet", "c.parquet"], lambda: [parquet(300)] * 3),
    "joined text": ("joined_tables", ["a.csv", "b/b.jsonl", "c.csv.gz"], lambda: [CSV, LINES, gzip.compress(CSV)]),
}


def damage(data: bytes, chance: random.Random) -> bytes:
    """Break a file in one of the ways in which files break."""
    raw = bytearray(data)
    match chance.randrange(4):
        case 0:
            return bytes(raw[: chance.randrange(len(raw))])
        case 1:
            for _ in range(chance.randint(1, 20)):
                raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        case 2:
            start = chance.randrange(len(raw))
            raw[start : start + chance.randint(1, 64)] = chance.randbytes(chance.randint(0, 64))
        case _:
            start = chance.randrange(len(raw))
            raw[start:start] = raw[: chance.randrange(len(raw))]
    return bytes(raw)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Start the process that workers are forked from, once: to load its libraries takes longer than many a drill."""
    with Nursery() as running:
        yield running


def drill(kind: str, cases: int, nursery: Nursery) -> None:
    name, make = SAMPLES[kind]
    whole = make()
    chance = random.Random(f"{kind} {cases}")
    parts = ("", *KINDS[kind].parts)
    # What is whole is shown: otherwise the rest would prove nothing.
    assert isinstance(run_preview(kind, Bytes(whole), Ask(name)), Preview)
    for case in range(cases):
        data = whole if case % 10 == 9 else damage(whole, chance)
        # Each tenth is whole but under another kind's name.
        label = chance.choice(NAMES) if case % 10 == 9 else name
        ask = Ask(
            label, part=chance.choice(parts), options={"member": "README.md"} if kind == "archive" and case % 2 else {}
        )
        try_out(kind, [data], ask, case, nursery)
    assert_nothing_is_left(nursery)


def drill_together(sample: str, cases: int, nursery: Nursery) -> None:
    kind, names, make = TOGETHER_SAMPLES[sample]
    whole = make()
    chance = random.Random(f"{sample} {cases}")
    wrong: list[list[str]] = [["table", "text", "bytes", "nonsense"], ["id", "label", "number", "nothing"]]
    for case in range(-1, cases):
        files, labels, options = list(whole), list(names), {"sql": SQL[case % len(SQL)]}
        if case >= 0:
            # One of them, or all; each tenth is whole but under another kind's name, or asked for what it isn't.
            for number in range(len(files)) if chance.random() < 0.3 else [chance.randrange(len(files))]:
                if case % 10 == 9:
                    labels[number] = chance.choice(NAMES)
                else:
                    files[number] = damage(files[number], chance)
            if case % 4 == 3:
                options |= {"as": chance.choice(wrong[0]), "key": chance.choice(wrong[1])}
        options |= {"other": labels[1], "paths": "\n".join(labels)}
        said = try_out(kind, files, Ask(labels[0], options=options), case, nursery)
        # What is whole is compared: otherwise the rest would prove nothing.
        assert case >= 0 or said == "nothing wrong", said
    assert_nothing_is_left(nursery)


def try_out(kind: str, files: list[bytes], ask: Ask, case: int, nursery: Nursery) -> str:
    """Ask for a preview, as a page does: it comes, or a sentence, in time."""
    began = time.monotonic()
    # Each fifth by a process of its own, as the pages do it.
    start = start_worker if case % 5 == 0 else nursery.start
    first, *others = map(Bytes, files)
    try:
        run_preview(kind, first, ask, others=others, budget=Budget(seconds=SECONDS), start=start)
    except PreviewError as error:
        said = str(error)
    else:
        said = "nothing wrong"
    assert said, (kind, case)
    assert time.monotonic() - began < SECONDS + 3, (kind, case)
    return said


def assert_nothing_is_left(nursery: Nursery) -> None:
    assert nursery.peak < MOST_MEMORY
    assert nursery.children() == []
    left = [
        child for child in psutil.Process().children(recursive=True) if "previews.worker" in " ".join(child.cmdline())
    ]
    assert left == []


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_broken_files(kind: str, nursery: Nursery) -> None:
    drill(kind, CASES, nursery)


@pytest.mark.nightly
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_very_many_broken_files(kind: str, nursery: Nursery) -> None:
    drill(kind, NIGHTLY_CASES, nursery)


@pytest.mark.parametrize("sample", sorted(TOGETHER_SAMPLES))
def test_broken_files_together(sample: str, nursery: Nursery) -> None:
    drill_together(sample, CASES, nursery)


@pytest.mark.nightly
@pytest.mark.parametrize("sample", sorted(TOGETHER_SAMPLES))
def test_very_many_broken_files_together(sample: str, nursery: Nursery) -> None:
    drill_together(sample, NIGHTLY_CASES, nursery)


def test_every_kind_is_drilled() -> None:
    assert set(SAMPLES) == set(KINDS)
    assert {kind for kind, _, _ in TOGETHER_SAMPLES.values()} == set(TOGETHER)


def further() -> list[tuple[str, bytes]]:
    """One file of each format besides those in SAMPLES."""
    gguf = b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 1) + b"a" + struct.pack("<II", 4, 7)
    gguf += struct.pack("<Q", 1) + b"w" + struct.pack("<IQIQ", 1, 8, 0, 0)
    onnx = b"\x08\x07\x12\x04test\x3a\x0c\x0a\x06\x22\x04Relu\x12\x02hi"
    array = io.BytesIO()
    np.save(array, np.arange(60).reshape(6, 10))
    csv = b"x,y\n" + b"1,one\n2,two\n" * 50
    lines = b'{"x": 1, "y": "one"}\n{"x": 2, "y": null}\n' * 50
    return [
        ("a.csv", csv),
        ("a.csv.gz", gzip.compress(csv)),
        ("a.jsonl", lines),
        ("a.json.gz", gzip.compress(lines)),
        ("a.arrow", arrow_file(TABLE)),
        ("a.arrow", arrow_stream()),
        ("a.gguf", gguf),
        ("a.onnx", onnx),
        ("a.npy", array.getvalue()),
        ("a.wav", sound(0.2)),
        ("a.tiff", picture("RGB", (60, 40), "TIFF")),
    ]


@pytest.mark.parametrize(("name", "data"), further(), ids=lambda value: value if isinstance(value, str) else "")
def test_further_formats(name: str, data: bytes, nursery: Nursery) -> None:
    chance = random.Random(name)
    kind = recognise(data, name)
    assert kind is not None
    assert isinstance(run_preview(kind.name, Bytes(data), Ask(name)), Preview)
    for case in range(20):
        # Recognised as a page does it; each fourth under another kind's name.
        label = chance.choice(NAMES) if case % 4 == 3 else name
        raw = damage(data, chance)
        found = recognise(raw, label)
        if found is not None:
            budget = Budget(seconds=SECONDS)
            with contextlib.suppress(PreviewError):
                run_preview(found.name, Bytes(raw), Ask(label), budget=budget, start=nursery.start)
    assert nursery.peak < MOST_MEMORY
    assert nursery.children() == []


def test_every_kind_of_archive_is_drilled(nursery: Nursery) -> None:
    chance = random.Random(1)
    for name, data in ARCHIVES:
        for _ in range(10):
            with contextlib.suppress(PreviewError):
                run_preview(
                    "archive",
                    Bytes(damage(data, chance)),
                    Ask(name),
                    budget=Budget(seconds=SECONDS),
                    start=nursery.start,
                )
