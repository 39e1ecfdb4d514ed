"""Tables that are awkward: in other formats, with values that contradict their column, very wide, with huge cells."""

from __future__ import annotations

import gzip
import io
import json
import warnings
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from pyarrow import feather, ipc

from datasets_app.previews.base import Ask, PreviewError
from datasets_app.previews.process import run_preview
from datasets_app.previews.registry import recognise
from datasets_app.templatetags.display import count
from tests.previews.test_kinds import Bytes, page

ROWS = [["1", "one"], ["2", "two"]]
TABLE = pa.table({"x": [1, 2], "y": ["one", "two"]})
RECORDS = [{"x": 1, "y": "one"}, {"x": 2, "y": "two"}]
LINES = b"".join(json.dumps(record).encode() + b"\n" for record in RECORDS)
ARRAY = json.dumps(RECORDS).encode()


def arrow_file(table: pa.Table, rows: int = 1000) -> bytes:
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return sink.getvalue()


def arrow_stream() -> bytes:
    sink = io.BytesIO()
    with ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    return sink.getvalue()


def feather_1() -> bytes:
    sink = io.BytesIO()
    with warnings.catch_warnings():
        # It is going to be removed; people have such files all the same.
        warnings.simplefilter("ignore")
        feather.write_feather(TABLE, sink, version=1)
    return sink.getvalue()


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def packed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.arrow", arrow_file(TABLE)),
        ("data-00000-of-00001.arrow", arrow_stream()),
        ("a.feather", feather_1()),
        ("a.json", LINES),
        ("a.json.gz", gzip.compress(LINES)),
        ("a.json.gz", gzip.compress(ARRAY)),
        ("a.json.zst", packed(ARRAY)),
        ("a.jsonl.zst", packed(LINES)),
        ("a.csv", "x,y\n1,one\n2,two\n".encode("utf-16")),
        ("a.csv", "x,y\n1,one\n2,two\n".encode("utf-32")),
    ],
    ids=["arrow", "stream", "feather 1", "lines", "gz lines", "gz array", "zst array", "jsonl", "utf-16", "utf-32"],
)
def test_formats(name: str, data: bytes) -> None:
    shown = page(data, name)
    assert shown.data["rows"] == ROWS
    assert [column["name"] for column in shown.data["columns"]] == ["x", "y"]


@pytest.mark.parametrize("data", [b'{"a": 1}', b'{\n "a": [\n  {"b": 1}\n ]\n}\n', b"[1, 2]", b'{"a": 1}\n2\n'])
def test_other_json_is_no_table(data: bytes) -> None:
    for name, raw in (("a.json", data), ("a.json.gz", gzip.compress(data))):
        kind = recognise(raw, name)
        assert kind is None or kind.name != "table"


def test_rows_of_arrow_are_counted_without_reading_them() -> None:
    batches = [pa.table({"x": list(range(50_000)), "y": ["words and words"] * 50_000})] * 20
    reader = Bytes(arrow_file(pa.concat_tables(batches), 50_000))
    shown = page(reader, "a.arrow")
    assert dict(shown.facts)["Rows"] == "1\N{NARROW NO-BREAK SPACE}000\N{NARROW NO-BREAK SPACE}000"
    assert reader.taken < reader.size / 3


def test_lines_that_are_left_out_are_counted() -> None:
    shown = page(b"x,y\n1,one\n7\n8,9,10\n2,two\n", "a.csv")
    assert shown.data["rows"] == ROWS
    assert "2 of those that were read" in shown.notes[0]
    assert page(b"x,y\n1,one\n", "a.csv").notes == []


MANY = 200_000


def awkward(encoding: str = "utf-8") -> bytes:
    """A CSV whose first value that is no number comes after 1 MiB, and whose text needs its encoding."""
    lines = [f"{number},Größe" for number in range(MANY)]
    return "\n".join(["x,y", *lines, "none,Straße", ""]).encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16", "utf-32"])
