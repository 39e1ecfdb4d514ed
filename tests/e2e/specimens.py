"""Files by other people's software: those that installed packages ship, and those that libraries and tools write."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import site
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import av
import duckdb
import gguf
import h5py
import numpy as np
import numpy.typing as npt
import onnx
import pandas as pd
import pyarrow as pa
import safetensors.numpy
import zstandard
from PIL import Image, ImageDraw
from pyarrow import feather

PACKAGES = Path(site.getsitepackages()[0])
SHIPPED = {
    "shipped/pyarrow.parquet": "pyarrow/tests/data/parquet/v0.7.1.parquet",
    "shipped/pyarrow.feather": "pyarrow/tests/data/feather/v0.17.0.version.2-compression.lz4.feather",
    "shipped/compound.h5": "h5py/tests/data_files/compound-dtype-complex.h5",
    "shipped/strings.h5": "h5py/tests/data_files/vlen_string_dset.h5",
    "shipped/numpy.npy": "scipy/stats/tests/data/levy_stable/stable-Z1-cdf-sample-data.npy",
    "shipped/scipy.npz": "scipy/interpolate/tests/data/gcvspl.npz",
    "shipped/numpy.csv": "numpy/_core/tests/data/umath-validation-set-cos.csv",
    "shipped/scipy.wav": "scipy/io/tests/data/test-44100Hz-2ch-32bit-float-le.wav",
    "shipped/django.svg": "django/contrib/admin/static/admin/img/calendar-icons.svg",
    "shipped/networkx.png": "networkx/drawing/tests/baseline/test_house_with_colors.png",
    "shipped/module.py": "networkx/classes/function.py",
}


def specimens(folder: Path) -> dict[str, bytes]:
    """Collect them all by the paths that they have in a dataset; `folder` is for tools that write files."""
    return (
        {name: (PACKAGES / path).read_bytes() for name, path in SHIPPED.items()}
        | tables(folder)
        | arrays()
        | models(folder)
        | documents()
        | pictures()
        | archives(folder)
        | {"films/noise.webm": noise(), "films/waves.webm": waves()}
    )


def tables(folder: Path) -> dict[str, bytes]:
    """Tables by pandas, DuckDB and Arrow."""
    frame = pd.DataFrame({"city": ["Oslo", "Lima", "Accra"] * 100, "metres": range(300), "share": np.arange(300) / 7})
    target = folder / "duckdb.parquet"
    duckdb.sql(f"COPY (SELECT range AS id, 'row ' || range AS words FROM range(1000)) TO '{target}'")
    arrow = io.BytesIO()
    table = pa.Table.from_pandas(frame)
    with pa.ipc.new_file(arrow, table.schema) as writer:
        writer.write_table(table)
    packed = io.BytesIO()
    feather.write_feather(table, packed)
    lines = frame.to_json(orient="records", lines=True).encode()
    return {
        "tables/pandas.csv": frame.to_csv(index=False).encode(),
        "tables/pandas.tsv": frame.to_csv(index=False, sep="\t").encode(),
        "tables/pandas.jsonl": lines,
        "tables/pandas.jsonl.zst": zstandard.ZstdCompressor().compress(lines),
        "tables/pandas.csv.gz": gzip.compress(frame.to_csv(index=False).encode()),
        "tables/duckdb.parquet": target.read_bytes(),
        "tables/arrow.arrow": arrow.getvalue(),
        "tables/arrow.feather": packed.getvalue(),
    }


def arrays() -> dict[str, bytes]:
    """Arrays by NumPy, h5py and safetensors."""
    values = np.linspace(0, 1, 60, dtype=np.float64).reshape(6, 10)
    one, many, tree = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(one, values)
    np.savez_compressed(many, images=np.zeros((4, 28, 28), np.uint8), labels=np.arange(4))
    with h5py.File(tree, "w") as file:
        file.create_dataset("train/images", data=values, compression="gzip").attrs["unit"] = "lux"
        file["test/labels"] = np.arange(9)
    weights = np.arange(144, dtype=np.float32)
    tensors = {"encoder.weight": weights[:128].reshape(16, 8), "encoder.bias": weights[128:]}
    return {
        "arrays/one.npy": one.getvalue(),
        "arrays/many.npz": many.getvalue(),
        "arrays/tree.h5": tree.getvalue(),
        "arrays/model.safetensors": safetensors.numpy.save(tensors, metadata={"format": "pt"}),
    }


def models(folder: Path) -> dict[str, bytes]:
    """Models by the packages of llama.cpp and of ONNX, and a PyTorch archive with its pickle."""
    return {
        "models/tiny.gguf": write_gguf(folder),
        "models/tiny.onnx": write_onnx(),
        "models/tiny.pt": write_pytorch(),
    }


def write_gguf(folder: Path) -> bytes:
    """Write facts, words and two tensors, one of them quantised."""
    target = folder / "tiny.gguf"
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_name("Tiny llama")
    writer.add_context_length(512)
    writer.add_token_list(["<s>", "cat", "dog"])
    weights = np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)
    writer.add_tensor("output.weight", weights.astype(np.float16))
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor("token_embd.weight", gguf.quants.quantize(weights, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target.read_bytes()


def write_onnx() -> bytes:
    """Write a layer with its weights, and a Relu."""
    shape = onnx.helper.make_tensor_value_info
    weights = onnx.numpy_helper.from_array(np.ones((8, 4), np.float32), "weights")
    nodes = [
        onnx.helper.make_node("MatMul", ["x", "weights"], ["z"], "layer"),
        onnx.helper.make_node("Relu", ["z"], ["y"], "activation"),
    ]
    inputs, outputs = [shape("x", onnx.TensorProto.FLOAT, [None, 8])], [shape("y", onnx.TensorProto.FLOAT, [None, 4])]
    graph = onnx.helper.make_graph(nodes, "tiny graph", inputs, outputs, [weights])
    model = onnx.helper.make_model(graph, producer_name="onnx.helper", opset_imports=[onnx.helper.make_opsetid("", 21)])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def write_pytorch() -> bytes:
    """Write the archive that `torch.save` makes, of plain values."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("tiny/data.pkl", pickle.dumps({"epoch": 3, "loss": 0.25}, protocol=2))
        archive.writestr("tiny/version", "3\n")
        archive.writestr("tiny/data/0", bytes(64))
    return sink.getvalue()


