"""The page of files that are lists of things: tensors, fields, entries. previews/listing.html shows them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from datasets_app.previews.base import shown


def section(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numbers: Sequence[int] = (),
    left_out: int = 0,
) -> dict[str, Any]:
    """Make a titled table; `numbers` are the columns that are aligned to the right."""
    return {
        "title": title,
        "columns": list(columns),
        "rows": [[shown(value) for value in row] for row in rows],
        "numbers": list(numbers),
        "left_out": left_out,
    }


def grid(title: str, values: Any) -> dict[str, Any]:  # noqa: ANN401 - a numpy array of one or two dimensions
    """Make a table of an array's first values."""
    rows = values.reshape(1, -1) if values.ndim < 2 else values  # noqa: PLR2004
    columns = ["row", *map(str, range(rows.shape[1]))]
    drawn = [[str(number), *map(_value, row)] for number, row in enumerate(rows)]
    return section(title, columns, drawn, numbers=range(1, len(columns)))


def _value(value: Any) -> str:  # noqa: ANN401 - a numpy scalar
    return f"{value:.6g}" if getattr(value.dtype, "kind", "") == "f" else shown(value, 40)
