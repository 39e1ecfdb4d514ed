"""Count the files of a tree for its summary: by type, by name, and what equals what. No file is opened."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from datasets_app.models import Blob, Directory, File, Subdirectory
from datasets_app.previews.registry import modality
from datasets_app.previews.sensitive import SECRET_NAMES
from datasets_app.previews.survey import is_licence
from datasets_app.services.findings import MOST_PLACES, note
from datasets_app.services.folders import class_table, suffix_of
from datasets_app.services.overlaps import compare_blobs
from datasets_app.services.walking import subtree_sql
from datasets_app.store.paths import KEY_SEPARATOR, from_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHOWN_TYPES: Final = 20
MOST_SUFFIXES: Final = 5_000
MOST_LICENCES: Final = 20
# A class with less than this part of the largest one's files is out of balance.
LEAST_SHARE: Final = 0.1
LEAST_CLASS_FILES: Final = 20
MOST_SPLITS: Final = 20
MOST_PATH: Final = 240
TRAINING: Final = ("train", "training")
TESTING: Final = ("test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "holdout")
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com[1-9]|lpt[1-9])(?:\..*)?", re.IGNORECASE)
_FOREIGN: Final = re.compile(r"[<>:\"|?*]")
_LITTER: Final = re.compile(
    r"(?:^|/)(?:\.ds_store|thumbs\.db|ehthumbs\.db|desktop\.ini|\._[^/]*|~\$[^/]*|[^/]*~|[^/]*\.sw[op]|\.#[^/]*)$"
    r"|(?:^|/)(?:__macosx|\.ipynb_checkpoints|__pycache__|\.git|\.svn|\.idea|\.trashes|\.spotlight-v100)/",
    re.IGNORECASE,
)
# Names that nothing is to be said of: the exceptions are what the patterns here and in previews.sensitive look for.
_is_plain = re.compile(
    r"(?!con\b|prn\b|aux\b|nul\b|com\d|lpt\d|(?:un)?licen|copy|thumbs|ehthumbs|desktop|id_|git|__)[a-z0-9_][\w-]{0,99}"
    r"(?:\.(?!p12$|pfx$|jks$|kdbx$|ppk$|sw[op]$)[\w-]{1,40}){0,4}",
    re.IGNORECASE,
).fullmatch
_NAMES: Final = f"""
WITH RECURSIVE below(prefix, id) AS ({{below}})
SELECT below.prefix, f.name, b.size FROM below
JOIN {File._meta.db_table} f ON f.directory_id = below.id
JOIN {Blob._meta.db_table} b ON b.id = f.blob_id
"""  # noqa: S608 - only names of our own tables
_EQUAL: Final = f"""
WITH RECURSIVE below(prefix, id) AS ({{below}}),
twice AS (
    SELECT f.blob_id, count(*) AS files, min(below.prefix || f.name) AS path FROM below
    JOIN {File._meta.db_table} f ON f.directory_id = below.id GROUP BY f.blob_id HAVING count(*) > 1
)
SELECT twice.path, twice.files, b.size, sum(twice.files - 1) OVER (), sum((twice.files - 1) * b.size) OVER ()
FROM twice JOIN {Blob._meta.db_table} b ON b.id = twice.blob_id WHERE b.size > 0
ORDER BY (twice.files - 1) * b.size DESC, twice.path LIMIT {MOST_PLACES}
"""  # noqa: S608


def count_files(root: Directory, *, beat: Callable[[], object]) -> dict[str, Any]:
    """Count everything below a root; `beat` is called now and then. Gives figures and findings, as JSON.

    Measured for 1,000,000 files: see docs/benchmarks.md; memory doesn't grow with their number.
    """
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    findings: dict[str, Any] = {}
    licences: list[list[str]] = []
    before, folder, is_plain_folder = "", "", True
    for number, (prefix, name, size) in enumerate(_names(root)):
        suffix = suffix_of(name)
        if suffix not in counts and len(counts) >= MOST_SUFFIXES:
            suffix = "others"
        counts[suffix] += 1
        sizes[suffix] += size
        if prefix != before:
            before, folder = prefix, from_key(prefix)
            is_plain_folder = all(map(_is_plain, folder.split("/")[:-1])) and len(folder) < MOST_PATH - 100
        # Most names can be told to be harmless by one look.
        if not is_plain_folder or not size or not _is_plain(name):
            path = folder + name
            _look_at_name(path, size, findings)
            if len(licences) < MOST_LICENCES and size and is_licence(path):
                licences.append([path, ""])
        if number % 1000 == 0:
            beat()
    beat()
    saved = _find_equal(root, findings)
    beat()
    _find_leakage(root, findings, beat)
    _weigh_classes(root, findings)
    return {
        "files": root.file_count,
        "size": root.size,
        "types": _types(counts, sizes),
        "modalities": _modalities(counts, sizes),
        "equal_size": saved,
        "licences": licences,
        "findings": findings,
    }


def _names(root: Directory) -> Iterator[tuple[str, str, int]]:
    """Stream the prefix, the name and the size of every file, in no order that means anything."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(_NAMES.format(below=subtree_sql("below")), [root.pk, KEY_SEPARATOR])
        while rows := cursor.fetchmany(5000):
            yield from rows


