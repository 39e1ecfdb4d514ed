"""Markdown, rendered. The HTML is made here and sanitised by whoever shows it, outside of the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import Ask, Kind, Preview, shown
from datasets_app.previews.plain import decode_text

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

# Rendering takes some 3 s of a processor for each MiB of short paragraphs.
MOST_BYTES: Final = 256 * 1024
FENCE: Final = "---"


class MarkdownKind(Kind):
    """Text in a file that is named as Markdown."""

    name: ClassVar[str] = "markdown"
    label: ClassVar[str] = "Markdown"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask the name, then whether it is text at all."""
        return name.endswith((".md", ".markdown", ".mdown")) and decode_text(head) is not None

    def is_text(self, head: bytes, name: str) -> bool:  # noqa: ARG002
        """Say yes."""
        return True

    def show(self, reader: Reader, ask: Ask) -> Preview:  # noqa: ARG002
        """Render it; front matter becomes facts."""
        raw = reader.read(0, MOST_BYTES)
        if reader.size > MOST_BYTES:
            # Not amid a word.
            raw = raw.rpartition(b"\n")[0] or raw
        decoded = decode_text(raw)
        text = decoded[0] if decoded else ""
        facts, body = split_front_matter(text)
        data = {"html": render_markdown(body), "is_cut": reader.size > MOST_BYTES}
        notes = [f"Only the first {MOST_BYTES // 1024} KiB are rendered."] if data["is_cut"] else []
        return Preview("text/markdown", facts=facts, data=data, notes=notes)


def render_markdown(text: str) -> str:
    """Make HTML of CommonMark with tables and strikethrough; HTML inside the text is shown as text."""
    from markdown_it import MarkdownIt

    rules: dict[str, Any] = {"html": False, "linkify": False, "maxNesting": 50}
    return str(MarkdownIt("commonmark", rules).enable(["table", "strikethrough"]).render(text))


def split_front_matter(text: str) -> tuple[list[tuple[str, str]], str]:
    """Take YAML front matter off, as label and value; what is no simple YAML stays out."""
    lines = text.splitlines()
    if not lines or lines[0].strip() != FENCE:
        return [], text
    end = next((number for number, line in enumerate(lines[1:], 1) if line.strip() == FENCE), None)
    if end is None:
        return [], text
    return _facts("\n".join(lines[1:end])), "\n".join(lines[end + 1 :])


def _facts(matter: str) -> list[tuple[str, str]]:
    import yaml

    try:
        values = yaml.safe_load(matter)
    except yaml.YAMLError:
        return []
    if not isinstance(values, dict):
        return []
    return [(shown(key, 60), _value(value)) for key, value in list(values.items())[:30]]


def _value(value: object) -> str:
    if isinstance(value, list):
        return shown(", ".join(shown(one, 60) for one in value[:20]))
    return shown(value)
