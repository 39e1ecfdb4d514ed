"""Documents: PDF by its pages, Jupyter notebooks by their cells."""

from __future__ import annotations

import base64
import binascii
import io
import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from datasets_app.previews.base import (
    MIB,
    PICTURE_SIDE,
    THUMBNAIL_SIDE,
    Ask,
    Kind,
    Preview,
    PreviewError,
    Product,
    figure,
    has_suffix,
    shown,
)
from datasets_app.previews.images import FORMATS
from datasets_app.previews.markdown import render_markdown
from datasets_app.previews.text import highlight

if TYPE_CHECKING:
    from datasets_app.previews.base import Reader

MOST_NOTEBOOK: Final = 32 * MIB
MOST_CELLS: Final = 300
MOST_PDF: Final = 200 * MIB
MOST_OUTPUT: Final = 20_000
# Pictures inside a notebook are drawn anew by the decoder of pictures, up to so many bytes together.
MOST_PICTURES: Final = 4 * MIB


class PdfKind(Kind):
    """PDF, one page at a time, as a picture."""

    name: ClassVar[str] = "pdf"
    label: ClassVar[str] = "PDF"
    parts: ClassVar[tuple[str, ...]] = ("picture", "thumbnail")

    def recognises(self, head: bytes, name: str) -> bool:  # noqa: ARG002
        """Ask the magic, which may come after some bytes."""
        return b"%PDF-" in head[:1024]

    def show(self, reader: Reader, ask: Ask) -> Preview | Product:
        """Tell the facts, or draw a page."""
        import pypdfium2

        if reader.size > MOST_PDF:
            raise PreviewError(f"A PDF of more than {MOST_PDF // MIB} MiB is not opened here.")
        try:
            document = pypdfium2.PdfDocument(reader.read(0, reader.size))
        except pypdfium2.PdfiumError as error:
            if "assword" in str(error):
                raise PreviewError("This PDF is encrypted with a password.") from None
            raise PreviewError("This PDF is damaged.") from None
        pages = len(document)
        if not pages:
            raise PreviewError("This PDF has no pages.")
        number = ask.number("frame", 0, most=pages - 1)
        if ask.part:
            return _draw(document[number], THUMBNAIL_SIDE if ask.part == "thumbnail" else PICTURE_SIDE)
        about = document.get_metadata_dict(skip_empty=True)
        facts = [("Pages", figure(pages))]
        facts += [(key, shown(about[key], 120)) for key in ("Title", "Author", "Producer") if about.get(key)]
        text = document[number].get_textpage().get_text_bounded()[:20_000]
        return Preview("application/pdf", facts, {"frames": pages, "frame": number, "text": text})


def _draw(page: Any, side: int) -> Product:  # noqa: ANN401 - a PdfPage
    width, height = page.get_size()
    if not (width > 0 and height > 0):
        raise PreviewError("This page has no size.")
    image = page.render(scale=min(side / max(width, height), 4)).to_pil().convert("RGB")
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=85)
    return Product("image/jpeg", sink.getvalue())


class NotebookKind(Kind):
    """Jupyter notebooks, with the outputs that were saved in them."""

    name: ClassVar[str] = "notebook"
    label: ClassVar[str] = "Notebook"

    def recognises(self, head: bytes, name: str) -> bool:
        """Ask the name, and whether it is an object."""
        return has_suffix(name, ".ipynb") and head.lstrip()[:1] == b"{"

    def is_text(self, head: bytes, name: str) -> bool:  # noqa: ARG002
        """Say yes."""
        return True

    def show(self, reader: Reader, ask: Ask) -> Preview:  # noqa: ARG002
        """Show the cells."""
        if reader.size > MOST_NOTEBOOK:
            raise PreviewError(f"A notebook of more than {MOST_NOTEBOOK // MIB} MiB is not opened here.")
        book = json.loads(reader.read(0, reader.size))
        try:
            # The second way is that of version 3.
            cells = book["cells"] if "cells" in book else book["worksheets"][0]["cells"]
        except (KeyError, IndexError, TypeError):
            raise PreviewError("This is no notebook: it has no cells.") from None
        language = _language(book)
        left = [MOST_PICTURES]
        drawn = [_cell(cell, language, left) for cell in cells[:MOST_CELLS]]
        notes = [] if len(cells) <= MOST_CELLS else [f"The first {MOST_CELLS} of {len(cells)} cells are shown."]
        facts = [("Cells", figure(len(cells))), ("Language", language)]
        return Preview("application/x-ipynb+json", facts, {"cells": drawn}, notes)


def _language(book: dict[str, Any]) -> str:
    about = book.get("metadata", {})
    found = about.get("language_info", {}).get("name") or about.get("kernelspec", {}).get("language")
    return shown(found or "python", 40)


def _cell(cell: dict[str, Any], language: str, left: list[int]) -> dict[str, Any]:
    source = _joined(cell.get("source", cell.get("input", "")))
    if cell.get("cell_type") == "markdown":
        return {"kind": "markdown", "html": render_markdown(source)}
    suffix = {"python": "py", "r": "r", "julia": "jl"}.get(language.lower(), "txt")
    name = f"cell.{suffix}" if cell.get("cell_type") == "code" else "cell.txt"
    outputs = [one for output in cell.get("outputs", [])[:50] for one in _output(output, left)]
    return {
        "kind": "code",
        "count": cell.get("execution_count") or "",
        "lines": highlight(source[:MOST_OUTPUT], name),
        "outputs": outputs,
    }


def _output(output: dict[str, Any], left: list[int]) -> list[dict[str, str]]:
    if "text" in output:
        return [{"kind": "text", "text": _joined(output["text"])[:MOST_OUTPUT]}]
    if output.get("output_type") == "error":
        return [{"kind": "error", "text": shown(f"{output.get('ename')}: {output.get('evalue')}", 1000)}]
    data = output.get("data", output)
    for media_type in ("image/png", "image/jpeg"):
        if media_type in data:
            return _picture(_joined(data[media_type]), left)
    if "text/plain" in data:
        return [{"kind": "text", "text": _joined(data["text/plain"])[:MOST_OUTPUT]}]
    return []


def _picture(encoded: str, left: list[int]) -> list[dict[str, str]]:
    """Draw a saved picture anew, so that the page holds nothing but what our own encoder wrote."""
    from PIL import Image

    try:
        raw = base64.b64decode(encoded)
        image = Image.open(io.BytesIO(raw), formats=FORMATS)
        if image.width * image.height > 20_000_000:  # noqa: PLR2004
            return [{"kind": "error", "text": "A picture is too large to be shown."}]
        flat = image.convert("RGBA")
    except (OSError, ValueError, binascii.Error, SyntaxError):
        return [{"kind": "error", "text": "A picture is damaged."}]
    flat.thumbnail((PICTURE_SIDE // 2, PICTURE_SIDE // 2))
    sink = io.BytesIO()
    flat.save(sink, "WEBP", quality=80)
    body = base64.b64encode(sink.getvalue()).decode()
    left[0] -= len(body)
    if left[0] < 0:
        return [{"kind": "error", "text": "More pictures are not shown."}]
    return [{"kind": "picture", "source": f"data:image/webp;base64,{body}"}]


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)
