"""What a form offers where a version is named: the newest ones, the labels, and always the one that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datasets_app.errors import AppError
from datasets_app.models import LATEST, Version
from datasets_app.services.browsing import list_versions
from datasets_app.services.labels import list_labels
from datasets_app.services.versions import find_version

if TYPE_CHECKING:
    from datasets_app.models import Dataset, Label, User

VERSIONS = 100


class VersionChoices(NamedTuple):
    """Versions (the newest first) and labels to choose from. `wanted` is a number or a label; empty for no wish.

    `found` is the available version that it means, if there is one. With `has_older` there are more than are listed.
    """

    versions: list[Version]
    labels: list[Label]
    wanted: str
    found: Version | None
    has_older: bool

    @property
    def is_extra(self) -> bool:
        """Whether what was asked for needs an option of its own, so that a browser doesn't send another one."""
        offered = {str(version.number) for version in self.versions} | {label.name for label in self.labels}
        return self.wanted not in offered | {"", LATEST}


def offer_versions(actor: User, *, dataset: Dataset, wanted: str = "") -> VersionChoices:
    """Look up what a form offers of a dataset that the actor may see."""
    page = list_versions(actor, dataset=dataset, available=True, limit=VERSIONS)
    labels = [label for label in list_labels(actor, dataset=dataset) if label.version.deleted_at is None]
    found = None
    if wanted:
        try:
            found = find_version(actor, team=dataset.team.name, dataset=dataset.name, number=wanted)
        except AppError:
            found = None
    if found is not None and found.status != Version.Status.AVAILABLE:
        found = None
    return VersionChoices(page.items, labels, wanted, found, has_older=page.next_cursor is not None)
