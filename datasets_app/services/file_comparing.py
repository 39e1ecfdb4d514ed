"""Compare two files side by side, and ask many tables of a version at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from datasets_app.errors import Invalid, NotFound
from datasets_app.permissions import require
from datasets_app.previews.base import Ask, Preview
from datasets_app.previews.registry import TOGETHER, modality, recognise
from datasets_app.services.browsing import find_file
from datasets_app.services.previewing import answer_together, read_head
from datasets_app.services.searching import PAGE_FILES, Search, search_files
from datasets_app.services.validation import invalid_field

if TYPE_CHECKING:
    from datasets_app.models import File, User, Version

MOST_TABLES: Final = 200


@dataclass(frozen=True, slots=True)
class FileComparison:
    """What differs between two files: `form` is "equal", "image", "table", "text" or "bytes"; `data` is that form's.

    Where no comparison could be made, `problem` is a sentence that says why.
    """

    old: File
    new: File
    form: str
    data: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


def compare_files(actor: User, *, old: File, new: File, form: str = "", key: str = "") -> FileComparison:
    """Compare two files that the actor may read: pictures are left to the eye, the others to a process of its own.

    `form` asks for "text" or "bytes" instead of what the files are; `key` is the column that rows of tables meet by.
    """
    del actor  # whoever has the rows may read them
    if old.blob_id == new.blob_id:
        return FileComparison(old, new, "equal")
    kinds = [recognise(read_head(file), file.name) for file in (old, new)]
    if not form and all(kind is not None and kind.name == "image" for kind in kinds):
        return FileComparison(old, new, "image")
    options = {"other": new.name.lower(), "with": new.blob.hex, "as": form, "key": key[:200]}
    ask = Ask(old.name.lower(), options={name: value for name, value in options.items() if value})
    answer = answer_together([old.blob, new.blob], TOGETHER["comparison"], ask)
    if isinstance(answer, Preview):
        data = dict(answer.data)
        return FileComparison(old, new, str(data.pop("form")), data, answer.notes)
    return FileComparison(old, new, "bytes", problem=str(answer))


def find_pair(actor: User, *, version: Version, path: str, other: Version, other_path: str = "") -> tuple[File, File]:
    """Find the file at `path` in `version`, and the one at `other_path` (default: the same path) in `other`."""
    old = find_file(actor, version=version, path=path)
    return old, find_file(actor, version=other, path=other_path or path)


@dataclass(frozen=True, slots=True)
class TablesAnswer:
    """The answer to a query over the tables at `paths`; `problem` is a sentence where there is none."""

    paths: list[str]
    page: Preview | None = None
    problem: str = ""


def ask_tables(actor: User, *, version: Version, files: str, sql: str) -> TablesAnswer:
    """Answer one SELECT over the table `data`: all tables of the version whose path fits the glob `files`.

    Invalid when nothing, no table, or more than 200 tables fit.
    """
    require(actor, "version.view", version)
    if not files.strip():
        return TablesAnswer([])
    paths = _find_tables(actor, version, files.strip().strip("/"))
    if not sql.strip():
        return TablesAnswer(paths)
    blobs = [find_file(actor, version=version, path=path).blob for path in paths]
    digests = hashlib.sha256("".join(blob.hex for blob in blobs).encode()).hexdigest()
    ask = Ask("", options={"paths": "\n".join(paths), "sql": sql[:10_000], "with": digests})
    answer = answer_together(blobs, TOGETHER["joined_tables"], ask)
    if isinstance(answer, Preview):
        return TablesAnswer(paths, answer)
    return TablesAnswer(paths, problem=str(answer))


def _find_tables(actor: User, version: Version, pattern: str) -> list[str]:
    if not set(pattern) & set("*?["):
        try:
            find_file(actor, version=version, path=pattern)
        except NotFound as error:
            raise invalid_field("files", error.detail) from None
        return [pattern]
    paths: list[str] = []
    page = 1
    while True:
        found = search_files(actor, version=version, search=Search(text=pattern), page=page)
        paths += [entry.path for entry in found.items if _is_table(entry.name)]
        if len(paths) > MOST_TABLES or page * PAGE_FILES > 100 * MOST_TABLES:
            raise Invalid(
                f"More than {MOST_TABLES} tables fit {pattern}. Make the pattern narrower.",
                errors=[{"field": "files", "detail": f"At most {MOST_TABLES} tables are asked at once."}],
            )
        if not found.has_more:
            break
        page += 1
    if not paths:
        raise invalid_field("files", f"No table of {version.label} fits {pattern}.")
    return sorted(paths)


def _is_table(name: str) -> bool:
    return modality(name) == "table"
