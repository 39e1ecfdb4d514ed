"""Archives, arrays, models, documents, sound and film: made by the libraries that people make them with."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import struct
import subprocess
import tarfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
import zstandard
from PIL import Image

from datasets_app.previews.base import Ask, Budget, Preview, PreviewError, Product, Stream
from datasets_app.previews.process import stream_part
from datasets_app.previews.registry import KINDS, recognise
from tests.previews.test_kinds import Bytes, page, picture, show, texts

FILES = {
    "README.md": b"# Hello\n",
    "train/cat/1.txt": b"meow\n",
    "train/dog/1.txt": b"woof\n",
    "train/a.csv": b"x\n1\n",
}


def tar(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return sink.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


ARCHIVES = [
    ("a.zip", packed(FILES)),
    ("a.tar", tar(FILES)),
    ("a.tar.gz", gzip.compress(tar(FILES))),
    ("a.tar.zst", zstandard.ZstdCompressor().compress(tar(FILES))),
]


def arranged(data: bytes, name: str, **options: str) -> dict[str, Any]:
    """What a page shows, after the web server has chosen from the kept index."""
    kind = recognise(data[: 64 * 1024], name)
    assert kind is not None
    ask = Ask(name, options=options)
    return kind.arrange(page(data, name, **kind.heed(ask).options), ask).data


@pytest.mark.parametrize(("name", "data"), ARCHIVES, ids=[name for name, _ in ARCHIVES])
def test_an_archive_is_walked_like_a_folder(name: str, data: bytes) -> None:
    top = arranged(data, name)
    assert [(line["name"], line.get("count")) for line in top["lines"]] == [("train", 3), ("README.md", None)]
    inside = arranged(data, name, **{"in": "train"})
    assert [line["name"] for line in inside["lines"]] == ["cat", "dog", "a.csv"]


@pytest.mark.parametrize(("name", "data"), ARCHIVES, ids=[name for name, _ in ARCHIVES])
def test_a_member_is_shown_as_its_kind_and_can_be_had(name: str, data: bytes) -> None:
    inner = arranged(data, name, member="train/cat/1.txt")
    assert inner["kind"] == "text"
    assert inner["data"]["lines"] == [[["", "meow"]]]
    assert arranged(data, name, member="train/a.csv")["data"]["rows"] == [["1"]]
    assert b"".join(taken(data, name, "README.md").blocks) == b"# Hello\n"


def taken(data: bytes | Bytes, name: str, member: str) -> Stream:
    reader = data if isinstance(data, Bytes) else Bytes(data)
    return stream_part("archive", reader, Ask(name, part="member", options={"member": member}), budget=Budget())


def stored(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return sink.getvalue()


MAKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "a.zip": stored,
    "deflated.zip": packed,
    "a.tar": tar,
    "a.tar.gz": lambda files: gzip.compress(tar(files), 1),
}
LINES = b"".join(b"line %09d\n" % n for n in range(1, 2_300_001))


@pytest.mark.parametrize("name", MAKERS)
def test_a_large_member_is_seen_by_window_and_streamed(name: str) -> None:
    files = {"first.txt": b"x", "big/lines.txt": LINES}
    reader = Bytes(MAKERS[name](files))
    shown = arranged(reader.data, name, member="big/lines.txt", at=str(15 * 2_000_000), line="2000001")
    assert "".join(text for _, text in shown["data"]["lines"][0]) == "line 002000001"
    assert shown["data"]["next"] is not None
    stream = taken(reader, name, "big/lines.txt")
    assert stream.size == len(LINES)
    count = 0
    for block in stream.blocks:
        assert len(block) <= 2**20
        assert block == LINES[count : count + len(block)]
        count += len(block)
    assert count == len(LINES)


def test_of_what_is_stored_only_a_window_is_read() -> None:
    reader = Bytes(stored({"big/lines.txt": LINES}))
    page(reader, "a.zip", member="big/lines.txt", at=str(15 * 2_000_000), line="2000001")
    assert reader.taken < reader.size / 20


def test_a_stream_may_be_left() -> None:
    import psutil

    stream = taken(packed({"big/lines.txt": LINES}), "a.zip", "big/lines.txt")
    next(stream.blocks)
    stream.blocks.close()  # type: ignore[attr-defined] # a generator
    workers = [one for one in psutil.Process().children(recursive=True) if "previews.worker" in " ".join(one.cmdline())]
    assert workers == []


def locked(files: dict[str, bytes]) -> bytes:
    """Make a ZIP whose entries say that they are encrypted, in both of their headers."""
    raw = bytearray(stored(files))
    with zipfile.ZipFile(io.BytesIO(bytes(raw))) as archive:
        for entry in archive.infolist():
            raw[entry.header_offset + 6] |= 1
    at = raw.find(b"PK\1\2")
    while at >= 0:
        raw[at + 8] |= 1
        at = raw.find(b"PK\1\2", at + 4)
    return bytes(raw)


def test_a_zip_with_a_password() -> None:
    data = locked({"secret.txt": b"0123456789ab", "more/secret.csv": b"x\n1\n"})
    shown = page(data, "a.zip")
    assert "2 of the files are encrypted" in shown.notes[0]
    assert [(line["name"], line.get("is_locked")) for line in arranged(data, "a.zip")["lines"]] == [
        ("more", None),
        ("secret.txt", True),
    ]
    with pytest.raises(PreviewError, match="encrypted"):
        page(data, "a.zip", member="secret.txt")
    with pytest.raises(PreviewError, match="encrypted"):
        taken(data, "a.zip", "secret.txt")


def test_a_zip_with_a_password_by_the_tool(tmp_path: Path) -> None:
    if shutil.which("zip") is None:
        pytest.skip("zip is not installed")
    (tmp_path / "secret.txt").write_text("meow\n" * 100)
    subprocess.run(["zip", "-q", "-P", "pass", "a.zip", "secret.txt"], cwd=tmp_path, check=True)
    data = (tmp_path / "a.zip").read_bytes()
    assert "1 of the files are encrypted" in page(data, "a.zip").notes[0]
    with pytest.raises(PreviewError, match="encrypted"):
        page(data, "a.zip", member="secret.txt")


def test_a_member_that_is_not_there_and_one_that_is_damaged() -> None:
    with pytest.raises(PreviewError, match="no nothing in this archive"):
        taken(packed(FILES), "a.zip", "nothing")
    whole = bytearray(packed({"a": random.Random(1).randbytes(3 * 2**20)}))
    whole[2 * 2**20] ^= 255
    with pytest.raises(PreviewError, match=r"\w{3,}"):
        b"".join(taken(bytes(whole), "a.zip", "a").blocks)


def test_a_member_that_is_no_json_is_shown_as_text() -> None:
    shown = page(packed({"a.json": b'{"a": 1'}), "a.zip", member="a.json")
    assert shown.data["kind"] == "text"
    assert "It is shown as text." in shown.notes[0]


def test_what_is_dangerous_in_archives_is_said_and_not_done() -> None:
    escaping = page(tar({"../../etc/passwd": b"x"}), "a.tar")
    assert "lead out of the archive" in escaping.notes[0]
    bomb = packed({"zeros": bytes(64 * 2**20)})
    with pytest.raises(PreviewError, match=r"thousand times|more than"):
        show(bomb, "a.zip", member="zeros")
    assert page(bomb, "a.zip").data["entries"][0][1] == 64 * 2**20
    with pytest.raises(PreviewError, match="no nothing in this archive"):
        show(packed(FILES), "a.zip", member="nothing")


@pytest.mark.parametrize("shape", [(5,), (30, 40), (3, 30, 40), ()])
def test_npy(shape: tuple[int, ...]) -> None:
    sink = io.BytesIO()
    np.save(sink, np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape))
    shown = page(sink.getvalue(), "a.npy")
    assert dict(shown.facts)["Type"] == "float32"
    assert shown.data["sections"][0]["rows"][0][1] == "0"


def test_pickled_arrays_are_not_read() -> None:
    sink = io.BytesIO()
    np.save(sink, np.array([{"a": 1}], dtype=object))
    shown = page(sink.getvalue(), "a.npy")
    assert "never read" in shown.notes[0]
    assert shown.data["sections"] == []


def test_npz() -> None:
    sink = io.BytesIO()
    np.savez_compressed(sink, first=np.eye(3), second=np.arange(5))
    shown = page(sink.getvalue(), "a.npz", item="first")
    assert [row[0] for row in shown.data["sections"][0]["rows"]] == ["first", "second"]
    assert shown.data["sections"][1]["rows"][1] == ["1", "0", "1", "0"]


def test_a_large_array_of_an_npz() -> None:
    sink = io.BytesIO()
    values = np.zeros((3000, 3000), dtype=np.float64)
    values[2, :3] = 1, 2, 3
    np.savez_compressed(sink, large=values, long=np.zeros((2, 3_000_000)))
    assert values.nbytes > 64 * 2**20
    shown = page(sink.getvalue(), "a.npz", item="large")
    assert shown.data["sections"][1]["rows"][2][:4] == ["2", "1", "2", "3"]
    shown = page(sink.getvalue(), "a.npz", item="long")
    assert len(shown.data["sections"]) == 1
    assert "too long" in shown.notes[0]


def tensors(kind: str, body: bytes, shape: list[int]) -> bytes:
    raw = json.dumps({"layer": {"dtype": kind, "shape": shape, "data_offsets": [0, len(body)]}}).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def test_types_of_tensors_that_numpy_lacks() -> None:
    halves = (np.array([1.5, -2.0, 0.0], dtype="<f4").view("<u4") >> 16).astype("<u2")
    shown = page(tensors("BF16", halves.tobytes(), [3]), "model.safetensors", item="layer")
    assert shown.data["sections"][1]["rows"] == [["0", "1.5", "-2", "0"]]
    shown = page(tensors("F8_E4M3", b"\0\1\2", [3]), "model.safetensors", item="layer")
    assert len(shown.data["sections"]) == 1
    assert "F8_E4M3" in shown.notes[0]


def safetensors() -> bytes:
    body = np.arange(6, dtype="<f4").tobytes()
    header = {
        "__metadata__": {"format": "pt"},
        "layer.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    }
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def test_safetensors() -> None:
    shown = page(safetensors(), "model.safetensors", item="layer.weight")
    assert dict(shown.facts) == {"Tensors": "1", "Parameters": "6", "format": "pt"}
    assert shown.data["sections"][1]["rows"][1] == ["1", "3", "4", "5"]


def test_hdf5(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("group/values", data=np.arange(100).reshape(10, 10)).attrs["unit"] = "mm"
        file["outside"] = h5py.ExternalLink("/etc/passwd", "/x")
        file["group/loop"] = file["group"]
    shown = page((tmp_path / "a.h5").read_bytes(), "a.h5", item="/group/values")
    rows = {row[0]: row for row in shown.data["sections"][0]["rows"]}
    assert rows["/group/values"][2:] == ["10 x 10", "int64", "unit=mm"]
    assert rows["/outside"][1] == "link"
    assert shown.data["sections"][1]["rows"][1][1] == "10"


def test_nothing_outside_of_an_hdf5_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"root:x:0:0:")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [7, 8, 9]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("external", shape=(11,), dtype="i1", external=[(str(tmp_path / "secret"), 0, 11)])
        layout = h5py.VirtualLayout((3,), "i8")
        layout[:] = h5py.VirtualSource(str(tmp_path / "b.h5"), "x", (3,))
        file.create_virtual_dataset("virtual", layout)
        file["out"] = h5py.ExternalLink(str(tmp_path / "b.h5"), "/")
        file["soft"] = h5py.SoftLink("/external")
    data = (tmp_path / "a.h5").read_bytes()
    for item in ("/external", "external", "/virtual", "/out/x", "/soft", "/./external"):
        # In this process: outside of the sandbox, the files are there.
        shown = KINDS["hdf5"].show(Bytes(data), Ask("a.h5", options={"item": item}))
        assert isinstance(shown, Preview)
        assert len(shown.data["sections"]) == 1, item
        assert "2 data sets lie in other files" in shown.notes[0]
        assert shown.data["items"] == []
        kinds = {row[0]: row[1] for row in shown.data["sections"][0]["rows"]}
        assert kinds == {
            "/external": "external data set",
            "/virtual": "virtual data set",
            "/out": "link",
            "/soft": "link",
        }


def test_gguf() -> None:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    raw = b"GGUF" + struct.pack("<IQQ", 3, 1, 2)
    raw += text("general.name") + struct.pack("<I", 8) + text("tiny")
    raw += text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    raw += text("output.weight") + struct.pack("<IQQIQ", 2, 4, 8, 1, 0)
    shown = page(raw, "tiny.gguf")
    assert dict(shown.facts)["Parameters"] == "32"
    assert ["general.name", "tiny"] in shown.data["sections"][0]["rows"]
    assert shown.data["sections"][1]["rows"][0][:3] == ["output.weight", "4 x 8", "F16"]


def test_of_a_large_onnx_model_the_weights_are_not_read() -> None:
    def field(number: int, value: bytes) -> bytes:
        length, rest = b"", len(value)
        while rest > 127:
            length, rest = length + bytes([rest & 127 | 128]), rest >> 7
        return bytes([number << 3 | 2]) + length + bytes([rest]) + value

    # 512 x 4096 of float32.
    about, weights = b"\x08\x80\x04\x08\x80\x20\x10\x01", field(9, bytes(8 * 2**20))
    tensors = [field(5, about + weights + field(8, b"w%d" % number)) for number in range(10)]
    node = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Gemm"))
    reader = Bytes(b"\x08\x08" + field(7, node + b"".join(tensors)))
    shown = page(reader, "large.onnx")
    assert dict(shown.facts)["Tensors"] == "10"
    assert shown.data["sections"][2]["rows"][9] == ["w9", "512 x 4\u202f096", "float32"]
    assert reader.taken < reader.size / 50
    with pytest.raises(PreviewError, match="ends too early"):
        page(reader.data[: 2**20], "large.onnx")


def test_a_pickle_in_a_model_is_listed_and_never_run(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, (f"touch {tmp_path / 'ran'}",)

    shown = page(packed({"archive/data.pkl": pickle.dumps(Evil()), "archive/data/0": b"1234"}), "model.pt")
    assert "system" in shown.notes[1]
    assert not (tmp_path / "ran").exists()


def pdf(pages: int) -> bytes:
    sink = io.BytesIO()
    images = [Image.new("RGB", (200, 100), "white") for _ in range(pages)]
    images[0].save(sink, "PDF", save_all=True, append_images=images[1:])
    return sink.getvalue()


def test_pdf() -> None:
    assert page(pdf(3), "a.pdf").data["frames"] == 3
    product = show(pdf(3), "a.pdf", "picture", frame="2")
    assert isinstance(product, Product)
    assert Image.open(io.BytesIO(product.body)).format == "JPEG"


def test_notebook() -> None:
    import base64

    book = {
        "metadata": {"language_info": {"name": "python"}},
        "cells": [
            {"cell_type": "markdown", "source": ["# Title\n", "<script>alert(1)</script>"]},
            {
                "cell_type": "code",
                "execution_count": 1,
                "source": "print(1)",
                "outputs": [
                    {"output_type": "stream", "text": ["1\n"]},
                    {"data": {"image/png": base64.b64encode(picture("RGB", (20, 10))).decode()}},
                    {"data": {"text/html": "<b>x</b>", "text/plain": "x"}},
                ],
            },
        ],
    }
    first, second = page(json.dumps(book).encode(), "a.ipynb").data["cells"]
    assert "<script>" not in first["html"]
    assert [output["kind"] for output in second["outputs"]] == ["text", "picture", "text"]


def sound(seconds: float) -> bytes:
    sink = io.BytesIO()
    with wave.open(sink, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        time = np.arange(int(16_000 * seconds)) / 16_000
        file.writeframes((np.sin(time * 2000) * 20_000).astype("<i2").tobytes())
    return sink.getvalue()


def film() -> bytes:
    sink = io.BytesIO()
    with av.open(sink, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for shade in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((120, 160, 3), shade * 10, dtype=np.uint8))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return sink.getvalue()


def test_sound() -> None:
    shown = page(sound(2), "a.wav")
    assert dict(shown.facts)["Duration"] == "2 s"
    assert len(shown.data["bars"]) == 300
    product = show(sound(2), "a.wav", "spectrogram")
    assert isinstance(product, Product)
    assert Image.open(io.BytesIO(product.body)).size == (1200, 256)


def test_film() -> None:
    shown = page(film(), "a.mp4")
    assert dict(shown.facts)["Dimensions"] == "160 x 120 pixels"
    assert shown.media_type == "video/mp4"
    product = show(film(), "a.mp4", "thumbnail")
    assert isinstance(product, Product)
    assert Image.open(io.BytesIO(product.body)).size == (160, 120)


def transport(packets: int) -> bytes:
    return b"".join(b"G" + bytes(187) for _ in range(packets))


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"fLaC\0\0\0\x22" + bytes(40), "media"),
        (b"OggS\0\2" + bytes(40), "media"),
        (b"\x1a\x45\xdf\xa3" + bytes(40), "media"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "media"),
        (b"\0\0\0\x20ftypM4A " + bytes(40), "media"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "image"),
        (b"FORM\0\0\0\x20AIFFCOMM" + bytes(40), "media"),
        (transport(8), "media"),
    ],
)
def test_sound_and_film_are_known_by_their_bytes(head: bytes, kind: str) -> None:
    for name in ("a.bin", "a"):
        found = recognise(head, name)
        assert found is not None
        assert found.name == kind


def test_typescript_is_no_film() -> None:
    code = b"GREETING = 1\nexport const a = GREETING;\n" * 40
    assert texts(page(code, "a.ts"))[0] == "GREETING = 1"
    assert texts(page(b"Good morning\n", "a.mpg")) == ["Good morning"]


@pytest.mark.parametrize(
    ("name", "data", "form"),
    [
        ("a.enc", b"Salted__" + bytes(40), "openssl enc"),
        ("a.age", b"age-encryption.org/v1\n-> X25519", "age"),
        ("a.gpg", b"\x85\x01\x0c\x03" + bytes(40), "OpenPGP"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(40), "7z"),
    ],
    ids=["openssl", "age", "pgp", "7z"],
)
def test_encrypted_files_are_named(name: str, data: bytes, form: str) -> None:
    assert dict(page(data, name).facts)["Format"] == form


def test_text_is_text_whatever_its_name() -> None:
    assert texts(page(b"hello\n", "a.mp4")) == ["hello"]
