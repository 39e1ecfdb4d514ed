"""Tables: a page of rows at once; sorted, filtered and asked by SQL through DuckDB; statistics of each column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews import table_statistics
from datasets_app.previews.base import MOST_COLUMNS, PAGE_ROWS, Ask, Kind, Preview, figure, shown
from datasets_app.previews.table_files import TEXT_FORMATS, open_table, table_format
from datasets_app.previews.table_footer import describe_footer
from datasets_app.previews.table_sql import answer_query, cells, columns_of, connect, is_number, places_of, source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets_app.previews.base import Reader
    from datasets_app.previews.table_base import TableFile

# Words of the page, the condition in SQL, and whether it takes a value.
OPERATORS: Final = {
    "eq": ("is", "{column}::VARCHAR = ?", True),
    "ne": ("is not", "{column}::VARCHAR <> ?", True),
    "has": ("contains", "contains(lower({column}::VARCHAR), lower(?))", True),
    "lt": ("less than", "{column} < ?", True),
    "gt": ("greater than", "{column} > ?", True),
    "null": ("is empty", "{column} IS NULL", False),
    "full": ("is not empty", "{column} IS NOT NULL", False),
}


class TableKind(Kind):
    """CSV, TSV, JSON Lines and arrays, Parquet, Arrow and Feather; the text kinds also packed by gzip and zstd."""

    name: ClassVar[str] = "table"
    label: ClassVar[str] = "Table"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask magic and name."""
        return table_format(head, name) != ""

    def is_text(self, head: bytes, name: str) -> bool:
        """Ask the format."""
        return table_format(head, name) in TEXT_FORMATS

    def cheaper(self, ask: Ask) -> list[tuple[Mapping[str, str], str]]:
        """Give the rows as they are in the file, where others were asked for; at last the columns."""
        schema = "These are its columns, and the first rows of those that take little memory."
        pages: list[tuple[Mapping[str, str], str]] = [({"view": "schema", "with": "rows"}, schema)]
        wanted = {"sort": "sorted", "column": "filtered"}
        left_out = [word for option, word in wanted.items() if ask.options.get(option)]
        if left_out and not ask.options.get("view"):
            rows = {"page": ask.options["page"]} if "page" in ask.options else {}
            pages.insert(0, (rows, f"These are its rows as they are in the file, not {' and not '.join(left_out)}."))
        return pages

    def show(self, reader: Reader, ask: Ask) -> Preview:
        """Show a page of rows; with the option `view`, the schema, statistics or the answer to a query in SQL."""
        table = open_table(reader, ask.name)
        try:
            page = self._show(table, ask)
        except Exception:
            if table.as_text is None or not table.tally.contradiction:
                raise
        else:
            # SQL answers with the words of whatever stopped it.
            if table.as_text is None or not table.tally.contradiction:
                return page
        page = self._show(table.as_text(), ask)
        reason = " ".join(table.tally.contradiction.split())[:200]
        note = f"Every column is shown as text, since not all values fit a narrower type: {reason}"
        page.notes.insert(0, note)
        return page

    def _show(self, table: TableFile, ask: Ask) -> Preview:
        view = ask.options.get("view", "")
        facts = [("Format", table.format), ("Columns", figure(len(table.schema)))]
        if table.rows is not None:
            facts.append(("Rows", figure(table.rows)))
        notes: list[str] = []
        if view == "statistics":
            data, notes = table_statistics.measure(table)
        elif view == "schema":
            data, notes = describe_footer(table, with_rows=ask.options.get("with") == "rows")
            if data.get("groups"):
                facts.append(("Row groups", data["groups"]))
        elif view == "sql":
            data = answer_query(source_of(table), ask.options.get("sql", ""))
        else:
            data = _page(table, ask)
        data |= {
            "view": view or "rows",
            "all_columns": table.schema.names[:MOST_COLUMNS],
            "operators": [(key, words) for key, (words, _, _) in OPERATORS.items()],
            "sql": ask.options.get("sql", "SELECT * FROM data LIMIT 100"),
        }
        return Preview(_media_type(table.format), facts=facts, data=data, notes=[*notes, *table.notes()])


