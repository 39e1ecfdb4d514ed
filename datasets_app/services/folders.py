"""What a folder's page says besides its lines: its README, what kinds of files lie below it, its classes and splits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from datasets_app.models import Blob, Directory, File, Subdirectory
from datasets_app.previews.base import Ask, Preview
from datasets_app.previews.registry import modality
from datasets_app.services import preview_cache
from datasets_app.services.awaited import ask_worker, work_at
from datasets_app.services.galleries import PICTURES, RECORDINGS, choose_ruling
from datasets_app.services.previewing import Shown, preview_file

if TYPE_CHECKING:
    from datasets_app.services.browsing import Entry

READMES: Final = ("README.md", "readme.md", "Readme.md", "README.markdown", "README.txt", "README")
# Below this a folder is counted while its page is made (some 50 ms); a larger one by a worker.
COUNTED_AT_ONCE: Final = 20_000
SHOWN_TYPES: Final = 12
MOST_SPLITS: Final = 12
# A player each; the others have one on their pages.
SHOWN_RECORDINGS: Final = 24
# The largest are shown; so many folders of splits are looked at for them.
MOST_CLASSES: Final = 200
MOST_COUNTED: Final = 50_000
SUMMARY_TASK: Final = "datasets_app.count_folder"
_ASK: Final = Ask("folder")
_BELOW: Final = f"""
WITH RECURSIVE below(id) AS (
    SELECT CAST(%s AS bigint)
    UNION ALL
    SELECT s.child_id FROM below JOIN {Subdirectory._meta.db_table} s ON s.parent_id = below.id
)
SELECT f.name, b.size FROM below
JOIN {File._meta.db_table} f ON f.directory_id = below.id
JOIN {Blob._meta.db_table} b ON b.id = f.blob_id
"""  # noqa: S608 - only names of our own tables


@dataclass(frozen=True, slots=True)
class TypeShare:
    """The files of one ending: how many, how large, and their shares of the folder in percent."""

    suffix: str
    modality: str
    count: int
    size: int
    count_share: float
    size_share: float
    # Where its part of the bars begins, in percent.
    count_start: float = 0
    size_start: float = 0


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Folders of classes below folders of splits, as `train/cat`: rows of (class, counts by split, total).

    Of very many classes the largest are rows, the largest first; `left_out` are the others, which `totals` include.
    """

    splits: list[str]
    rows: list[tuple[str, list[int], int]]
    totals: list[int]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class FolderOverview:
    """Everything beside the lines. `types` is None while a worker counts.

    Of a later page there are its pictures or recordings alone, and `is_first` is false.
    """

    types: list[TypeShare] | None = None
    readme: Shown | None = None
    classes: ClassTable | None = None
    gallery: list[Entry] = field(default_factory=list)
    recordings: list[Entry] = field(default_factory=list)
    is_first: bool = True


def describe_folder(directory: Directory, *, entries: list[Entry], is_first: bool = True) -> FolderOverview:
    """Describe a directory that the caller may read; `entries` are the lines of its page, the first one or another."""
    gallery = choose_ruling(entries, PICTURES)
    recordings = choose_ruling(entries, RECORDINGS)[:SHOWN_RECORDINGS]
    if not is_first:
        return FolderOverview(gallery=gallery, recordings=recordings, is_first=False)
    return FolderOverview(
        types=count_types(directory),
        readme=_readme(directory),
        classes=class_table(directory),
        gallery=gallery,
        recordings=recordings,
    )


def count_types(directory: Directory) -> list[TypeShare] | None:
    """Return what was counted; count now where that is quick, else return None, and ask a worker, once, to count."""
    kept = preview_cache.find(directory.hex, "folder", _ASK)
    if not isinstance(kept, Preview):
        if directory.file_count > COUNTED_AT_ONCE:
            ask_worker(SUMMARY_TASK, digest=directory.hex, kind="folder", ask=_ASK, directory_id=directory.pk)
            return None
        kept = count_folder(directory.pk)
    if kept is None:
        return []
    shares: list[TypeShare] = []
    for line in kept.data["types"]:
        share = _share(line, directory)
        shares.append(
            replace(
                share,
                count_start=sum(one.count_share for one in shares),
                size_start=sum(one.size_share for one in shares),
            )
        )
    return shares


