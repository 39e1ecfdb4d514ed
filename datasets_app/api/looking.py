"""Routes that look into files of a version: two side by side, and SQL over its tables."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Path, Router

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body
from datasets_app.errors import Unavailable
from datasets_app.services.file_comparing import ask_tables, compare_files, find_pair
from datasets_app.services.versions import find_version

router = Router()


class ComparisonAnswer(Answer):
    """What differs between two files. `data` depends on `form`; it is null for equal files and for pictures.

    Of text: rows of [kind, old line number, old parts, new line number, new parts], `added`, `removed`. Of tables:
    `columns`, `key`, `counts`, and up to 100 `rows` of each kind. Of bytes: `first`, where they begin to differ.
    """

    form: Literal["equal", "image", "table", "text", "bytes"]
    old_sha256: str
    new_sha256: str
    notes: list[str]
    data: dict[str, Any] | None


class QueryPayload(Body):
    """One SELECT over the table `data`: the tables whose path fits `files`, a glob or the path of one."""

    files: str
    sql: str


class ColumnAnswer(Answer):
    """A column of an answer, with its Arrow type where there are rows."""

    name: str
    type: str


class QueryAnswer(Answer):
    """At most 1,000 rows of texts; null is a missing value. `truncated` when there are more."""

    files: list[str]
    columns: list[ColumnAnswer]
    rows: list[list[str | None]]
    truncated: bool
    error: str


@router.get(
    "/{number}/compare/{path:path}",
    response=ComparisonAnswer,
    operation_id="compare_files",
    summary="Compare two files",
    url_name="compare_files",
)
def compare(  # noqa: PLR0913 - one argument for each part of the URL and its query
    request: ApiRequest,
    *,
    team: Path[str],
    name: Path[str],
    number: Path[str],
    path: Path[str],
    to: str,
    other: str = "",
    form: Literal["", "table", "text", "bytes"] = "",
    key: str = "",
) -> ComparisonAnswer:
    """Compare a file with the file `other` (default: the same path) of version `to`."""
    old_version = find_version(request.auth, team=team, dataset=name, number=number)
    new_version = find_version(request.auth, team=team, dataset=name, number=to)
    old, new = find_pair(request.auth, version=old_version, path=path, other=new_version, other_path=other)
    found = compare_files(request.auth, old=old, new=new, form=form, key=key)
    if found.problem:
        raise Unavailable(found.problem)
    return ComparisonAnswer(
        form=found.form,  # type: ignore[arg-type] # the service gives these words alone
        old_sha256=old.blob.hex,
        new_sha256=new.blob.hex,
        notes=found.notes,
        data=found.data or None,
    )


@router.post(
    "/{number}/sql", response=QueryAnswer, operation_id="query_tables", summary="Ask tables", url_name="query_tables"
)
def query(
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], payload: QueryPayload
) -> QueryAnswer:
    """Answer one read-only SELECT by DuckDB, without files, network or extensions. `error` is what DuckDB refuses."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    found = ask_tables(request.auth, version=version, files=payload.files, sql=payload.sql)
    if found.page is None:
        if found.problem:
            raise Unavailable(found.problem)
        return QueryAnswer(files=found.paths, columns=[], rows=[], truncated=False, error="")
    data = found.page.data
    columns = [ColumnAnswer(name=one["name"], type=one.get("type", "")) for one in data["columns"]]
    return QueryAnswer(
        files=found.paths,
        columns=columns,
        rows=data["rows"],
        truncated=bool(data.get("is_cut")),
        error=data["error"],
    )
