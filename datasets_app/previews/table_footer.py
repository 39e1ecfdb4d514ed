"""What a table tells of itself without its values: columns and types; of Parquet also what its footer says of them.

Row groups may be of any size, and so may the pages in them, which can only be unpacked whole. Where those asked for are
too large for a preview, this is what can be shown, with the first values of the columns that are small enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from datasets_app.previews.base import MIB, MOST_COLUMNS, PAGE_ROWS, bytes_text, figure, shown
from datasets_app.previews.table_sql import cells, columns_of

if TYPE_CHECKING:
    from datasets_app.previews.table_base import TableFile

# Of the columns whose values are shown all the same, in the first row group: each, and all together.
MOST_COLUMN: Final = 16 * MIB
MOST_TOGETHER: Final = 96 * MIB
# Row groups whose statistics are read.
MOST_GROUPS: Final = 2000


def describe_footer(table: TableFile, *, with_rows: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the page's data, and what is to be said of it; `with_rows` adds first rows of small columns."""
    schema = table.part_schema(MOST_COLUMNS)
    columns: list[dict[str, Any]] = [{"name": field.name, "type": shown(field.type, 200)} for field in schema]
    left_out = max(0, len(table.schema) - MOST_COLUMNS)
    data: dict[str, Any] = {"described": columns, "columns": [], "rows": [], "left_out_columns": left_out}
    file = table.parquet_file
    if file is None or not file.metadata.num_row_groups:
        return data, []
    about = file.metadata
    groups = [about.row_group(number) for number in range(min(about.num_row_groups, MOST_GROUPS))]
    leaves = _leaves(about, {column["name"] for column in columns})
    for column in columns:
        column.update(_measure(groups, leaves.get(column["name"], [])))
    data |= {"is_measured": True, "groups": _groups(about, groups)}
    light = _light(groups[0], leaves, [column["name"] for column in columns]) if with_rows else []
    if light:
        batch = next(file.iter_batches(PAGE_ROWS, row_groups=[0], columns=light, use_threads=False), None)
        if batch is not None:
            data |= {"columns": columns_of(batch.schema), "rows": cells(batch)}
    notes = []
    if about.num_row_groups > MOST_GROUPS:
        notes.append(f"Sizes and statistics are those of the first {figure(MOST_GROUPS)} row groups.")
    return data, notes


def _leaves(about: Any, names: set[str]) -> dict[str, list[int]]:  # noqa: ANN401 - a FileMetaData
    """Tell which stored columns make up each column of the table."""
    found: dict[str, list[int]] = {}
    first = about.row_group(0)
    for number in range(first.num_columns):
        path = first.column(number).path_in_schema
        # A dot may belong to the name.
        name = next((path[:end] for end in _ends(path) if path[:end] in names), "")
        found.setdefault(name, []).append(number)
    return found


def _ends(path: str) -> list[int]:
    return [len(path), *(place for place, sign in reversed(list(enumerate(path))) if sign == ".")]


def _measure(groups: list[Any], leaves: list[int]) -> dict[str, Any]:
    stored = unpacked = nulls = 0
    least = most = None
    is_known = len(leaves) == 1
    for group in groups:
        for leaf in leaves:
            chunk = group.column(leaf)
            stored += chunk.total_compressed_size
            unpacked += chunk.total_uncompressed_size
            told = chunk.statistics if is_known else None
            if told is None or not told.has_min_max or not told.has_null_count:
                is_known = False
                continue
            nulls += told.null_count
            least = told.min if least is None else min(least, told.min)
            most = told.max if most is None else max(most, told.max)
    facts: dict[str, Any] = {"stored": bytes_text(stored), "unpacked": bytes_text(unpacked)}
    if is_known:
        facts |= {"nulls": figure(nulls), "least": shown(least, 60), "most": shown(most, 60)}
    return facts


def _groups(about: Any, groups: list[Any]) -> str:  # noqa: ANN401
    largest = max(group.total_byte_size for group in groups)
    return f"{figure(about.num_row_groups)}, the largest of {bytes_text(largest)} unpacked"


def _light(group: Any, leaves: dict[str, list[int]], names: list[str]) -> list[str]:  # noqa: ANN401 - a RowGroupMetaData
    """Choose columns whose values in the first row group take little memory, whatever their pages are like."""
    chosen, together = [], 0
    for name in names:
        size = sum(group.column(leaf).total_uncompressed_size for leaf in leaves.get(name, []))
        if size <= MOST_COLUMN and together + size <= MOST_TOGETHER:
            chosen.append(name)
            together += size
    return chosen
