"""Which listed objects become files of the version, and at which path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from datasets_app.services.staged import legal_path
from datasets_app.services.validation import invalid_field
from datasets_app.sources.base import Cause
from datasets_app.store.paths import InvalidPath, normalise

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datasets_app.sources.base import SourceFile
    from datasets_app.store.patterns import Patterns


class Refusal(NamedTuple):
    """An object that can't be a file of the version, whatever is tried."""

    key: str
    reason: str
    path: str = ""
    cause: str = Cause.INVALID


@dataclass(slots=True)
class Placed:
    """A page of a listing: `files` by their paths in the version, how many are none of ours, and what is refused."""

    files: dict[str, SourceFile] = field(default_factory=dict)
    skipped: int = 0
    refused: list[Refusal] = field(default_factory=list)


def clean_prefix(prefix: str) -> str:
    """Normalise the folder that the contents go into; empty for the root. Raises Invalid."""
    trimmed = prefix.strip().strip("/")
    if not trimmed:
        return ""
    try:
        return normalise(trimmed)
    except InvalidPath as error:
        raise invalid_field("prefix", error.reason) from error


def place_files(files: Iterable[SourceFile], *, patterns: Patterns, prefix: str, limit: int) -> Placed:
    """Give every wanted object its path below `prefix`, of at most `limit` bytes.

    Patterns are asked first, so that what has no legal path can be left out by one.
    """
    placed = Placed()
    for file in files:
        if _is_folder_marker(file) or not patterns.takes(file.path):
            placed.skipped += 1
            continue
        try:
            path = legal_path(f"{prefix}/{file.path}" if prefix else file.path, limit=limit)
        except InvalidPath as error:
            placed.refused.append(Refusal(printable(file.key), error.reason))
            continue
        reason = _refusal(file, placed.files.get(path))
        if reason:
            placed.refused.append(Refusal(printable(file.key), reason, path))
        else:
            placed.files[path] = file
    return placed


def printable(text: str) -> str:
    """Make a store's spelling something that every database takes: no NUL, no lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def same_path(other_key: str) -> str:
    """Say that two keys would become one file."""
    return f"This would be the same file as {other_key}: the names differ only in how Unicode spells them."


def _is_folder_marker(file: SourceFile) -> bool:
    """Tell whether it stands for a folder, as consoles make them: an empty object whose key ends with a slash."""
    return file.size == 0 and (file.path == "" or file.path.endswith("/"))


def _refusal(file: SourceFile, other: SourceFile | None) -> str:
    if file.problem:
        return file.problem
    if file.size > settings.UPLOAD_MAX_BYTES:
        return f"It has {file.size} bytes; this server takes files of at most {settings.UPLOAD_MAX_BYTES}."
    return same_path(printable(other.key)) if other is not None else ""
