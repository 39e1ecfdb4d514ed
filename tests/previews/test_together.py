"""What is made of several files: comparisons side by side, and SQL over many tables."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datasets_app.previews.base import Ask, Preview, PreviewError
from datasets_app.previews.process import run_preview
from tests.previews.test_kinds import Bytes, parquet


def compare(old: bytes, new: bytes, name: str, other: str = "", **options: str) -> dict[str, Any]:
    ask = Ask(name, options={"other": other or name, **options})
    shown = run_preview("comparison", Bytes(old), ask, others=[Bytes(new)])
    assert isinstance(shown, Preview)
    return shown.data | {"notes": shown.notes}


def table(**columns: list[Any]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def test_text_by_lines() -> None:
    lines = [f"line {number}" for number in range(100)]
    changed = [*lines[:50], "line 5O", *lines[51:80], "new", *lines[80:-1]]
    found = compare("\n".join(lines).encode(), "\n".join(changed).encode(), "a.txt")
    assert (found["form"], found["added"], found["removed"]) == ("text", 2, 2)
    kinds = [row[0] for row in found["rows"] if row[0] not in {"equal", "skip"}]
    assert kinds == ["changed", "added", "removed"]
    one = next(row for row in found["rows"] if row[0] == "changed")
    assert one[1:] == [51, ["line 5", "0", ""], 51, ["line 5", "O", ""]]
    assert len(found["rows"]) < 30


def test_texts_that_share_nothing_take_no_time() -> None:
    old, new = (b"".join(b"%s %d\n" % (word, n) for n in range(60_000)) for word in (b"a", b"b"))
    found = compare(old, new, "a.txt")
    assert found["is_cut"]
    assert found["is_full"]
    assert len(found["rows"]) == 2000


def test_tables_by_key() -> None:
    old = table(id=[1, 2, 3], label=["cat", "dog", "cow"], gone=[1.0, 2.0, 3.0])
    new = table(id=[2, 3, 4], label=["dog", "ox", "hen"], fresh=[True, False, True])
    found = compare(old, new, "a.parquet")
    assert found["form"] == "table"
    assert {one["name"]: one["kind"] for one in found["columns"]} == {
        "id": "same",
        "label": "same",
        "gone": "removed",
        "fresh": "added",
    }
    assert found["key"] == "id"
    assert dict(map(tuple, found["counts"])) == {"changed": 1, "added": 1, "removed": 1}
    changed, added, removed = found["rows"]
    assert changed["cells"][1] == {"old": "cow", "new": "ox", "is_changed": True}
    assert [cell["new"] for cell in added["cells"]] == ["4", "hen"]
    assert [cell["old"] for cell in removed["cells"]] == ["1", "cat"]


def test_tables_of_other_formats_and_without_a_key() -> None:
    found = compare(b"x,y\n1,a\n1,a\n2,b\n", b'{"x": 1, "y": "a"}\n{"x": 2, "y": "c"}\n', "a.csv", "b.jsonl")
    assert found["form"] == "table"
    assert found["key"] == "x" or found["keys"] == []
    assert dict(map(tuple, found["counts"])) == {"added": 1, "removed": 2}
    assert "no key" in " ".join(found["notes"]) or "No column is a key" in " ".join(found["notes"])


def test_columns_of_types_that_can_not_be_cast() -> None:
    old = table(a=[{"b": [1]}, {"b": [1]}], same=["x", "x"])
    found = compare(old, table(a=["x", "x"], same=["x", "x"]), "a.parquet")
    assert (found["form"], found["keys"]) == ("table", [])
    assert dict(map(tuple, found["counts"])) == {"added": 2, "removed": 2}


def test_a_chosen_key() -> None:
    old, new = b"id,code,v\n1,a,5\n2,b,6\n", b"id,code,v\n7,a,5\n8,b,9\n"
    found = compare(old, new, "a.csv", key="code")
    assert found["keys"] == ["id", "code", "v"]
    assert dict(map(tuple, found["counts"]))["changed"] == 2
    as_text = compare(old, new, "a.csv", **{"as": "text"})
    assert as_text["form"] == "text"
    assert as_text["forms"] == ["table", "text", "bytes"]


def test_other_bytes() -> None:
    old = bytes(100_000)
    new = bytes(70_000) + b"\1" + bytes(29_999)
    found = compare(old, new, "a.bin")
    assert (found["form"], found["first"]) == ("bytes", 70_000)
    assert any("01" in line[1] for line in found["sides"][1])


def test_a_broken_table_is_compared_as_text() -> None:
    found = compare(b'{"a": 1}\nno\n', b'{"a": 2}\n', "a.jsonl")
    assert found["form"] == "text"
    assert "can't be compared as tables" in found["notes"][0]


def ask_sql(files: dict[str, bytes], sql: str) -> tuple[Preview, int]:
    readers = [Bytes(data) for data in files.values()]
    ask = Ask("", options={"paths": "\n".join(files), "sql": sql})
    shown = run_preview("joined_tables", readers[0], ask, others=readers[1:])
    assert isinstance(shown, Preview)
    return shown, sum(reader.taken for reader in readers)


def test_sql_over_many_parquet_files_reads_the_columns_that_it_needs() -> None:
    chance = random.Random(1)
    wide = {
        f"part{n}.parquet": table(n=list(range(1000)), text=[chance.randbytes(500).hex() for _ in range(1000)])
        for n in range(4)
    }
    shown, taken = ask_sql(wide, "SELECT count(*), sum(n) FROM data WHERE n < 10")
    assert shown.data["rows"] == [["40", "180"]]
    assert dict(shown.facts)["Files"] == "4"
    whole = sum(map(len, wide.values()))
    # Twice for a join with itself.
    assert ask_sql(wide, "SELECT count(*) FROM data a JOIN data b USING (n)")[0].data["rows"] == [["16000"]]
    assert taken < whole / 3


def test_sql_over_text_tables_says_where_a_row_is_from() -> None:
    files = {"a/x.csv": b"n,label\n1,one\n", "b/y.jsonl": b'{"n": 2.5, "more": true}\n'}
    shown, _ = ask_sql(files, "SELECT n, label, more, file_path FROM data ORDER BY n")
    assert shown.data["rows"] == [["1.0", "one", None, "a/x.csv"], ["2.5", None, "True", "b/y.jsonl"]]


@pytest.mark.parametrize("sql", ["SELECT * FROM '/etc/passwd'", "COPY data TO '/tmp/x'", "INSTALL httpfs"])
def test_sql_over_many_tables_reaches_nothing_else(sql: str) -> None:
    shown, _ = ask_sql({"a.parquet": parquet(10), "b.parquet": parquet(10)}, sql)
    assert shown.data["rows"] == []
    assert shown.data["error"]


def test_tables_without_a_common_schema_are_refused() -> None:
    with pytest.raises(PreviewError, match="no common schema"):
        ask_sql({"a.parquet": table(x=["a"]), "b.parquet": table(x=[{"y": 1}])}, "SELECT 1")


def test_a_damaged_table_is_named() -> None:
    with pytest.raises(PreviewError, match=r"^b/2\.parquet is no Parquet"):
        ask_sql({"1.parquet": parquet(3), "b/2.parquet": b"PAR1" + bytes(300)}, "SELECT 1")


def test_json_is_compared_as_text() -> None:
    found = compare(json.dumps({"a": 1}).encode(), json.dumps({"a": 2}).encode(), "a.json")
    assert found["form"] == "text"


def test_of_a_large_row_group_only_its_beginning_is_read() -> None:
    sink = io.BytesIO()
    many = 1_000_000
    pq.write_table(pa.table({"n": range(many)}), sink, row_group_size=many, compression="none", use_dictionary=False)
    reader = Bytes(sink.getvalue())
    shown = run_preview("table", reader, Ask("a.parquet"))
    assert isinstance(shown, Preview)
    assert shown.data["rows"][1] == ["1"]
    assert reader.taken < reader.size / 3