def _look_at_name(path: str, size: int, findings: dict[str, Any]) -> None:
    if not size:
        note(findings, "empty", path)
    if _LITTER.search(path):
        note(findings, "litter", path)
    elif SECRET_NAMES.search(path.lower()):
        note(findings, "secrets", path, "by its name")
    if trouble := _trouble(path):
        note(findings, "names", path, trouble)


def _trouble(path: str) -> str:
    """Say what is odd about a path; "" for most."""
    parts = path.split("/")
    tests = (
        (_FOREIGN.search(path), 'Windows allows none of < > : " | ? * in names'),
        (any(part != part.strip(" ") for part in parts), "a space at the beginning or end of a name"),
        (any(part.endswith(".") for part in parts), "a dot at the end of a name"),
        (parts[-1].startswith("-"), "commands take it for an option"),
        (len(path) > MOST_PATH, f"{len(path)} characters, more than Windows takes by default"),
        (any(_RESERVED.fullmatch(part) for part in parts), "a reserved name on Windows"),
    )
    return next((trouble for is_odd, trouble in tests if is_odd), "")


def _types(counts: Counter[str], sizes: Counter[str]) -> list[list[Any]]:
    most = sorted(counts, key=lambda suffix: (-sizes[suffix], -counts[suffix], suffix))
    types: list[list[Any]] = [
        [suffix, modality(f"x{suffix}"), counts[suffix], sizes[suffix]] for suffix in most[:SHOWN_TYPES]
    ]
    if rest := most[SHOWN_TYPES:]:
        types.append(["others", "other", sum(counts[one] for one in rest), sum(sizes[one] for one in rest)])
    return types


def _modalities(counts: Counter[str], sizes: Counter[str]) -> list[list[Any]]:
    found: dict[str, list[int]] = {}
    for suffix, count in counts.items():
        known = found.setdefault(modality(f"x{suffix}"), [0, 0])
        known[0] += count
        known[1] += sizes[suffix]
    return [[name, *figures] for name, figures in sorted(found.items(), key=lambda item: -item[1][1])]


def _find_equal(root: Directory, findings: dict[str, Any]) -> int:
    """Find files with equal bytes; return how many bytes a job reads more than once."""
    with connection.cursor() as cursor:
        cursor.execute(_EQUAL.format(below=subtree_sql("below")), [root.pk, KEY_SEPARATOR])
        rows = cursor.fetchall()
    if not rows:
        return 0
    for key, files, _, _, _ in rows:
        note(findings, "duplicates", from_key(key), f"{files - 1:,} more with the same bytes", count=0)
    findings["duplicates"]["count"] = int(rows[0][3])
    return int(rows[0][4])


def _find_leakage(root: Directory, findings: dict[str, Any], beat: Callable[[], object]) -> None:
    """Compare the folders of training data with those of test data: at the root, or one folder below."""
    trained, tested = _splits(root)
    for prefix, (ours, name) in tested:
        for _, (theirs, other) in (one for one in trained if one[0] == prefix):
            overlap = compare_blobs(ours, theirs)
            beat()
            if overlap is None or not overlap.files:
                continue
            for path, same, _ in overlap.examples[:MOST_PLACES]:
                detail = f"the same as {prefix}{other}/{same}"
                note(findings, "leakage", f"{prefix}{name}/{path}", detail, count=0)
            findings["leakage"]["count"] += overlap.files


Place = tuple[str, tuple[int, str]]


def _splits(root: Directory) -> tuple[list[Place], list[Place]]:
    trained: list[Place] = []
    tested: list[Place] = []
    edges = list(Subdirectory.objects.filter(parent=root).order_by("name").values_list("name", "child_id")[:200])
    inner = Subdirectory.objects.filter(parent__in=[child for _, child in edges])
    words = {*TRAINING, *TESTING}
    places: list[tuple[str, int, str]] = [("", child, name) for name, child in edges]
    names = {child: name for name, child in edges}
    places += [
        (f"{names[parent]}/", child, name)
        for parent, name, child in inner.order_by("parent", "name").values_list("parent_id", "name", "child_id")[:5000]
        if name.lower() in words
    ]
    for prefix, child, name in places:
        if name.lower() in TRAINING:
            trained.append((prefix, (child, name)))
        elif name.lower() in TESTING:
            tested.append((prefix, (child, name)))
    return trained[:MOST_SPLITS], tested[:MOST_SPLITS]


def _weigh_classes(root: Directory, findings: dict[str, Any]) -> None:
    """Name classes that have far fewer files than the largest one, or that a split has none of."""
    table = class_table(root)
    if table is None:
        return
    words = {*TRAINING, *TESTING}
    # What lies beside them, such as documents, is no split of theirs.
    classes = [
        (name, {s: count for s, count in zip(table.splits, counts, strict=True) if s.lower() in words})
        for name, counts, _ in table.rows
    ]
    largest = max((sum(counts.values()) for _, counts in classes), default=0)
    for name, counts in classes:
        total = sum(counts.values())
        if not total:
            continue
        missing = [split for split, count in counts.items() if not count]
        place = next(split for split, count in counts.items() if count)
        if largest >= LEAST_CLASS_FILES and total < LEAST_SHARE * largest:
            note(findings, "balance", f"{place}/{name}", f"{total:,} files, where the largest class has {largest:,}")
        elif missing:
            note(findings, "balance", f"{place}/{name}", f"not in {', '.join(missing)}")
