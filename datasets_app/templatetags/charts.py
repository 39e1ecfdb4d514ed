"""Charts of bytes over time, drawn on the server as SVG, each with its figures in a table: `{% load charts %}`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from django import template

from datasets_app.models import SpaceSample, StorageSample
from datasets_app.templatetags.display import filesize_text

register = template.Library()

WIDTH, HEIGHT = 1000, 240


class Band(NamedTuple):
    """One layer of the stack: what it is called, its CSS class, and the corners of its area."""

    name: str
    css: str
    corners: str


class Row(NamedTuple):
    """A line of the table: when, and bytes, one for each column."""

    when: dt.date | dt.datetime
    sizes: tuple[int, ...]


@register.inclusion_tag("components/chart.html")
def space_chart(samples: Sequence[SpaceSample], title: str) -> dict[str, object]:
    """Draw what a team or a dataset stored, day by day."""
    rows = [Row(s.day, (s.live_size, s.open_size, s.trash_size, s.logical_size)) for s in samples]
    bands = (("Versions", "is-live"), ("Not sealed yet", "is-open"), ("Trash only", "is-trash"))
    return _draw(title, rows, bands, ("Size of all versions",))


@register.inclusion_tag("components/chart.html")
def storage_chart(samples: Sequence[StorageSample], title: str) -> dict[str, object]:
    """Draw what the whole installation stored, collection by collection."""
    rows = [Row(s.at, (max(0, s.pack_size - s.unused_size), s.unused_size, s.logical_size)) for s in samples]
    return _draw(title, rows, (("In use", "is-live"), ("Reclaimable", "is-trash")), ("Size of all versions",))


def _draw(title: str, rows: list[Row], bands: Sequence[tuple[str, str]], more: Sequence[str]) -> dict[str, object]:
    """Stack the first columns of the rows; the columns `more` are in the table alone."""
    peak = max((sum(row.sizes[: len(bands)]) for row in rows), default=0)
    top = _round_up(peak)
    return {
        "title": title,
        "width": WIDTH,
        "height": HEIGHT,
        "bands": _stack(rows, bands, top),
        "scale": [filesize_text(top), filesize_text(top // 2), "0"],
        "first": rows[0].when if rows else None,
        "last": rows[-1].when if rows else None,
        "peak": peak,
        "names": [*(name for name, _ in bands), *more],
        "rows": _changes(rows),
    }


def _stack(rows: list[Row], bands: Sequence[tuple[str, str]], top: int) -> list[Band]:
    if not rows:
        return []
    # A single figure is drawn as a level line.
    points = [rows[0], *rows] if len(rows) == 1 else rows
    begin, span = _moment(rows[0]), _moment(rows[-1]) - _moment(rows[0])
    places = [0, WIDTH] if not span else [round(WIDTH * (_moment(row) - begin) / span, 1) for row in points]
    if len(places) != len(points):
        points = [points[0], points[-1]]
    below = [0] * len(points)
    drawn = []
    for index, (name, css) in enumerate(bands):
        above = [base + row.sizes[index] for base, row in zip(below, points, strict=True)]
        upper = [f"{x},{_level(size, top)}" for x, size in zip(places, above, strict=True)]
        lower = [f"{x},{_level(size, top)}" for x, size in zip(places, below, strict=True)]
        drawn.append(Band(name, css, " ".join([*upper, *reversed(lower)])))
        below = above
    return drawn


def _level(size: int, top: int) -> float:
    return round(HEIGHT - HEIGHT * size / top, 1)


def _moment(row: Row) -> float:
    if isinstance(row.when, dt.datetime):
        return row.when.timestamp()
    return float(row.when.toordinal())


def _round_up(size: int) -> int:
    """Return the next of 2, 3, 5, 10, 20, 30, .. bytes."""
    power = 1
    while True:
        for step in (2, 3, 5, 10):
            if size <= step * power:
                return step * power
        power *= 10


def _changes(rows: list[Row]) -> list[Row]:
    """Leave out what is as it was before, the newest first; the ends stay."""
    last = len(rows) - 1
    kept = [row for i, row in enumerate(rows) if i in {0, last} or row.sizes != rows[i - 1].sizes]
    return kept[::-1]
