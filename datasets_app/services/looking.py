"""Look into the files of a tree for its summary: many at a time in one sandboxed process, a glance at each."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from datasets_app.errors import AppError
from datasets_app.models import Blob, Pack
from datasets_app.previews.base import Ask, Preview, PreviewError
from datasets_app.services.counting import TESTING, TRAINING
from datasets_app.services.findings import note
from datasets_app.services.previewing import BlobReader, survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from datasets_app.services.walking import WalkedFile

BATCH_FILES: Final = 200
# Of files up to 16 MiB, which may be read whole; of larger ones only parts are.
BATCH_BYTES: Final = 256 * 2**20
READ_WHOLE: Final = 16 * 2**20
MOST_SCHEMAS: Final = 30
MOST_SERIES: Final = 300
MOST_SHAPES: Final = 4
MOST_SIZES: Final = 200
SHOWN_COLUMNS: Final = 50
SHOWN_DIFFERENCES: Final = 4
# Upper bounds of the longer side, in pixels.
SIDES: Final = (64, 128, 256, 512, 1024, 2048, 4096)
_SPLIT: Final = re.compile(rf"(?<![a-z])(?:{'|'.join((*TRAINING, *TESTING))})(?![a-z])", re.IGNORECASE)
_DIGITS: Final = re.compile(r"\d+")


class JoinedReader:
    """Many blobs back to back as one file for previews."""

    def __init__(self, files: Sequence[WalkedFile]) -> None:
        self._files = files
        self._starts: list[int] = []
        self.size = 0
        for file in files:
            self._starts.append(self.size)
            self.size += file.size
        self._open: tuple[int, BlobReader] | None = None

    def read(self, offset: int, length: int) -> bytes:
        """Give at most `length` bytes from `offset`; the survey never asks beyond a file's end."""
        number = self._find(offset)
        if self._open is None or self._open[0] != number:
            self._open = (number, BlobReader(_blob(self._files[number])))
        return self._open[1].read(offset - self._starts[number], length)

    def _find(self, offset: int) -> int:
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._starts[middle] <= offset else (low, middle)
        return low


def _blob(file: WalkedFile) -> Blob:
    pack = Pack(key=file.pack_key)
    return Blob(pk=file.blob_id, sha256=file.sha256, size=file.size, pack=pack, offset=file.offset)


def batches(files: Iterator[tuple[int, WalkedFile]]) -> Iterator[list[tuple[int, WalkedFile]]]:
    """Gather (number, file) pairs into what one process looks into."""
    batch: list[tuple[int, WalkedFile]] = []
    size = 0
    for pair in files:
        batch.append(pair)
        size += min(pair[1].size, READ_WHOLE)
        if len(batch) == BATCH_FILES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def glance_at(files: Sequence[WalkedFile]) -> list[dict[str, Any]]:
    """Look into files that are not empty. Where that kills the process, into fewer; one alone is to blame."""
    ask = Ask("survey", options={"files": json.dumps([(file.path, file.size) for file in files])})
    try:
        answer = survey(JoinedReader(files), ask)
    except PreviewError as error:
        problem = str(error)
    except AppError as error:
        problem = error.detail
    else:
        found: list[dict[str, Any]] = answer.data["files"] if isinstance(answer, Preview) else []
        return found
    if len(files) == 1:
        return [{"kind": "", "problem": problem, "is_lost": True}]
    half = len(files) // 2
    return glance_at(files[:half]) + glance_at(files[half:])


def take_in(state: dict[str, Any], path: str, glance: dict[str, Any]) -> None:
    """Add what one file showed to the state, a JSON object whose size has a bound."""
    findings = state.setdefault("findings", {})
    state["looked"] = state.get("looked", 0) + 1
    if problem := glance.get("problem"):
        note(findings, "unreadable", path, problem)
    if glance.get("kind") == "encrypted":
        note(findings, "encrypted", path)
    if secrets := glance.get("secrets"):
        note(findings, "secrets", path, ", ".join(f"{label} in line {line:,}" for label, line in secrets))
    personal = [f"{count:,} x {label}" for label, count in (glance.get("personal") or {}).items()]
    if glance.get("has_place"):
        personal.append("the place where the picture was taken")
    if personal:
        note(findings, "personal", path, ", ".join(personal))
    if glance.get("licence"):
        state.setdefault("licences", {}).setdefault(path, glance["licence"])
    if "width" in glance:
        _take_picture(state.setdefault("images", {}), glance)
    elif "seconds" in glance and not glance.get("problem"):
        media = state.setdefault("video" if glance["is_film"] else "audio", {"count": 0, "seconds": 0})
        media["count"] += 1
        media["seconds"] += glance["seconds"]
    elif "columns" in glance:
        _take_table(state.setdefault("tables", {}), path, glance)


