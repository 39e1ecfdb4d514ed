"""What an import would bring, before anything is copied."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from datasets_app.permissions import require
from datasets_app.services.connections import PATH_LENGTH, REVISION_LENGTH, open_source
from datasets_app.services.import_known import find_known
from datasets_app.services.import_paths import Refusal, clean_prefix, place_files
from datasets_app.services.staged import most_path_bytes
from datasets_app.services.validation import invalid_field
from datasets_app.store.patterns import Patterns, clean_patterns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.models import Connection, User

# Where a listing goes on beyond this, the preview says "at least".
MOST_FILES: Final = 20_000
MOST_SECONDS: Final = 8.0
SHOWN: Final = 20


@dataclass(slots=True)
class ImportPreview:
    """Files and bytes that an import would bring; at least so many, unless `is_whole`.

    `first_paths` are those in the version; of `stored_files` no bytes would move. `problems` are the first of
    `problem_count` objects that can't be imported. `revision` is what the import would be pinned to.
    """

    files: int = 0
    size: int = 0
    skipped_files: int = 0
    is_whole: bool = False
    first_paths: list[tuple[str, int]] = field(default_factory=list)
    stored_files: int = 0
    stored_size: int = 0
    problem_count: int = 0
    problems: list[Refusal] = field(default_factory=list)
    revision: str = ""


def preview_import(  # noqa: PLR0913 - one argument for each field of the form
    actor: User,
    *,
    connection: Connection,
    source_path: str,
    revision: str = "",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    prefix: str = "",
) -> ImportPreview:
    """List what an import would bring, for some seconds at most. Raises SourceError, and Invalid for a bad pattern."""
    require(actor, "connection.use", connection)
    for name, text, most in (("source_path", source_path, PATH_LENGTH), ("revision", revision, REVISION_LENGTH)):
        if len(text) > most:
            raise invalid_field(name, f"This has {len(text):,} characters; at most {most:,} fit.")
    patterns = Patterns(
        include=clean_patterns(include, field="include"), exclude=clean_patterns(exclude, field="exclude")
    )
    folder = clean_prefix(prefix)
    until = time.monotonic() + MOST_SECONDS
    tree = open_source(connection).open(source_path, revision=revision)
    preview = ImportPreview(revision=tree.revision)
    seen = 0
    for page in tree.list_files():
        placed = place_files(page.files, patterns=patterns, prefix=folder, limit=most_path_bytes())
        known = find_known(connection, source_path, placed.files)
        preview.files += len(placed.files)
        preview.size += sum(file.size for file in placed.files.values())
        preview.skipped_files += placed.skipped
        preview.stored_files += len(known)
        preview.stored_size += sum(placed.files[path].size for path in known)
        preview.problem_count += len(placed.refused)
        preview.problems += placed.refused[: SHOWN - len(preview.problems)]
        for path, file in placed.files.items():
            if len(preview.first_paths) == SHOWN:
                break
            preview.first_paths.append((path, file.size))
        seen += len(page.files)
        if seen >= MOST_FILES or time.monotonic() > until:
            return preview
    preview.is_whole = True
    return preview
