"""Where a version comes from: what was sealed while it was made, and whose content it repeats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from datasets_app.models import Version
from datasets_app.permissions import require

if TYPE_CHECKING:
    from datasets_app.models import User

SHOWN = 5


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
