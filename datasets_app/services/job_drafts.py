"""A job while it is being put together: datasets to choose from, and what each choice would mount."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from datasets_app.errors import AppError
from datasets_app.models import Version
from datasets_app.permissions import require
from datasets_app.services.browsing import list_versions
from datasets_app.services.dataset_filters import DatasetFilter
from datasets_app.services.datasets import DatasetSummary, get_dataset, list_datasets
from datasets_app.services.jobs import Attachment, mount_name_of
from datasets_app.services.labels import list_labels
from datasets_app.services.overlaps import warn_of_overlaps
from datasets_app.services.running import find_runner
from datasets_app.services.teams import get_team
from datasets_app.services.versions import find_version

if TYPE_CHECKING:
    from datasets_app.models import Dataset, Label, Team, User

CHOICES = 8
VERSIONS = 100


class Mounted(NamedTuple):
    """One chosen dataset: the versions (newest first) and labels to choose from, the one to be pinned, any problem."""

    attachment: Attachment
    versions: list[Version]
    labels: list[Label]
    version: Version | None
    mount_name: str
    problem: str

    @property
    def is_extra(self) -> bool:
        """Whether what was asked for is not among the choices: an older version, or one that is not there."""
        wanted = self.attachment.version
        offered = {label.name for label in self.labels} | {version.number for version in self.versions}
        return wanted is not None and wanted not in offered


class Draft(NamedTuple):
    """What a form about a job shows: `choices` answers the search, `problem` says why no job can run here."""

    team: Team
    mounted: list[Mounted]
    choices: list[DatasetSummary]
    problem: str
    # Pairs that share files, and how many (None: not compared yet): training data that is in the evaluation data, say.
    overlaps: list[tuple[Version, Version, int | None]]


def draft_job(actor: User, *, team: str, attachments: Sequence[Attachment], search: str = "") -> Draft:
    """Look up what the form shows. Problems of single datasets are told beside them, not raised.

    Raises NotFound for strangers, Forbidden for those who may not submit jobs.
    """
    row = get_team(actor, team=team)
    require(actor, "job.create", row)
    mounted: list[Mounted] = []
    for attachment in attachments:
        taken = {other.mount_name for other in mounted}
        mounted.append(_look_up(actor, row, attachment, taken))
    choices = list_datasets(actor, team=team, wanted=DatasetFilter(search=search), limit=CHOICES).items
    overlaps = warn_of_overlaps([one.version for one in mounted if one.version is not None])
    return Draft(row, mounted, choices, find_runner("local").check() or "", overlaps)


def free_mount_name(dataset: str, attachments: Sequence[Attachment]) -> str:
    """Return a mount name for one more dataset: "" (its own name) unless taken, else its name and a number."""
    taken = {mount_name_of(attachment) for attachment in attachments}
    if dataset not in taken:
        return ""
    number = 2
    # A name has at most 63 characters.
    while f"{dataset[:58]}-{number}" in taken:
        number += 1
    return f"{dataset[:58]}-{number}"


def _look_up(actor: User, team: Team, attachment: Attachment, taken: set[str]) -> Mounted:
    name = mount_name_of(attachment)
    try:
        dataset = get_dataset(actor, team=team.name, name=attachment.dataset)
    except AppError as error:
        return Mounted(attachment, [], [], None, name, error.detail)
    versions = list_versions(actor, dataset=dataset, available=True, limit=VERSIONS).items
    labels = [label for label in list_labels(actor, dataset=dataset) if label.version.deleted_at is None]
    found, problem = _find(actor, dataset, versions, attachment.version)
    if dataset.archived_at is not None:
        problem = f"{dataset.name} is archived."
    elif not versions:
        problem = f"{dataset.name} has no available version yet."
    elif found is not None and name in taken:
        problem = f"/input/{name} is there twice. Give one of them another mount name."
    return Mounted(attachment, versions, labels, found, name, problem)


def _find(
    actor: User, dataset: Dataset, versions: list[Version], wanted: int | str | None
) -> tuple[Version | None, str]:
    """Return the version that a number or a label means, and what is wrong when there is none."""
    if wanted is None:
        return next(iter(versions), None), ""
    try:
        found = find_version(actor, team=dataset.team.name, dataset=dataset.name, number=wanted)
    except AppError as error:
        return None, error.detail if isinstance(
            wanted, str
        ) else f"There is no available version {dataset.name}@{wanted}."
    if found.status != Version.Status.AVAILABLE:
        return None, f"There is no available version {dataset.name}@{wanted}."
    return found, ""