def documents() -> dict[str, bytes]:
    """Texts of several kinds."""
    page = "<!doctype html><title>x</title><script>document.title = 'run'</script><h1>A page</h1>"
    picture = io.BytesIO()
    Image.new("RGB", (40, 20), "teal").save(picture, "PNG")
    stream: dict[str, Any] = {"output_type": "stream", "name": "stdout", "text": ["loss 0.25\n"]}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Training\n", "How the *model* was made."]},
        {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": ["train(epochs=3)"], "outputs": [stream]},
    ]
    book = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"language_info": {"name": "python"}}, "cells": cells}
    sheet = io.BytesIO()
    sides = [printed(f"Page {number}") for number in (1, 2, 3)]
    sides[0].save(sheet, "PDF", save_all=True, append_images=sides[1:])
    return {
        "README.md": b"---\nlicense: mit\ntags: [tables, pictures]\n---\n# Specimens\n\nFiles of *many* kinds.\n"
        b"\n| folder | made by |\n| - | - |\n| `tables` | pandas, DuckDB, Arrow |\n"
        b"| `arrays` | NumPy, h5py, safetensors |\n| `models` | gguf, onnx |\n"
        b"\n1. Look inside.\n2. Train.\n",
        "texts/page.html": page.encode(),
        "texts/book.ipynb": json.dumps(book).encode(),
        "texts/config.json": json.dumps({"optimizer": {"name": "adam", "lr": 0.001}, "layers": [64, 32]}).encode(),
        "texts/paper.pdf": sheet.getvalue(),
        "texts/log.txt": b"".join(b"step %d: loss %.4f\n" % (step, 1 / (step + 1)) for step in range(5000)),
        "texts/secret.age": b"age-encryption.org/v1\n-> X25519 abc\n" + bytes(80),
        "texts/unknown.bin": bytes(range(256)) * 4,
        "texts/cut.parquet": b"PAR1" + bytes(600),
    }