def test_a_late_page_of_a_csv_with_a_contradicting_value(encoding: str) -> None:
    shown = page(awkward(encoding), "a.csv", page=str(MANY // 100 + 1))
    assert shown.data["rows"] == [["none", "Straße"]]
    assert "shown as text" in shown.notes[0]
    assert page(awkward(encoding), "a.csv").data["rows"][0] == ["0", "Größe"]


def test_statistics_and_sql_of_a_csv_with_a_contradicting_value() -> None:
    shown = page(awkward(), "a.csv", view="statistics")
    assert dict(shown.data["statistics"][0]["facts"])["Last"] == "none"
    shown = page(awkward(), "a.csv", view="sql", sql="SELECT count(*), max(x) FROM data")
    assert (shown.data["rows"], shown.data["error"]) == ([[str(MANY + 1), "none"]], "")
    assert "shown as text" in shown.notes[0]


def test_a_late_byte_that_is_no_utf_8() -> None:
    data = b"x\n" + b"word\n" * MANY + b"Gr\xf6\xdfe\n"
    shown = page(data, "a.csv", page=str(MANY // 100 + 1))
    assert shown.data["rows"] == [["Gr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e"]]


def test_lines_of_mixed_types() -> None:
    shown = page(b'{"x": 1}\n{"x": "one"}\n{"x": null, "y": [1]}\n', "a.jsonl")
    assert shown.data["rows"] == [["1", None], ["one", None], [None, "[1]"]]
    assert "shown as text" in shown.notes[0]
    shown = page(b'[{"x": 1}, {"x": "one"}]', "a.json")
    assert shown.data["rows"] == [["1"], ["one"]]
    assert "shown as text" in shown.notes[0]


def test_lines_with_fields_that_come_later() -> None:
    line = b'{"x": 1, "text": "%s"}\n' % (b"w" * 1000)
    early = line * 5000 + b'{"x": 2, "late": "new"}\n'
    shown = page(early, "a.jsonl", page="51")
    assert shown.data["rows"] == [["2", None, "new"]]
    # Beyond what is searched for fields.
    shown = page(line * 9000 + b'{"x": 2, "late": "new"}\n', "a.jsonl", page="91")
    assert shown.data["rows"] == [["2", None]]
    assert "appear only later" in " ".join(shown.notes)


def test_a_broken_line_is_named() -> None:
    with pytest.raises(PreviewError, match="Line 2 is no JSON object"):
        page(b'{"a": 1}\nno\n', "a.jsonl")


SIGNS = pa.table({"text": ["50%", "500", "a_b", "aXb"], "n": [1, 2, 3, None]})


@pytest.mark.parametrize(
    ("column", "op", "value", "rows"),
    [
        ("text", "has", "0%", ["50%"]),
        ("text", "has", "a_b", ["a_b"]),
        ("text", "has", "AX", ["aXb"]),
        ("n", "lt", "2", ["50%"]),
        ("n", "gt", "1.5", ["500", "a_b"]),
        ("n", "null", "", ["aXb"]),
        ("text", "ne", "500", ["50%", "a_b", "aXb"]),
    ],
)
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_filters(form: str, column: str, op: str, value: str, rows: list[str]) -> None:
    data = parquet(SIGNS) if form == "parquet" else b"text,n\n50%,1\n500,2\na_b,3\naXb,\n"
    shown = page(data, f"a.{form}", column=column, op=op, value=value)
    assert [row[0] for row in shown.data["rows"]] == rows
    assert shown.data["filter_problem"] == ""


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_a_value_that_cannot_be_compared_is_said_beside_the_table(form: str) -> None:
    data = parquet(SIGNS) if form == "parquet" else b"text,n\n50%,1\n500,2\n"
    shown = page(data, f"a.{form}", column="n", op="lt", value="abc")
    assert "abc can't be compared with the values of n" in shown.data["filter_problem"]
    assert shown.data["filter"] == {"column": "n", "op": "lt", "value": "abc"}
    assert shown.data["rows"][0] == ["50%", "1"]


def facts(data: bytes, name: str) -> dict[str, dict[str, Any]]:
    found = page(data, name, view="statistics").data["statistics"]
    return {one["name"]: {**dict(one["facts"]), "bars": one["bars"], "common": one["common"]} for one in found}


def test_statistics_of_every_type() -> None:
    start = date(2024, 1, 1)
    table = pa.table(
        {
            "n": pa.array([*range(100), 7, None], pa.int64()),
            "label": pa.array([f"{'ab' * (1 + number % 3)}{number:02}" for number in range(100)] + ["ab00", None]),
            "day": pa.array([start + timedelta(days=number) for number in range(100)] + [start, None]),
            "time": pa.array(
                [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(101)] + [None],
                pa.timestamp("ns", "UTC"),
            ),
            "kind": pa.array([["cat", "dog"][number % 2] for number in range(101)] + [None]).dictionary_encode(),
        }
    )
    found = facts(parquet(table), "a.parquet")
    numbers = found["n"]
    expected = {
        "Values": "101",
        "Empty": "1 (1.0 %)",
        "Distinct": "100",
        "Least": "0",
        "Quarter": "24",
        "Median": "49",
        "Three quarters": "74",
        "Largest": "99",
        "Mean": "49.08",
        "Deviation": "29.03",
    }
    assert {name: numbers[name] for name in expected} == expected
    assert (len(numbers["bars"]), sum(bar["count"] for bar in numbers["bars"])) == (20, 101)
    # Also of numbers with many distinct values.
    assert numbers["common"] == [{"value": "7", "count": 2, "percent": 2.0}]
    label = found["label"]
    assert (label["Values"], label["First"], label["Last"]) == ("101", "ab00", "ababab98")
    assert label["Characters"] == "4 to 8, mean 5.96"
    assert label["common"][0]["value"] == "ab00"
    day = found["day"]
    assert (day["First"], day["Last"], day["Distinct"]) == ("2024-01-01", "2024-04-09", "100")
    assert sum(bar["count"] for bar in day["bars"]) == 101
    assert (day["bars"][0]["from"], day["bars"][-1]["to"]) == ("2024-01-01", "2024-04-09")
    assert sum(bar["count"] for bar in found["time"]["bars"]) == 101
    assert found["time"]["bars"][0]["from"] == "2024-01-01 00:00:00"
    assert found["kind"]["common"][0] == {"value": "cat", "count": 51, "percent": 50.5}
    assert found["kind"]["Characters"] == "3 to 3, mean 3"


def test_names_that_the_queries_use_themselves() -> None:
    found = facts(b"n,v,bin\n1,a,5\n1,b,6\n2,b,6\n", "a.csv")
    assert [found[name]["common"][0]["count"] for name in ("n", "v", "bin")] == [2, 2, 2]
    assert sum(bar["count"] for bar in found["bin"]["bars"]) == 3


def test_a_very_wide_table_opens() -> None:
    columns = 20_000
    row = pa.array([1.0, 2.0])
    data = parquet(pa.table([row] * columns, names=[f"c{number}" for number in range(columns)]), compression="none")
    for options in ({}, {"view": "statistics"}, {"sort": "-c7"}, {"column": "c7", "op": "gt", "value": "1"}):
        shown = page(data, "a.parquet", **options)
        assert dict(shown.facts)["Columns"] == count(columns)
        if "view" not in options:
            assert len(shown.data["rows"][0]) == 200
            assert shown.data["left_out_columns"] == columns - 200


@pytest.mark.parametrize("is_dictionary", [True, False])
def test_cells_of_a_megabyte(is_dictionary: bool) -> None:  # noqa: FBT001 - of the test's cases
    # In one row group of 1,000 rows, in pages of 16; with a dictionary, the file itself is small.
    values = pa.array(["words " * 175_000] * 1000, pa.large_string())
    table = pa.table({"n": range(1000), "text": values})
    data = parquet(table, use_dictionary=is_dictionary, write_batch_size=16)
    for options in ({}, {"page": "10"}):
        shown = page(data, "a.parquet", **options)
        assert len(shown.data["rows"]) == 100
        assert shown.data["rows"][0][1].startswith("words words")
    notes = page(data, "a.parquet", view="statistics").notes
    assert "first" in notes[0]


def test_a_nested_column_is_not_compared() -> None:
    data = parquet(pa.table({"list": [[1], [2]]}))
    shown = run_preview("table", Bytes(data), Ask("a.parquet", options={"column": "list", "op": "lt", "value": "x"}))
    assert shown.data["filter_problem"]  # type: ignore[union-attr] # a page


@pytest.mark.parametrize("view", ["", "statistics"])
def test_a_column_without_a_name(view: str) -> None:
    # As pandas writes an index.
    shown = page(b",n,word\n0,5,b\n1,6,a\n", "a.csv", view=view)
    assert shown.notes == []
    if view:
        assert [one["name"] for one in shown.data["statistics"]] == ["", "n", "word"]
    else:
        assert shown.data["rows"] == [["0", "5", "b"], ["1", "6", "a"]]
        assert page(b",n,word\n0,5,b\n1,6,a\n", "a.csv", sort="word").data["rows"][0] == ["1", "6", "a"]


def test_names_that_differ_in_case_only_are_different_columns() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"A": [1, 2, 3], "a": [30, 10, 20], "": [0, 0, 0]}), sink)
    shown = page(sink.getvalue(), "a.parquet", sort="a")
    assert shown.data["rows"] == [["2", "10", "0"], ["3", "20", "0"], ["1", "30", "0"]]
    shown = page(sink.getvalue(), "a.parquet", column="a", op="gt", value="15")
    assert [row[1] for row in shown.data["rows"]] == ["30", "20"]
    second = page(sink.getvalue(), "a.parquet", view="statistics").data["statistics"][1]
    assert dict(second["facts"])["Largest"] == "30"


@pytest.mark.parametrize("before", [0, 100_000], ids=["at once", "later"])
def test_a_cell_of_megabytes(before: int) -> None:
    rows = b"".join(b"%d,short\n" % number for number in range(before))
    data = b"n,text\n" + rows + b"-1," + b"x" * 3_000_000 + b"\n-2,end\n"
    shown = page(data, "a.csv", sort="n" if not before else "text", column="n", op="has", value="-")
    assert [row[0] for row in shown.data["rows"]] in (["-2", "-1"], ["-1", "-2"])
    assert not shown.data["filter_problem"]


def test_whole_numbers_that_no_column_holds_are_text() -> None:
    shown = page(json.dumps([{"n": 2**100}, {"n": 1}]).encode(), "a.json")
    assert shown.data["rows"] == [[str(2**100)], ["1"]]
    assert "shown as text" in shown.notes[0]


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_numbers_of_types_that_duckdb_does_not_know(form: str) -> None:
    halves = pa.array([[1.5, 2.5], None, [0.25, 3]], pa.list_(pa.float16(), 2))
    pair = pa.array([{"h": 1.5}, None, {"h": 2}], pa.struct([("h", pa.float16())]))
    wide = pa.array([Decimal("1.25"), None, Decimal("3.5")], pa.decimal256(50, 2))
    columns = {
        "h": pa.array([0.5, None, 2.5], pa.float16()),
        "vector": halves,
        "pair": pair,
        "wide": wide,
        "n": [1, 2, 3],
    }
    table = pa.table(columns)
    sink = io.BytesIO()
    if form == "parquet":
        pq.write_table(table, sink)
    data, name = (sink.getvalue(), "a.parquet") if form == "parquet" else (arrow_file(table), "a.arrow")
    assert [row[4] for row in page(data, name, sort="-h").data["rows"]] == ["3", "1", "2"]
    assert [row[4] for row in page(data, name, column="wide", op="gt", value="2").data["rows"]] == ["3"]
    facts = dict(page(data, name, view="statistics").data["statistics"][0]["facts"])
    assert facts["Mean"] == "1.5"
    found = page(data, name, view="sql", sql="SELECT sum(h), max(vector), max(pair.h) FROM data").data
    assert (found["error"], found["rows"]) == ("", [["3.0", "[1.5, 2.5]", "2.0"]])
