"""How figures, times, digests and statuses are written on every page: `{% load display %}`."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from django import template
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from datasets_app.sources.registry import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import QueryDict

    from datasets_app.models import Dataset
    from datasets_app.services.browsing import Entry

register = template.Library()

NARROW_SPACE = "\u202f"
NOTHING = "\u2013"
CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
KILO = 1000
MINUTE, HOUR, DAY = 60, 3600, 86400
DIGEST_SHOWN = len("sha256:") + 12

STATUS_LOOK: Mapping[str, str] = {
    # versions, uploads, staged files
    "uploading": "busy",
    "syncing": "busy",
    "receiving": "busy",
    "partial": "busy",
    "pending": "wait",
    "needed": "wait",
    "received": "wait",
    "available": "ok",
    "stored": "ok",
    "finished": "ok",
    # of imports
    "waiting": "wait",
    "listing": "busy",
    "copying": "busy",
    "cancelled": "off",
    "error": "bad",
    "failed": "bad",
    "removed": "off",
    # jobs
    "running": "busy",
    "stopping": "busy",
    "succeeded": "ok",
    "stopped": "off",
}


@register.filter
def count(number: int | None) -> str:
    """Write a whole number with thin spaces between thousands; nothing is a dash."""
    return NOTHING if number is None else f"{number:,}".replace(",", NARROW_SPACE)


@register.filter
def counted(number: int | None, noun: str) -> str:
    """Write a number and its noun: `3|counted:"file"`, `2|counted:"directory,directories"`."""
    singular, _, plural = noun.partition(",")
    word = singular if number == 1 else plural or f"{singular}s"
    return f"{count(number)} {word}"


@register.filter
def filesize_text(size: int | None) -> str:
    """Write bytes in decimal units with three figures: `12.3 MB`."""
    if size is None:
        return NOTHING
    if size < KILO:
        return f"{size} B"
    power = 1
    # 999.5 MB would be written as 1000 MB.
    while size / KILO**power >= KILO - 0.5 and power < len(UNITS):
        power += 1
    value = size / KILO**power
    figures = 2 if value < 9.995 else 1 if value < 99.95 else 0  # noqa: PLR2004
    return f"{value:.{figures}f} {UNITS[power - 1]}"


@register.filter
def filesize(size: int | None) -> SafeString:
    """Write bytes in decimal units; the exact number is shown on hover."""
    text = filesize_text(size)
    if size is None or size < KILO:
        return format_html('<span class="num">{}</span>', text)
    return format_html('<span class="num" title="{} bytes">{}</span>', count(size), text)


@register.filter
def per_second(speed: float) -> str:
    """Write bytes a second: `12.3 MB/s`."""
    return f"{filesize_text(round(speed))}/s"


@register.filter
def rate(number: float) -> str:
    """Write how many a second, with a decimal where there are few."""
    return f"{number:.1f}" if 0 < number < 10 else count(round(number))  # noqa: PLR2004


@register.filter
def visible(text: str) -> str:
    r"""Write control characters out, a tab as `\t`: a browser draws them as a space, or not at all."""
    return CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def relative_time(when: dt.datetime, now: dt.datetime) -> str:
    """Say how long ago `when` was, shortly: `4 min ago`, `yesterday`, `3 Mar`, `3 Mar 2024`; ahead: `in 3 days`."""
    seconds = (now - when).total_seconds()
    if seconds < 0:
        # Rounded as `duration` does: a whole day is never "in 1 d".
        return f"in {duration(-seconds)}" if round(-seconds) < DAY else f"in {counted(round(-seconds / DAY), 'day')}"
    if seconds < 10:  # noqa: PLR2004
        return "just now"
    for limit, unit, name in ((MINUTE, 1, "s"), (HOUR, MINUTE, "min"), (DAY, HOUR, "h")):
        if seconds < limit:
            return f"{int(seconds // unit)} {name} ago"
    days = int(seconds // DAY)
    if days == 1:
        return "yesterday"
    if days < 14:  # noqa: PLR2004
        return f"{days} days ago"
    day = f"{when.day} {when:%b}"
    return day if when.year == now.year else f"{day} {when.year}"


@register.filter
def ago(when: dt.datetime | None) -> SafeString:
    """Write a time relative to now, with the exact time on hover; js/times.js keeps it true."""
    if when is None:
        return SafeString(NOTHING)
    exact = when.astimezone(dt.UTC)
    return format_html(
        '<time class="nowrap" datetime="{}" title="{} UTC" data-ago>{}</time>',
        exact.isoformat(timespec="seconds"),
        f"{exact:%Y-%m-%d %H:%M:%S}",
        relative_time(when, timezone.now()),
    )


@register.filter
def duration(span: float | dt.timedelta | None) -> str:
    """Write seconds (or a timedelta) as `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if span is None:
        return NOTHING
    seconds = span.total_seconds() if isinstance(span, dt.timedelta) else float(span)
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    parts = ((whole // DAY, "d"), (whole % DAY // HOUR, "h"), (whole % HOUR // MINUTE, "min"), (whole % MINUTE, "s"))
    first = next(index for index, (value, _) in enumerate(parts) if value)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value)


@register.simple_tag
def icon(name: str, extra_class: str = "") -> SafeString:
    """Draw a symbol of static/icons.svg. It is decoration: say in words what a button does."""
    return _draw(sprite_url(), name, extra_class)


@lru_cache(maxsize=1)
def sprite_url() -> str:
    """Return the address of the icons: a listing draws hundreds of them."""
    return static("icons.svg")


@receiver(setting_changed)
def _forget_sprite(**_kwargs: object) -> None:
    sprite_url.cache_clear()


@lru_cache(maxsize=256)
def _draw(sprite: str, name: str, extra_class: str) -> SafeString:
    return format_html(
        '<svg class="icon{}" aria-hidden="true"><use href="{}#{}"></use></svg>',
        f" {extra_class}" if extra_class else "",
        sprite,
        name,
    )


@register.simple_tag
def copy(text: str, what: str = "") -> SafeString:
    """Draw a button that copies `text`; `what` names it for screen readers: "digest"."""
    return _copy_button("data-copy", text, what)


@register.simple_tag
def copy_from(element: str, what: str = "") -> SafeString:
    """Draw a button that copies the text of the element with this id, for texts too long to be in the page twice."""
    return _copy_button("data-copy-from", element, what)


def _copy_button(attribute: str, value: str, what: str) -> SafeString:
    label = f"Copy {what}".strip()
    return format_html(
        '<button type="button" class="copy js-only" {}="{}" aria-label="{}" title="{}">{}{}</button>',
        attribute,
        value,
        label,
        label,
        icon("copy", "todo"),
        icon("check", "done"),
    )


@register.simple_tag
def digest(value: str, what: str = "digest") -> SafeString:
    """Write a digest shortly (`sha256:` and 12 figures) with a button that copies the whole; nothing is a dash."""
    if not value:
        return format_html('<span class="muted">{}</span>', NOTHING)
    full = value if ":" in value else f"sha256:{value}"
    return format_html(
        '<span class="digest"><code title="{}">{}</code>{}</span>', full, full[:DIGEST_SHOWN], copy(full, what)
    )


@register.simple_tag
def status_badge(status: str) -> SafeString:
    """Write the status of a version, upload or job as a coloured badge; the word carries the meaning."""
    return format_html('<span class="badge is-{}">{}</span>', STATUS_LOOK.get(str(status), "off"), status)


@register.simple_tag(takes_context=True)
def sort_header(context: template.Context, field: str, label: str, css: str = "", first: str = "-") -> SafeString:
    """Draw a <th> that sorts its list (`?sort=`). Needs `request` and `sort`; `first` is "-" where big comes first.

    With htmx it replaces the element `#results` only.
    """
    current = str(context.get("sort", ""))
    is_current = current.removeprefix("-") == field
    flipped = field if current.startswith("-") else f"-{field}"
    query: QueryDict = context["request"].GET.copy()
    query.pop("cursor", None)
    query["sort"] = flipped if is_current else f"{first}{field}"
    descends = current.startswith("-")
    return format_html(
        '<th scope="col" class="{}"{}><a class="sort" href="{}" hx-get="{}" hx-target="#results" hx-swap="outerHTML"'
        ' hx-replace-url="true">{}{}</a></th>',
        css,
        format_html(' aria-sort="{}"', "descending" if descends else "ascending") if is_current else "",
        f"?{query.urlencode()}",
        f"?{query.urlencode()}",
        label,
        icon("arrow-down" if (descends if is_current else first) else "arrow-up"),
    )


@register.filter
def provider_label(name: str) -> str:
    """Write the kind of a remote store as people call it."""
    provider = PROVIDERS.get(name)
    return provider.label if provider is not None else name


@register.filter
def job_path(entry: Entry, dataset: Dataset) -> str:
    """Return where a job that mounts `dataset` under its own name finds this entry of a listing."""
    return f"/input/{dataset.name}/{entry.path}{'/' if entry.is_directory else ''}"


@register.filter
def prose(text: str) -> SafeString:
    """Show a text of the source: empty lines end paragraphs, other line ends are spaces, `these` mark code."""
    paragraphs = (" ".join(part.split()) for part in text.split("\n\n"))
    return format_html_join("", "<p>{}</p>", ((_mark_code(part),) for part in paragraphs if part))


def _mark_code(text: str) -> SafeString:
    parts = (format_html("<code>{}</code>", part) if at % 2 else part for at, part in enumerate(text.split("`")))
    return format_html_join("", "{}", ((part,) for part in parts))
