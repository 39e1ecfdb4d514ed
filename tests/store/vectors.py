"""The published test vectors, as Python values."""

import json
from pathlib import Path
from typing import Any

import datasets_app.store

_published: dict[str, Any] = json.loads((Path(datasets_app.store.__file__).parent / "vectors.json").read_text("utf-8"))

# name, contents by path, digest
VERSIONS: list[tuple[str, dict[str, bytes], str]] = [
    (item["name"], {path: text.encode() for path, text in item["files"].items()}, item["digest"])
    for item in _published["versions"]
]
ACCEPTED: list[str] = _published["accepted_paths"]
# path, why
REFUSED: list[tuple[str, str]] = [(item["path"], item["why"]) for item in _published["refused_paths"]]
