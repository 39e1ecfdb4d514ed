"""The kinds of content that previews know. A new one is a file beside this one and a line here.

The order counts: the first that recognises a file shows it. Bytes come before names, and `text` is asked last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from datasets_app.previews.archives import ArchiveKind
from datasets_app.previews.arrays import ArrayKind
from datasets_app.previews.comparison import ComparisonKind
from datasets_app.previews.documents import NotebookKind, PdfKind
from datasets_app.previews.encrypted import EncryptedKind
from datasets_app.previews.hdf5 import Hdf5Kind
from datasets_app.previews.images import ImageKind
from datasets_app.previews.joined_tables import JoinedTablesKind
from datasets_app.previews.markdown import MarkdownKind
from datasets_app.previews.media import MediaKind
from datasets_app.previews.plain import decode_text
from datasets_app.previews.structured import JsonKind
from datasets_app.previews.tables import TableKind
from datasets_app.previews.text import TextKind
from datasets_app.previews.weights import ModelKind

if TYPE_CHECKING:
    from datasets_app.previews.base import Kind

_IN_ORDER: Final[tuple[Kind, ...]] = (
    ImageKind(),
    MediaKind(),
    PdfKind(),
    ArrayKind(),
    Hdf5Kind(),
    ModelKind(),
    EncryptedKind(),
    TableKind(),
    # Arrays and models that are ZIP files come before.
    ArchiveKind(),
    NotebookKind(),
    JsonKind(),
    MarkdownKind(),
    TextKind(),
)
KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _IN_ORDER}
# What is made of several files, and never chosen for one.
TOGETHER: Final[dict[str, Kind]] = {kind.name: kind for kind in (ComparisonKind(), JoinedTablesKind())}


def module_of(kind: str) -> tuple[str, str]:
    """Return the module and the class of a kind by its name, for the process that makes its previews."""
    if kind == "survey":
        # Never shown, and its patterns take a while to compile: not imported here.
        return "datasets_app.previews.survey", "SurveyKind"
    found = type((KINDS | TOGETHER)[kind])
    return found.__module__, found.__qualname__


def recognise(head: bytes, name: str) -> Kind | None:
    """Return the kind of a file by its first bytes (64 KiB are plenty) and its name; None for unknown bytes."""
    lower = name.lower()
    return next((kind for kind in _IN_ORDER if head and kind.recognises(head, lower)), None)


def text_instead(kind: Kind, head: bytes, name: str) -> Kind | None:
    """Return the kind that shows a file as text where `kind` failed; None where it is no text."""
    is_text = kind.is_text(head, name.lower()) and decode_text(head) is not None
    return KINDS[TextKind.name] if is_text else None


_MODALITIES: Final = {
    "image": ".png .jpg .jpeg .gif .webp .avif .bmp .tif .tiff .ico .jp2 .ppm .pgm .tga .qoi .psd",
    "audio": ".mp3 .wav .flac .ogg .oga .opus .m4a .aac .aif .aiff .au .caf",
    "video": ".mp4 .m4v .mov .webm .mkv .avi .flv .mpg .mpeg .ogv .3gp",
    "table": ".csv .tsv .jsonl .ndjson .parquet .arrow .feather .csv.gz .tsv.gz .jsonl.gz .csv.zst .jsonl.zst",
    "text": ".txt .md .html .xml .json .yaml .yml .toml .py .js .ts .c .h .cpp .java .go .rs .sh .ipynb .pdf .log .srt",
    "archive": ".zip .tar .tar.gz .tgz .tar.zst .tar.bz2 .tar.xz .7z .rar",
    "arrays": ".npy .npz .h5 .hdf5 .safetensors .pt .pth .ckpt .onnx .gguf .bin",
}
_BY_SUFFIX: Final = {suffix: name for name, suffixes in _MODALITIES.items() for suffix in suffixes.split()}


def modality(name: str) -> str:
    """Guess by its name what a file is about: image, audio, video, table, text, archive, arrays, or other."""
    parts = name.lower().rsplit(".", 2)
    for kept in (2, 1):
        if len(parts) > kept:
            found = _BY_SUFFIX.get("." + ".".join(parts[-kept:]))
            if found:
                return found
    return "other"
