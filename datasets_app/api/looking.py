"""Routes that look into a version: which files fit a search, two files side by side, and SQL over its tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from ninja import Path, Query, Router, Schema
from pydantic import Field

from datasets_app.api.auth import ApiRequest
from datasets_app.api.files import EntryAnswer
from datasets_app.api.schemas import Answer, Body, Page
from datasets_app.errors import Unavailable
from datasets_app.services.file_comparing import ask_tables, compare_files, find_pair
from datasets_app.services.overlaps import find_overlap
from datasets_app.services.searching import PAGE_FILES, Search, find_files_page
from datasets_app.services.version_names import find_named_version
from datasets_app.services.versions import find_version

router = Router()
# What every database can compare a size with.
MOST_SIZE = 2**63 - 1
Size = Annotated[int, Field(ge=0, le=MOST_SIZE)]


class SearchQuery(Schema):
    """What to look for; all that is given must fit.

    `q` is a part of the name (`cat_01`), a part of the path (`train/cat`), or a pattern (`*.jpg`, `a/**/cat_0?.png`),
    in which capital letters count. `suffix` is an ending without its dot. Sizes are in bytes.
    """

    q: str = Field("", max_length=500)
    suffix: str = Field("", max_length=50)
    least_size: Size | None = None
    most_size: Size | None = None
    cursor: str | None = None
    limit: int = PAGE_FILES


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


class SharedFileAnswer(Answer):
    """A file that both versions have, byte for byte. `size` is in bytes."""

    path: str
    other_path: str
    size: int


class OverlapAnswer(Answer):
    """How many files (and bytes) of the version the other one has too, with up to 200 of them.

    While a worker compares large versions, `state` is "comparing" and the figures are null: ask again.
    """

    state: Literal["compared", "comparing"]
    files: int | None
    size: int | None
    examples: list[SharedFileAnswer]


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
    "/{number}/search", response=Page[EntryAnswer], operation_id="search_files", summary="Find files", url_name="search"
)
def search(
    request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], wanted: Query[SearchQuery]
) -> Page[EntryAnswer]:
    """Return one page of the files of a version that fit, folder by folder; without a condition, of all its files."""
    version = find_version(request.auth, team=team, dataset=name, number=number)
    asked = Search(wanted.q, wanted.suffix, wanted.least_size, wanted.most_size)
    page = find_files_page(request.auth, version=version, search=asked, cursor=wanted.cursor, limit=wanted.limit)
    return Page[EntryAnswer](items=[EntryAnswer.of(row) for row in page.items], next_cursor=page.next_cursor)


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
    """Compare a file with the file `other` (default: the same path) of version `to`.

    `to` is a number or label, or `evaluation@3`, `team/evaluation@3` of another dataset.
    """
    old_version = find_version(request.auth, team=team, dataset=name, number=number)
    new_version = find_named_version(request.auth, team=team, dataset=name, wanted=to)
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


@router.get(
    "/{number}/overlap",
    response=OverlapAnswer,
    operation_id="find_overlap",
    summary="Shared files",
    url_name="find_overlap",
)
def overlap(request: ApiRequest, team: Path[str], name: Path[str], number: Path[str], other: str) -> OverlapAnswer:
    """Tell which files another version has too, whatever their names; empty files don't count.

    `other` is `evaluation` (its newest version), `evaluation@3`, or `team/evaluation@3` of another team of yours.
    """
    version = find_version(request.auth, team=team, dataset=name, number=number)
    found = find_overlap(request.auth, version=version, other=find_named_version(request.auth, team=team, wanted=other))
    if found is None:
        return OverlapAnswer(state="comparing", files=None, size=None, examples=[])
    examples = [SharedFileAnswer(path=ours, other_path=theirs, size=size) for ours, theirs, size in found.examples]
    return OverlapAnswer(state="compared", files=found.files, size=found.size, examples=examples)


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