def _take_picture(images: dict[str, Any], glance: dict[str, Any]) -> None:
    width, height = glance["width"], glance["height"]
    images["count"] = images.get("count", 0) + 1
    images["pixels"] = images.get("pixels", 0) + width * height
    for name, choose in (("least", min), ("most", max)):
        sides = (tuple(images.get(name, (width, height))), (width, height))
        images[name] = choose(sides, key=lambda side: side[0] * side[1])
    side = next((bound for bound in SIDES if max(width, height) <= bound), 0)
    sides_seen = images.setdefault("sides", {})
    sides_seen[str(side)] = sides_seen.get(str(side), 0) + 1
    sizes = images.setdefault("sizes", {})
    key = f"{width} x {height}"
    if key in sizes or len(sizes) < MOST_SIZES:
        sizes[key] = sizes.get(key, 0) + 1


def _take_table(tables: dict[str, Any], path: str, glance: dict[str, Any]) -> None:
    """Count a table by its schema, and by the series that it is one of: `part-001.parquet` of `part-#.parquet`."""
    rows = glance.get("rows")
    tables["count"] = tables.get("count", 0) + 1
    tables["rows"] = tables.get("rows", 0) + (rows or 0)
    tables["uncounted"] = tables.get("uncounted", 0) + (rows is None)
    mark = hashlib.sha256(json.dumps([glance["columns"], glance["column_count"]]).encode()).hexdigest()[:16]
    schemas = tables.setdefault("schemas", {})
    if mark not in schemas:
        if len(schemas) >= MOST_SCHEMAS:
            tables["more_schemas"] = True
            return
        columns = glance["columns"][:SHOWN_COLUMNS]
        schemas[mark] = {"columns": columns, "column_count": glance["column_count"], "example": path}
        schemas[mark] |= {"count": 0, "rows": 0, "uncounted": 0}
    schema = schemas[mark]
    schema["count"] += 1
    schema["rows"] += rows or 0
    schema["uncounted"] += rows is None
    series = tables.setdefault("series", {})
    name = _DIGITS.sub("#", _SPLIT.sub("*", path))
    if name in series or len(series) < MOST_SERIES:
        shapes = series.setdefault(name, {})
        if mark in shapes or len(shapes) < MOST_SHAPES:
            shape = shapes.setdefault(mark, {"count": 0, "paths": []})
            shape["count"] += 1
            if len(shape["paths"]) < 10:  # noqa: PLR2004 - examples
                shape["paths"].append(path)


def compare_schemas(state: dict[str, Any], findings: dict[str, Any]) -> None:
    """Find series of tables that don't agree on their columns; those that most files have are taken as right."""
    tables = state.get("tables", {})
    for shapes in tables.get("series", {}).values():
        if len(shapes) < 2:  # noqa: PLR2004
            continue
        usual, *others = sorted(shapes, key=lambda mark: -shapes[mark]["count"])
        right = tables["schemas"][usual]
        for mark in others:
            detail = _differences(tables["schemas"][mark], right)
            for path in shapes[mark]["paths"]:
                note(findings, "schemas", path, detail, count=0)
            findings["schemas"]["count"] += shapes[mark]["count"]


def _differences(schema: dict[str, Any], right: dict[str, Any]) -> str:
    """Say how columns differ from those of most siblings."""
    mine, usual = dict(schema["columns"]), dict(right["columns"])
    words = [f"lacks {name}" for name in usual if name not in mine]
    words += [f"also has {name}" for name in mine if name not in usual]
    words += [
        f"{name} is {kind}, not {usual[name]}" for name, kind in mine.items() if name in usual and usual[name] != kind
    ]
    if not words:
        words = ["the columns are in another order" if list(mine) != list(usual) else "other columns far to the right"]
    more = f", and {len(words) - SHOWN_DIFFERENCES} more" if len(words) > SHOWN_DIFFERENCES else ""
    return f"{', '.join(words[:SHOWN_DIFFERENCES])}{more}; unlike {right['example']}"
