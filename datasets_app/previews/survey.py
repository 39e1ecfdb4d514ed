"""Look into many files in one process, a glance at each: dimensions, duration, schema, damage, secrets.

The files lie back to back in one Reader; the option `files` has their names and sizes. A file that crashes the decoder
takes the process with it: the caller then asks for fewer.
"""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import MIB, Ask, Kind, Preview, PreviewError, as_file, shown
from datasets_app.previews.images import open_image, tell_place
from datasets_app.previews.markdown import split_front_matter
from datasets_app.previews.packing import GZIP, ZSTD
from datasets_app.previews.plain import decode_text
from datasets_app.previews.registry import modality, recognise
from datasets_app.previews.sensitive import count_personal, find_secrets
from datasets_app.previews.table_files import open_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from datasets_app.previews.base import Reader

HEAD_BYTES: Final = 64 * 1024
# How much of a text is searched for what should not be there.
SEARCHED_BYTES: Final = 256 * 1024
# Larger text tables, and packed ones, are not read to their end to count rows; larger JSON is not checked.
COUNTED_BYTES: Final = 16 * MIB
COUNTED_PACKED: Final = 4 * MIB
CHECKED_JSON: Final = 8 * MIB
CHECKED_ZIP: Final = 512 * MIB
TAIL_BYTES: Final = 64 * 1024
MOST_COLUMNS: Final = 100
# What the bytes of files with such names have to be recognised as.
_EXPECTED: Final = {
    "image": ("image", "picture"),
    "audio": ("media", "sound"),
    "video": ("media", "film"),
    "table": ("table", "table"),
}
_LICENCE_NAMES: Final = re.compile(r"(?:un)?licen[cs]e|copying|copyright", re.IGNORECASE)
_LICENCES: Final = (
    ("Apache-2.0", "Apache License"),
    ("MIT", "Permission is hereby granted, free of charge, to any person obtaining a copy"),
    ("GPL", "GNU GENERAL PUBLIC LICENSE"),
    ("LGPL", "GNU LESSER GENERAL PUBLIC LICENSE"),
    ("AGPL", "GNU AFFERO GENERAL PUBLIC LICENSE"),
    ("MPL-2.0", "Mozilla Public License"),
    ("BSD", "Redistribution and use in source and binary forms"),
    ("CC0", "CC0 1.0 Universal"),
    ("CC BY-NC", "Attribution-NonCommercial"),
    ("CC BY-SA", "Attribution-ShareAlike"),
    ("CC BY-ND", "Attribution-NoDerivatives"),
    ("CC BY", "Attribution 4.0"),
    ("ODbL", "Open Database License"),
    ("ODC-BY", "Open Data Commons Attribution"),
    ("PDDL", "Public Domain Dedication"),
    ("Unlicense", "This is free and unencumbered software released into the public domain"),
)


class SurveyKind(Kind):
    """No kind of content: a glance at many files, of any kind. Its page has one entry for each of them, in order."""

    name: ClassVar[str] = "survey"
    label: ClassVar[str] = "Survey"

    def recognises(self, head: bytes, name: str) -> bool:  # noqa: ARG002
        """Say no."""
        return False

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """Look into each file."""
        found, at = [], 0
        for name, size in json.loads(ask.options["files"]):
            found.append(glance(_Part(reader, at, size), name))
            at += size
        return Preview("", data={"files": found})


