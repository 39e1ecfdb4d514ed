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
from datasets_app.previews.registry import KINDS, recognise
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
    peak = 0
    for case in range(cases):
        data = whole if case % 10 == 9 else damage(whole, chance)
        # Each tenth is whole but under another kind's name.
        label = chance.choice(NAMES) if case % 10 == 9 else name
        ask = Ask(
            label, part=chance.choice(parts), options={"member": "README.md"} if kind == "archive" and case % 2 else {}
        )
        began = time.monotonic()
        # Each fifth by a process of its own, as the pages do it.
        start = start_worker if case % 5 == 0 else nursery.start
        try:
            run_preview(kind, Bytes(data), ask, budget=Budget(seconds=SECONDS), start=start)
        except PreviewError as error:
            said = str(error)
        else:
            said = "nothing wrong"
        assert said, (kind, case)
        assert time.monotonic() - began < SECONDS + 3, (kind, case)
        peak = max(peak, nursery.peak)
    assert peak < MOST_MEMORY
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
