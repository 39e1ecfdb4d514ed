"""What every table is, whatever its format: a schema, and rows as a stream of Arrow's record batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from datasets_app.previews.base import PreviewError, figure

# Opens the stream of batches again; with a number, of the first so many columns where others can be left out.
Opener = Callable[[int | None], Iterator[Any]]


@dataclass(slots=True)
class Tally:
    """What was noticed while the rows were last read."""

    # Lines that have more or fewer values than there are columns.
    skipped: int = 0
    # Values of fields that the columns don't have.
    lost: int = 0
    # Why a value doesn't fit its column's type; "" as long as all do.
    contradiction: str = ""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A table: `rows` where the file tells it. `batches` streams all of it, again at each call."""

    format: str
    schema: Any
    rows: int | None
    opener: Opener
    # Opens the same rows with every column as text, for formats whose types are guessed.
    as_text: Callable[[], TableFile] | None = None
    # Streams batches from a row on (of so many columns), for formats that needn't read those before.
    opener_from: Callable[[int, int], Iterator[Any]] | None = None
    # The file, where it is one of Parquet.
    parquet: Any = None
    # The same, opened by pyarrow.
    parquet_file: Any = None
    tally: Tally = field(default_factory=Tally)
    # What is to be said of the table from the start.
    remarks: tuple[str, ...] = ()

    def batches(self, columns: int | None = None) -> Iterator[Any]:
        """Stream record batches from the beginning, of the first `columns` columns or of all.

        PreviewError, and a contradiction in the tally, when a value is not of its column's type.
        """
        return self._watched(self.opener(columns), columns)

    def slice(self, start: int, count: int, columns: int) -> Any:  # noqa: ANN401 - a pyarrow.Table
        """Read `count` rows of the first columns from row `start`; of Parquet only the row groups that hold them."""
        import pyarrow as pa

        source, at = self.opener(columns), 0
        if self.opener_from is not None:
            source, at = self.opener_from(start, columns), start
        taken: list[Any] = []
        missing = count
        for batch in self._watched(source, columns):
            part = batch.slice(max(start - at, 0), missing)
            if part.num_rows:
                taken.append(part)
            at, missing = at + batch.num_rows, missing - part.num_rows
            if missing <= 0:
                break
        return pa.Table.from_batches(taken, schema=self.part_schema(columns))

    def _watched(self, batches: Iterator[Any], columns: int | None) -> Iterator[Any]:
        from pyarrow import ArrowInvalid

        self.tally.skipped = self.tally.lost = 0
        try:
            for batch in batches:
                yield batch if columns is None else batch.select(list(range(min(columns, batch.num_columns))))
        except ArrowInvalid as error:
            self.tally.contradiction = str(error).split("\n")[0]
            raise PreviewError(f"A later value is not of its column's type: {self.tally.contradiction}") from None

    def part_schema(self, columns: int) -> Any:  # noqa: ANN401 - a pyarrow.Schema
        """Return the schema of the first columns."""
        import pyarrow as pa

        return pa.schema([self.schema.field(number) for number in range(min(columns, len(self.schema)))])

    def notes(self) -> list[str]:
        """Say what was noticed, once rows were read."""
        found = list(self.remarks)
        if self.tally.skipped:
            found.append(
                f"Lines left out, since they don't have as many values as there are columns: "
                f"{figure(self.tally.skipped)} of those that were read."
            )
        if self.tally.lost:
            found.append(f"Fields that appear only later in the file are left out ({figure(self.tally.lost)} values).")
        return found
