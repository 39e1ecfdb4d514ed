"""What the templates of previews need: lines of code, and HTML that was made from somebody's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import nh3
from django import template
from django.utils.html import escape
from django.utils.safestring import mark_safe

from datasets_app.previews.registry import modality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.utils.safestring import SafeString

register = template.Library()

_TAGS = (
    "a b blockquote br code dd del div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre s span strong sub sup "
    "table tbody td th thead tr ul"
)
_CLASS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


@register.simple_tag
def code_lines(data: Mapping[str, Any]) -> SafeString:
    """Draw numbered lines of (class, text); the numbers are drawn by CSS, so that nobody copies them."""
    drawn = []
    for number, line in enumerate(data["lines"], int(data.get("first_line", 1))):
        words = "".join(_word(kind, text) for kind, text in line)
        drawn.append(
            f'<span class="line" id="L{number}"><a class="ln" href="#L{number}" data-n="{number}" '
            f'aria-label="Line {number}" tabindex="-1"></a>{words}\n</span>'
        )
    return mark_safe("".join(drawn))  # noqa: S308 - every word is escaped


def _word(kind: str, text: str) -> str:
    kind = str(kind)
    return f'<span class="t-{kind}">{escape(text)}</span>' if kind and _CLASS.issuperset(kind) else escape(text)


@register.simple_tag
def plain_lines(data: Mapping[str, Any]) -> SafeString:
    """Draw lines of (class, text) without numbers."""
    drawn = "\n".join("".join(_word(kind, text) for kind, text in line) for line in data["lines"])
    return mark_safe(drawn)  # noqa: S308 - every word is escaped


@register.filter
def folder_of(path: str) -> str:
    """Return the folder that a path lies in."""
    return path.rpartition("/")[0]


@register.filter
def is_picture(name: str) -> bool:
    """Tell by its name whether a file is a picture that stands still."""
    return modality(name) == "image"


@register.filter
def file_name(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


@register.simple_tag
def table_cell(value: str | None, columns: Sequence[Mapping[str, Any]], number: int) -> SafeString:
    """Draw one cell; a page has thousands, for which the template language is too slow."""
    look = ' class="num"' if columns[number].get("is_number") else ""
    text = '<span class="muted">null</span>' if value is None else escape(value)
    return mark_safe(f"<td{look}>{text}</td>")  # noqa: S308 - the value is escaped


@register.filter
def side_bars(sides: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """Make bars of how many pictures have which longer side: height in percent of the highest, and a title."""
    most = max((count for _, count in sides), default=0) or 1
    bars, before = [], 0
    for side, count in sides:
        words = f"{before + 1} to {side} pixels" if side else f"more than {before} pixels"
        bars.append({"height": round(100 * count / most), "title": f"{words}: {count:,}", "count": count})
        before = side
    return bars


@register.simple_tag(takes_context=True)
def safe_html(context: template.Context, html: str) -> SafeString:
    """Sanitise HTML; relative links lead to the version's files, relative pictures to their bytes.

    Context: files_url and api_url of the version, path of the file that the HTML belongs to.
    """
    folder = str(context.get("path", ""))
    here = folder if context.get("is_folder") else folder.rpartition("/")[0]

    def within(value: str) -> str | None:
        parts = urlsplit(value)
        if parts.scheme or parts.netloc or not parts.path or parts.path.startswith("/"):
            return None
        joined = urljoin(f"http://x/{quote(here)}/" if here else "http://x/", parts.path)
        return urlsplit(joined).path.lstrip("/")

    def change(tag: str, name: str, value: str) -> str | None:
        if tag == "img" and name == "src":
            inside = within(value)
            return f"{context['api_url']}/files/{inside}?inline=true" if inside is not None else None
        if tag == "a" and name == "href":
            inside = within(value)
            return f"{context['files_url']}{inside}" if inside is not None else value
        return value

    clean = nh3.clean(
        str(html),
        tags=set(_TAGS.split()),
        attributes={"a": {"href", "title"}, "img": {"src", "alt", "title"}, "td": {"align"}, "th": {"align"}},
        attribute_filter=change,
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )
    return mark_safe(clean)  # noqa: S308 - that is what it was cleaned for


@register.simple_tag(takes_context=True)
def with_options(context: template.Context, **changes: object) -> str:
    """Return this page's query with some options changed; an empty value takes one away."""
    request = context["request"]
    options = {**request.GET.dict(), **{name: str(value) for name, value in changes.items()}}
    return "?" + urlencode({name: value for name, value in options.items() if value})


@register.simple_tag(takes_context=True)
def sort_options(context: template.Context, column: str, sort: str) -> str:
    """Return the query that sorts by a column: upwards first, then downwards, then as in the file."""
    wanted = {column: f"-{column}", f"-{column}": ""}.get(sort, column)
    return with_options(context, sort=wanted, page="")


@register.simple_tag
def compared_lines(rows: Sequence[Sequence[Any]]) -> SafeString:
    """Draw the rows of a comparison of texts; a page has thousands, for which the template language is too slow."""
    drawn = []
    for kind, old_number, old, new_number, new in rows:
        if kind == "skip":
            drawn.append(f'<tr class="left-out"><td colspan="4">{int(old_number):,} equal lines</td></tr>')
            continue
        sides = ((old_number, old, "was", "del"), (new_number, new, "is", "ins"))
        cells = "".join(_side_cells(kind, number, words, look, tag) for number, words, look, tag in sides)
        drawn.append(f"<tr>{cells}</tr>")
    return mark_safe("".join(drawn))  # noqa: S308 - every word is escaped


def _side_cells(kind: str, number: int | None, words: Sequence[str] | None, look: str, tag: str) -> str:
    if words is None or number is None:
        return "<td></td><td></td>"
    before, marked, after = map(escape, words)
    inner = f"{before}<{tag}>{marked}</{tag}>{after}" if marked else f"{before}{after}"
    css = "" if kind == "equal" else f' class="{look}"'
    return f"<td>{int(number)}</td><td{css}>{inner}</td>"


@register.simple_tag
def compared_cell(cell: Mapping[str, Any]) -> SafeString:
    """Draw one cell of a row that differs: both values where it changed."""
    old, new = (
        '<span class="muted">null</span>' if cell[side] is None else escape(cell[side]) for side in ("old", "new")
    )
    inner = f"<del>{old}</del><ins>{new}</ins>" if cell.get("is_changed") else f"{new}"
    return mark_safe(f"<td>{inner}</td>")  # noqa: S308 - the values are escaped
