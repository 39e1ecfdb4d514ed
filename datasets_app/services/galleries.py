"""Which files of a folder are shown as pictures or players, and which pictures lie beside one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datasets_app.models import File
from datasets_app.previews.registry import modality

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datasets_app.services.browsing import Entry

PICTURES: Final = frozenset({"image", "video"})
RECORDINGS: Final = frozenset({"audio"})
# Pictures on each side of one.
BESIDE: Final = 8
# Names that are looked at for them: a folder may have few pictures among many other files.
LOOKED_AT: Final = 400


def choose_ruling(entries: Iterable[Entry], modalities: frozenset[str]) -> list[Entry]:
    """Choose the files of a page that are of these modalities, where they are most of its files."""
    files = [entry for entry in entries if not entry.is_directory]
    seen = [entry for entry in files if modality(entry.name) in modalities]
    return seen if len(seen) * 2 > len(files) else []


def pictures_beside(file: File) -> list[str]:
    """Name the pictures before and after a file that the caller may read, itself among them, in the folder's order."""
    siblings = File.objects.filter(directory_id=file.directory_id)
    before = siblings.filter(name__lt=file.name).order_by("-name").values_list("name", flat=True)
    after = siblings.filter(name__gt=file.name).order_by("name").values_list("name", flat=True)
    return [*reversed(_pictures(before[:LOOKED_AT])), file.name, *_pictures(after[:LOOKED_AT])]


def _pictures(names: Iterable[str]) -> list[str]:
    return [name for name in names if modality(name) == "image"][:BESIDE]