def _page(table: TableFile, ask: Ask) -> dict[str, Any]:
    page = ask.number("page", 1, least=1, most=10**9)
    start = (page - 1) * PAGE_ROWS
    order, where, values = _choices(table, ask)
    rows, problem = None, ""
    if order or where:
        rows, problem = _chosen(table, f"{where} {order} LIMIT {PAGE_ROWS + 1} OFFSET {start}", values, ask)
    if rows is None:
        rows = table.slice(start, PAGE_ROWS + 1, MOST_COLUMNS)
    return {
        "columns": columns_of(table.schema),
        "rows": cells(rows.slice(0, PAGE_ROWS)),
        "first": start + 1,
        "page": page,
        "has_more": rows.num_rows > PAGE_ROWS,
        "sort": ask.options.get("sort", ""),
        "filter": {name: ask.options.get(name, "") for name in ("column", "op", "value")},
        "filter_problem": problem,
        "left_out_columns": max(0, len(table.schema) - MOST_COLUMNS),
    }


def _chosen(table: TableFile, choice: str, values: list[str], ask: Ask) -> tuple[Any, str]:
    """Return the rows that fit, or None and a sentence where the value can't be compared with the column."""
    import duckdb

    places = places_of(table.schema)
    connection = connect()
    connection.register("data", source_of(table))
    try:
        typed = _typed(table, values, ask)
        wanted, known = ", ".join(places[:MOST_COLUMNS]), ", ".join(places)
        query = f"SELECT {wanted} FROM data AS data({known}) {choice}"  # noqa: S608 - names of our own
        return connection.execute(query, typed).to_arrow_table(), ""
    except (duckdb.ConversionException, duckdb.BinderException, ValueError):
        if not values:
            raise
        column = ask.options.get("column", "")
        kind = shown(_type_of(table, column), 60)
        return None, (
            f"{shown(values[0], 60)} can't be compared with the values of {shown(column, 60)}, which are {kind}: "
            f"all rows are shown."
        )


def _typed(table: TableFile, values: list[str], ask: Ask) -> list[Any]:
    """Give SQL a number to compare numbers with: it would round the text 1.5 to compare it with whole ones."""
    if ask.options.get("op") not in {"lt", "gt"} or not is_number(_type_of(table, ask.options["column"])):
        return values
    return [int(value) if value.strip().lstrip("+-").isdecimal() else float(value) for value in values]


def _type_of(table: TableFile, column: str) -> Any:  # noqa: ANN401 - a pyarrow.DataType
    # The first one of that name.
    return table.schema.field(table.schema.names.index(column)).type


def _choices(table: TableFile, ask: Ask) -> tuple[str, str, list[str]]:
    """Turn the page's options into ORDER BY, WHERE and its values."""
    # The first one of each name, which may be empty: so pandas writes an index to a CSV.
    places = dict(zip(reversed(table.schema.names), reversed(places_of(table.schema)), strict=True))
    sort = ask.options.get("sort", "")
    order = ""
    if sort and sort.removeprefix("-") in places:
        order = f"ORDER BY {places[sort.removeprefix('-')]} {'DESC' if sort.startswith('-') else 'ASC'} NULLS LAST"
    column, operator = ask.options.get("column", ""), ask.options.get("op", "")
    if column not in places or operator not in OPERATORS:
        return order, "", []
    _, condition, has_value = OPERATORS[operator]
    values = [ask.options.get("value", "")] if has_value else []
    return order, f"WHERE {condition.format(column=places[column])}", values


def _media_type(name: str) -> str:
    return {
        "Parquet": "application/vnd.apache.parquet",
        "Arrow": "application/vnd.apache.arrow.file",
        "Arrow stream": "application/vnd.apache.arrow.stream",
        "CSV": "text/csv",
        "TSV": "text/tab-separated-values",
        "JSON Lines": "application/x-ndjson",
        "JSON array": "application/json",
    }.get(name, "application/octet-stream")
