"""Where a version comes from: what it was made of, what was sealed meanwhile, and whose content it repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from datasets_app.models import Lineage, Version
from datasets_app.permissions import require

if TYPE_CHECKING:
    from datasets_app.models import User

SHOWN = 5
MOST_LINEAGE = 100


def sealed_meanwhile(actor: User, *, version: Version) -> list[Version]:
    """Return versions that were sealed after the one that `version` starts from, and before itself; at most 5.

    What they changed is not in it. The newest comes first.
    """
    require(actor, "version.view", version)
    if version.base is None:
        return []
    rows = Version.objects.available().filter(dataset=version.dataset_id, number__gt=version.base.number)
    if version.sealed_at is not None:
        rows = rows.filter(sealed_at__lt=version.sealed_at)
    found = list(rows.exclude(pk=version.pk).select_related("created_by", "base").order_by("-number")[:SHOWN])
    for row in found:
        row.dataset = version.dataset
    return found


def made_from(actor: User, *, version: Version) -> list[Lineage]:
    """Return what a composed version was made of, part by part; names, numbers and digests outlive their versions."""
    require(actor, "version.view", version)
    return list(version.lineage.select_related("source__dataset__team", "source__dataset"))


def used_in(actor: User, *, version: Version) -> list[Version]:
    """Return the versions that were made of this one, the newest first; at most 100."""
    require(actor, "version.view", version)
    rows = Lineage.objects.visible_to(actor).filter(source=version, version__deleted_at=None)
    made = rows.filter(version__dataset__deleted_at=None).values("version")
    found = Version.objects.filter(pk__in=made).select_related("dataset", "created_by", "root")
    return list(found.order_by("-pk")[:MOST_LINEAGE])


def repeated_numbers(versions: Sequence[Version]) -> dict[int, int]:
    """Return, by the keys of sealed versions, the newest earlier number of the dataset with the same content."""
    roots = {version.root_id for version in versions if version.root_id is not None}
    datasets = {version.dataset_id for version in versions}
    if not roots:
        return {}
    rows = Version.objects.available().filter(root__in=roots, dataset__in=datasets)
    known = list(rows.values_list("dataset_id", "root_id", "number"))
    return {version.pk: number for version in versions if (number := _newest_before(version, known)) is not None}


def _newest_before(version: Version, known: Iterable[tuple[int, int | None, int]]) -> int | None:
    mine = (version.dataset_id, version.root_id)
    return max((number for *where, number in known if tuple(where) == mine and number < version.number), default=None)
