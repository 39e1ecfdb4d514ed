"""Show what is in a file without the reader's machine having to trust it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets_app.previews.plain import PlainPreview, preview_plainly
from datasets_app.services.content import read_blob

if TYPE_CHECKING:
    from datasets_app.models import File

# Enough to know a file by; a page must stay light.
HEAD_BYTES = 64 * 1024


def preview_file(file: File) -> PlainPreview:
    """Make the plain preview of a file that the caller may read, from its first 64 KiB."""
    return preview_plainly(b"".join(read_blob(file.blob, length=HEAD_BYTES)))
