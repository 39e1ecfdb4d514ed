"""What previews gave, kept on disk by the digest of the bytes: equal bytes are looked into once, whoever owns them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.conf import settings

from datasets_app.previews.base import Preview, Product

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datasets_app.previews.base import Ask

# Grows when a kind gives something else for the same bytes.
FORMAT: Final = 3
# A failure may have been the load of the moment: it is believed this long.
FAILURE_SECONDS: Final = 600


def find(digest: str, kind: str, ask: Ask) -> Preview | Product | str | None:
    """Return what was kept: a page, a product, the words of a failure, or None."""
    path = place_of(digest, kind, ask)
    try:
        raw = path.read_bytes()
        age = time.time() - path.stat().st_mtime
    except OSError:
        return None
    letter, body = raw[:1], raw[1:]
    if letter == b"F":
        return body.decode() if age < FAILURE_SECONDS else None
    # For the trimming: what was used last stays longest.
    with contextlib.suppress(OSError):
        os.utime(path)
    if letter == b"X":
        return Product.from_bytes(body)
    return Preview.from_json(body)


def keep(digest: str, kind: str, ask: Ask, answer: Preview | Product | str) -> None:
    """Keep an answer; a full disk is no reason to fail."""
    if isinstance(answer, Product):
        raw = b"X" + answer.to_bytes()
    elif isinstance(answer, Preview):
        raw = b"P" + answer.to_json()
    else:
        raw = b"F" + answer.encode()
    path = place_of(digest, kind, ask)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
        Path(name).replace(path)


def place_of(digest: str, kind: str, ask: Ask) -> Path:
    """Return the file that keeps an answer; the name counts too, since it tells the language of code."""
    about = json.dumps([FORMAT, kind, ask.name, ask.part, sorted(ask.options.items())]).encode()
    return Path(settings.PREVIEWS_DIR) / digest[:2] / f"{digest}-{hashlib.sha256(about).hexdigest()[:24]}"


def trim() -> int:
    """Remove what was not used for longest, down to PREVIEWS_CACHE_BYTES; return the bytes freed."""
    files = sorted(_files())
    kept, freed = sum(size for _, size, _ in files), 0
    for _, size, path in files:
        if kept <= settings.PREVIEWS_CACHE_BYTES:
            break
        path.unlink(missing_ok=True)
        kept, freed = kept - size, freed + size
    return freed


def _files() -> Iterator[tuple[float, int, Path]]:
    for folder, _, names in os.walk(settings.PREVIEWS_DIR):
        for name in names:
            path = Path(folder) / name
            with contextlib.suppress(OSError):
                facts = path.stat()
                yield facts.st_mtime, facts.st_size, path