class _Part:
    """One of the files that lie back to back in a Reader."""

    def __init__(self, reader: Reader, start: int, size: int) -> None:
        self._reader = reader
        self._start = start
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Give at most `length` bytes from `offset`, of this file only."""
        return self._reader.read(self._start + offset, max(0, min(length, self.size - offset)))


def glance(reader: Reader, path: str) -> dict[str, Any]:
    """Tell what a file is, and what is wrong with it (`problem`, a sentence); never raises."""
    name = path.lower()
    found: dict[str, Any] = {}
    try:
        head = reader.read(0, HEAD_BYTES)
        kind = recognise(head, name)
        found["kind"] = kind.name if kind is not None else ""
        wanted = _EXPECTED.get(modality(name))
        if wanted and found["kind"] != wanted[0]:
            found["problem"] = f"Named like a {wanted[1]}, but its bytes are none."
        elif found["kind"] in _GLANCES:
            _GLANCES[found["kind"]](reader, name, found)
        _search(reader, head, path, found)
    except PreviewError as error:
        found["problem"] = str(error)
    except MemoryError:
        found["problem"] = "Looking into it needs more memory than there may be."
    except Exception as error:  # noqa: BLE001 - decoders raise whatever they like at a broken file
        found["problem"] = f"It can't be read: {shown(' '.join(str(error).split()), 160) or type(error).__name__}"
    return found


def _image(reader: Reader, _name: str, found: dict[str, Any]) -> None:
    image = open_image(reader)
    found["width"], found["height"] = image.width, image.height
    if image.format in {"JPEG", "TIFF", "WEBP", "PNG", "MPO"}:
        found["has_place"] = tell_place(image, reader)
    tail = reader.read(max(0, reader.size - TAIL_BYTES), TAIL_BYTES)
    marks = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
    mark = marks.get(image.format or "")
    if mark is not None and mark not in tail[2:]:
        raise PreviewError("The picture ends too early.")
    if image.format == "WEBP" and int.from_bytes(reader.read(4, 4), "little") + 8 > reader.size:
        raise PreviewError("The picture ends too early.")


def _media(reader: Reader, _name: str, found: dict[str, Any]) -> None:
    import av

    av.logging.set_level(None)
    try:
        container = av.open(as_file(reader), mode="r", options={"protocol_whitelist": ""})
    except av.FFmpegError as error:
        raise PreviewError(f"This is no sound and no film that can be decoded: {error.strerror}.") from None
    with container:
        sounds = container.streams.audio
        videos = list(container.streams.video)
        found["is_film"] = bool(videos) and not (sounds and videos[0].frames == 1)
        found["seconds"] = round((container.duration or 0) / 1_000_000, 3)
        if not sounds and not videos:
            raise PreviewError("There is neither sound nor film in it.")


def _table(reader: Reader, name: str, found: dict[str, Any]) -> None:
    table = open_table(reader, name)
    schema = list(table.schema)
    found["columns"] = [[shown(field.name, 80), shown(field.type, 60)] for field in schema[:MOST_COLUMNS]]
    found["column_count"] = len(schema)
    found["rows"] = table.rows
    if table.rows is None:
        packed = reader.read(0, 4).startswith((GZIP, ZSTD))
        if reader.size <= (COUNTED_PACKED if packed else COUNTED_BYTES):
            found["rows"] = sum(batch.num_rows for batch in table.batches())


def _json(reader: Reader, _name: str, _found: dict[str, Any]) -> None:
    if reader.size <= CHECKED_JSON:
        try:
            json.loads(reader.read(0, reader.size))
        except (ValueError, RecursionError) as error:
            raise PreviewError(f"This is no JSON: {shown(error, 160)}") from None


def _archive(reader: Reader, _name: str, found: dict[str, Any]) -> None:
    if reader.read(0, 2) == b"PK" and reader.size <= CHECKED_ZIP:
        try:
            with zipfile.ZipFile(as_file(reader)) as archive:
                found["entries"] = len(archive.infolist())
        except zipfile.BadZipFile as error:
            raise PreviewError(f"The archive is damaged: {shown(error, 120)}") from None


def _pdf(reader: Reader, _name: str, _found: dict[str, Any]) -> None:
    if b"%%EOF" not in reader.read(max(0, reader.size - TAIL_BYTES), TAIL_BYTES):
        raise PreviewError("The document ends too early.")


_GLANCES: Final[dict[str, Callable[[Reader, str, dict[str, Any]], None]]] = {
    "image": _image,
    "media": _media,
    "table": _table,
    "json": _json,
    "notebook": _json,
    "archive": _archive,
    "pdf": _pdf,
}


def _search(reader: Reader, head: bytes, path: str, found: dict[str, Any]) -> None:
    """Search the beginning of a text."""
    if found["kind"] not in {"text", "markdown", "json", "notebook", "table", ""} or decode_text(head) is None:
        return
    raw = reader.read(0, SEARCHED_BYTES) if reader.size > len(head) else head
    decoded = decode_text(raw)
    text = decoded[0] if decoded is not None else raw.decode(errors="replace")
    found["secrets"] = find_secrets(text)
    found["personal"] = count_personal(text)
    found["licence"] = _licence(text, path)


def _licence(text: str, path: str) -> str:
    """Name the licence that a licence file holds, or that a README's front matter names; "" where there is none."""
    name = path.rpartition("/")[2]
    if name.lower().startswith("readme"):
        facts = {label.lower(): value for label, value in split_front_matter(text)[0]}
        return facts.get("license", "") or facts.get("licence", "")
    if not is_licence(path):
        return ""
    return next((label for label, words in _named(text) if words), "of its own")


def _named(text: str) -> Iterator[tuple[str, bool]]:
    beginning = " ".join(text[:4000].split()).lower()
    for label, words in _LICENCES:
        yield label, words.lower() in beginning


def is_licence(path: str) -> bool:
    """Tell by its name whether a file is a licence: LICENSE, LICENCE.txt, COPYING, LICENSE-MIT."""
    name, _, suffix = path.rpartition("/")[2].partition(".")
    plain = re.split(r"[-_ ]", name)[0]
    return bool(_LICENCE_NAMES.fullmatch(plain)) and suffix.lower() in {"", "txt", "md", "rst", "html", "pdf"}