def printed(title: str) -> Image.Image:
    """Draw a page of a paper: a title and lines."""
    side = Image.new("RGB", (460, 420), "white")
    pen = ImageDraw.Draw(side)
    pen.text((40, 40), f"On files of many kinds. {title}", fill="black", font_size=22)
    for line in range(14):
        pen.text((40, 90 + 20 * line), "What is not looked at is not known, and trained on all the same.", fill="#333")
    return side


def pictures() -> dict[str, bytes]:
    """Pictures by Pillow: an ordinary one, pages of a TIFF, 16 bit, CMYK, one that moves."""
    rows, columns = np.mgrid[0:300, 0:400]
    waves = np.stack([rows * 0.8, columns * 0.6, 128 + 100 * np.sin(rows / 20) * np.cos(columns / 25)], axis=-1)
    photo = Image.fromarray(waves.clip(0, 255).astype(np.uint8))
    deep = Image.fromarray((rows * 200).astype(np.uint16))
    forms: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "photo.jpg": (photo, {"format": "JPEG"}),
        "photo.png": (photo.transpose(Image.Transpose.ROTATE_180), {"format": "PNG"}),
        "pages.tif": (photo, {"format": "TIFF", "save_all": True, "append_images": [photo.convert("L")]}),
        "deep.tif": (deep, {"format": "TIFF"}),
        "print.jpg": (photo.convert("CMYK"), {"format": "JPEG"}),
        "moving.gif": (photo.quantize(), {"format": "GIF", "save_all": True, "append_images": [photo.quantize(8)]}),
        "small.webp": (photo.resize((80, 60)), {"format": "WEBP"}),
    }
    made = {}
    for name, (image, options) in forms.items():
        sink = io.BytesIO()
        image.save(sink, **options)
        made[f"pictures/{name}"] = sink.getvalue()
    return made


def archives(folder: Path) -> dict[str, bytes]:
    """Archives by Python and the system's tar: a shard of a WebDataset among them."""
    inner = {"000.cls": b"3", "000.jpg": pictures()["pictures/small.webp"], "000.json": b'{"label": "cat"}'}
    shard, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=shard, mode="w") as archive:
        for name, data in inner.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in {**documents(), **arrays()}.items():
            bundle.writestr(f"inside/{name}", data)
    source = folder / "tree"
    (source / "a").mkdir(parents=True)
    (source / "a" / "notes.txt").write_text("by the system's tar\n")
    subprocess.run(["tar", "-czf", str(folder / "system.tar.gz"), "-C", str(source), "."], check=True)
    return {
        "archives/shard-000.tar": shard.getvalue(),
        "archives/files.zip": packed.getvalue(),
        "archives/system.tar.gz": (folder / "system.tar.gz").read_bytes(),
    }


def noise() -> bytes:
    """Make a film of 10 s that browsers play, and some megabytes long: it isn't read at once."""
    shades = np.random.default_rng(1).integers(0, 255, (10, 120, 160, 3), dtype=np.uint8)
    return film([shades[number % 10] for number in range(100)])


def waves() -> bytes:
    """Make a film of 3 s in which something is to be seen."""
    rows, columns = np.mgrid[0:180, 0:320]
    shades = [128 + 100 * np.sin(rows / 16 + number / 4) * np.cos(columns / 24) for number in range(30)]
    frames = [np.stack([shade, rows + 40, columns * 0.6], axis=-1) for shade in shades]
    return film([frame.clip(0, 255).astype(np.uint8) for frame in frames])


def film(frames: list[npt.NDArray[np.uint8]]) -> bytes:
    """Encode 10 frames a second as VP8 in WebM."""
    sink = io.BytesIO()
    with av.open(sink, "w", format="webm") as container:
        stream = container.add_stream("libvpx", rate=10, options={"deadline": "realtime", "cpu-used": "8"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())
    return sink.getvalue()
