"""What was found damaged: which versions and paths it touches, and when it is whole again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils import timezone

from datasets_app.models import Blob, Damage, DamagedPath, Directory, StagedFile, Version
from datasets_app.models.bulk import insert_rows
from datasets_app.models.fields import below
from datasets_app.services.damage_places import find_unmarked
from datasets_app.store.paths import parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet

    from datasets_app.models import Dataset, Verification

logger = logging.getLogger(__name__)

SHOWN = 20
MOST_LOOKED_AT = 100_000
# Paths looked up in one statement.
LOOKUP = 500
LOST = "The stored bytes of this file were lost. Send it again."


def record_damage(
    cause: Damage.Cause,
    *,
    blob: Blob | None = None,
    directory: Directory | None = None,
    detail: str,
    run: Verification | None = None,
) -> Damage:
    """Write down a damage, unless it is known, and the paths that it touches; tell the operator."""
    found = Damage.objects.open().filter(blob=blob, directory=directory).first()
    if found is None:
        made = [Damage(blob=blob, directory=directory, cause=cause, detail=detail, run=run)]
        Damage.objects.bulk_create(made, ignore_conflicts=True)
        found = Damage.objects.open().get(blob=blob, directory=directory)
    trace_damage(found)
    return found


def trace_damage(damage: Damage) -> None:
    """Find the versions and paths that a damage touches, and let open versions ask for lost bytes again.

    Versions that were sealed since it was last traced are added.
    """
    places = find_unmarked(damage)
    with transaction.atomic():
        # Who traces it too waits here, and then finds the rows written.
        held = Damage.objects.open().select_for_update().filter(pk=damage.pk).first()
        if held is None:
            return
        marked = set(held.paths.values_list("version_id", flat=True).distinct())
        alive = set(Version.objects.filter(pk__in={pk for pk, _ in places}).values_list("pk", flat=True)) - marked
        rows = [(damage.pk, version, path) for version, path in places if version in alive]
        insert_rows(DamagedPath, ("damage_id", "version_id", "path"), rows)
        is_news = not held.is_traced or bool(rows)
        if not held.is_traced:
            Damage.objects.filter(pk=damage.pk).update(is_traced=True)
            if damage.blob_id is not None:
                staged = StagedFile.objects.filter(blob=damage.blob_id, version__status__in=Version.OPEN)
                staged.update(blob=None, upload=None, offset=0, error=LOST)
    damage.is_traced = True
    if is_news:
        _tell(damage)


def mark_version(version: Version, places: Iterable[tuple[int, str]]) -> None:
    """Note what is damaged in a version that is just being sealed, in the caller's transaction.

    `places` are what `find_in_tree` told of its root: it shares what was found damaged before.
    """
    alive = set(Damage.objects.open().filter(pk__in={pk for pk, _ in places}).values_list("pk", flat=True))
    rows = [(damage, version.pk, path) for damage, path in places if damage in alive]
    if rows:
        insert_rows(DamagedPath, ("damage_id", "version_id", "path"), rows)
        logger.error("%s was sealed with %d paths that are known to be damaged", version.label, len(rows))


def heal(damage: Damage) -> None:
    """Note that what was damaged is whole again."""
    if Damage.objects.open().filter(pk=damage.pk).update(healed_at=timezone.now()):
        logger.warning("what was damaged is whole again: %s", damage)


def is_anything_damaged() -> bool:
    """Tell whether anything that is stored is known to be damaged."""
    return Damage.objects.open().exists()


def damaged_versions(versions: Iterable[Version]) -> set[int]:
    """Return the keys of those of the versions that a damage touches now."""
    keys = [version.pk for version in versions]
    return set(_open_paths().filter(version__in=keys).values_list("version_id", flat=True))


def damaged_datasets(datasets: Iterable[Dataset]) -> set[int]:
    """Return the keys of those of the datasets that have a damaged version, outside the trash."""
    keys = [dataset.pk for dataset in datasets]
    rows = _open_paths().filter(version__dataset__in=keys, version__deleted_at=None)
    return set(rows.values_list("version__dataset_id", flat=True))


def damaged_among(version: Version, folder: str, paths: Sequence[str]) -> set[str]:
    """Return those of the paths, entries of one folder of the version, that are damaged or hold what is."""
    mine = _open_paths().filter(version=version)
    if not mine.exists():
        return set()
    if mine.filter(path__in=["", *parents(folder), folder]).exists():
        # The rows of a directory above are damaged: nothing below it is certain.
        return set(paths)
    below_it = mine.filter(below(folder)) if folder else mine
    skipped = len(folder) + 1 if folder else 0
    touched = {path[skipped:].partition("/")[0] for path in below_it.values_list("path", flat=True)[:MOST_LOOKED_AT]}
    return {path for path in paths if path[skipped:] in touched}


def damaged_files(version: Version, paths: Sequence[str]) -> set[str]:
    """Return those of the version's files, wherever they lie, whose bytes or whose folders are damaged."""
    mine = _open_paths().filter(version=version)
    if not mine.exists():
        return set()
    above = {path: {"", path, *parents(path)} for path in paths}
    wanted = sorted(set().union(*above.values()))
    known: set[str] = set()
    for start in range(0, len(wanted), LOOKUP):
        known.update(mine.filter(path__in=wanted[start : start + LOOKUP]).values_list("path", flat=True))
    return {path for path, places in above.items() if places & known}


def _open_paths() -> QuerySet[DamagedPath]:
    return DamagedPath.objects.filter(damage__healed_at=None)


def _tell(damage: Damage) -> None:
    touched = damage.paths.select_related("version__dataset__team").order_by("version_id", "path")
    shown = [f"{row.version.dataset.team}/{row.version.label}: {row.path or '(all of it)'}" for row in touched[:SHOWN]]
    logger.error(
        "stored data is damaged (%s): %s. It touches %s",
        damage.cause,
        damage.detail,
        "; ".join(shown) or "no sealed version",
        extra={"damage": damage.pk, "blob": damage.blob.hex if damage.blob else ""},
    )
