"""A glance at many files in one process: what they are, what is wrong with them, what should not be in them."""

from __future__ import annotations

import io
import json
import random
import zipfile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from datasets_app.previews.base import Ask, MemoryReader, Preview
from datasets_app.previews.process import run_preview
from datasets_app.previews.sensitive import count_personal, find_secrets
from datasets_app.previews.survey import SurveyKind, glance, is_licence


def survey(files: dict[str, bytes]) -> list[dict[str, Any]]:
    ask = Ask("survey", options={"files": json.dumps([(name, len(data)) for name, data in files.items()])})
    page = run_preview("survey", MemoryReader(b"".join(files.values())), ask)
    assert isinstance(page, Preview)
    found: list[dict[str, Any]] = page.data["files"]
    return found


def picture(kind: str = "PNG", **options: Any) -> bytes:
    sink = io.BytesIO()
    Image.effect_noise((60, 40), 50).convert("RGB").save(sink, kind, **options)
    return sink.getvalue()


def table(columns: dict[str, list[Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_it_works() -> None:
    place = Image.Exif()
    place.get_ifd(0x8825)[1] = "N"
    files = {
        "a.png": picture(),
        "b.jpg": picture("JPEG", exif=place),
        "t.parquet": table({"id": [1, 2, 3]}),
        "t.csv": b"a,b\n1,2\n3,4\n",
        "README.md": b"---\nlicense: mit\n---\nHello\n",
        "LICENSE": b"Apache License\nVersion 2.0\n",
    }
    png, jpeg, parquet, csv, readme, licence = survey(files)
    assert (png["kind"], png["width"], png["height"], png["has_place"]) == ("image", 60, 40, False)
    assert jpeg["has_place"]
    assert (parquet["columns"], parquet["rows"]) == ([["id", "int64"]], 3)
    assert (csv["columns"], csv["rows"]) == ([["a", "int64"], ["b", "int64"]], 2)
    assert (readme["licence"], licence["licence"]) == ("mit", "Apache-2.0")
    assert not any("problem" in one for one in (png, jpeg, parquet, csv, readme, licence))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("cut.png", picture()[:-40], "ends too early"),
        ("cut.jpg", picture("JPEG")[:-40], "ends too early"),
        ("text.jpg", b"no picture at all", "Named like a picture"),
        ("noise.wav", b"RIFF\x00\x00\x00\x00WAVEjunk", "decoded"),
        ("cut.parquet", table({"id": [1, 2, 3]})[:-6], "can't be read"),
        ("broken.json", b'{"a": [1, 2', "no JSON"),
        ("cut.zip", b"PK\x03\x04" + bytes(60), "damaged"),
        ("cut.pdf", b"%PDF-1.7\n1 0 obj\n", "ends too early"),
    ],
)
def test_broken_files_are_told(name: str, data: bytes, words: str) -> None:
    assert words in glance(MemoryReader(data), name)["problem"]


def test_no_bytes_make_it_raise() -> None:
    chance = random.Random(7)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", b"1")
    whole = {
        "a.png": picture(),
        "a.jpg": picture("JPEG"),
        "a.parquet": table({"id": [1]}),
        "a.csv": b"a,b\n1,2\n",
        "a.zip": archive.getvalue(),
        "a.jsonl": b'{"a": 1}\n',
    }
    for name, data in whole.items():
        for _ in range(8):
            raw = bytearray(data)
            for _ in range(8):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
            cut = bytes(raw[: chance.randrange(1, len(raw) + 1)])
            assert isinstance(glance(MemoryReader(cut), name), dict)


def test_it_recognises_nothing_itself() -> None:
    assert not SurveyKind().recognises(b"", "")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ("id = AKIAIOSFODNN7EXAMQLE", "AWS access key"),
        ("token: ghp_" + "a1B2" * 9, "GitHub token"),
        ("glpat-abcdefghij0123456789", "GitLab token"),
        ("hf_" + "aB3d" * 9, "Hugging Face token"),
        ("AIza" + "a" * 35, "Google API key"),
        ("postgres://ada:s3cr3t-word@db.internal/x", "address with a password"),
        ('"password": "8f2kd93jf7ak20dk3"', "password or key"),
        ("SECRET_KEY=wJalrXUtnFEMIK7MDENGbPxRfiCY", "password or key"),
    ],
)
def test_secrets_are_named_with_their_line(text: str, label: str) -> None:
    assert find_secrets(f"first\n{text}\nlast") == [(label, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "the password is secret",
        "password = get_password()",
        "secret: ${{ secrets.TOKEN_OF_THE_BUILD }}",
        "sk-learn, task-oriented, risk-averse",
        "https://example.org/a:b@c",
        "hf_hub_download(repo_id)",
    ],
)
def test_plain_words_are_no_secrets(text: str) -> None:
    assert find_secrets(text) == []


def test_personal_data_is_counted_where_check_digits_fit() -> None:
    text = "ada@lab.org, you@example.com, +49 30 901820, DE89 3702 0044 0532 0130 00, DE88370400440532013000"
    assert count_personal(text + " DE89370400440532013000, 078-05-1120, 4111 1111 1111 1111") == {
        "e-mail address": 1,
        "phone number": 1,
        "bank account (IBAN)": 1,
        "payment card": 1,
        "social security number": 1,
    }
    chance = random.Random(1)
    numbers = "\n".join(f"{chance.random()},{chance.randrange(10**15, 10**16)},1e+1234567" for _ in range(500))
    assert count_personal(numbers) == {}


def test_licence_names() -> None:
    assert [is_licence(name) for name in ("LICENSE", "a/Licence.txt", "LICENSE-MIT", "COPYING", "UNLICENSE")] == [
        True
    ] * 5
    assert [is_licence(name) for name in ("license_plates.csv", "licensed.txt", "LICENSE.py")] == [False] * 3