def count_folder(directory_id: int) -> Preview | None:
    """Count the files below a directory by their endings, and keep the figures by its digest."""
    directory = Directory.objects.filter(pk=directory_id).first()
    if directory is None:
        return None
    kept = preview_cache.find(directory.hex, "folder", _ASK)
    if isinstance(kept, Preview):
        return kept
    with work_at(digest=directory.hex, kind="folder", ask=_ASK):
        answer = _count(directory)
        preview_cache.keep(directory.hex, "folder", _ASK, answer)
    return answer


def _count(directory: Directory) -> Preview:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, [directory.pk])
        while rows := cursor.fetchmany(5000):
            for name, size in rows:
                suffix = suffix_of(name)
                counts[suffix] += 1
                sizes[suffix] += size
    most = sorted(counts, key=lambda suffix: (-sizes[suffix], -counts[suffix], suffix))
    types = [(suffix, counts[suffix], sizes[suffix]) for suffix in most[:SHOWN_TYPES]]
    rest = most[SHOWN_TYPES:]
    if rest:
        types.append(("others", sum(counts[one] for one in rest), sum(sizes[one] for one in rest)))
    return Preview("", data={"types": types})


def _share(line: list[Any], directory: Directory) -> TypeShare:
    suffix, count, size = line
    return TypeShare(
        suffix=suffix,
        modality=modality(f"x{suffix}"),
        count=count,
        size=size,
        count_share=round(100 * count / max(directory.file_count, 1), 1),
        size_share=round(100 * size / max(directory.size, 1), 1),
    )


def suffix_of(name: str) -> str:
    """Return the ending of a name, with what it is packed in: `.tar.gz`; "no ending" where there is none."""
    stem, dot, last = name.lower().rpartition(".")
    if not dot or not stem or len(last) > 12:  # noqa: PLR2004
        return "no ending"
    if last in {"gz", "zst", "bz2", "xz"}:
        inner = stem.rpartition(".")
        if inner[1] and inner[0] and len(inner[2]) <= 6:  # noqa: PLR2004
            return f".{inner[2]}.{last}"
    return f".{last}"


def _readme(directory: Directory) -> Shown | None:
    found = {file.name: file for file in directory.files.filter(name__in=READMES).select_related("blob__pack")}
    name = next((name for name in READMES if name in found), None)
    if name is None:
        return None
    shown = preview_file(found[name])
    return shown if shown.kind in {"markdown", "text"} and shown.page is not None else None


def class_table(directory: Directory) -> ClassTable | None:
    """Find classes below splits: folders whose folders bear the same names, with no files beside them."""
    splits = list(directory.subdirectories.order_by("name").values_list("name", "child_id")[: MOST_SPLITS + 1])
    if not 1 <= len(splits) <= MOST_SPLITS:
        return None
    counts: dict[str, dict[int, int]] = {}
    inner = Subdirectory.objects.filter(parent__in=[child for _, child in splits])
    lines = inner.values_list("parent_id", "name", "child__file_count")[: MOST_COUNTED + 1]
    if len(lines) > MOST_COUNTED:
        return None
    for parent, name, count in lines:
        counts.setdefault(name, {})[parent] = count
    if len(counts) < 2:  # noqa: PLR2004
        return None
    # Such as a folder of documents beside the splits.
    splits = [(name, child) for name, child in splits if any(child in by_split for by_split in counts.values())]
    shared = sum(len(by_split) > 1 for by_split in counts.values())
    if len(splits) > 1 and shared * 2 < len(counts):
        return None
    children = [child for _, child in splits]
    rows = [
        (name, [by_split.get(child, 0) for child in children], sum(by_split.values()))
        for name, by_split in sorted(counts.items())
    ]
    totals = [sum(row[1][column] for row in rows) for column in range(len(children))]
    left_out = max(0, len(rows) - MOST_CLASSES)
    if left_out:
        rows = sorted(rows, key=lambda row: -row[2])[:MOST_CLASSES]
    return ClassTable([name for name, _ in splits], rows, totals, left_out)
