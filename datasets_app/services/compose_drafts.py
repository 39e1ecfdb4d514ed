"""A composed version while its recipe is put together: datasets to choose from, and what the parts would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datasets_app.errors import AppError
from datasets_app.permissions import require
from datasets_app.services.browsing import list_versions
from datasets_app.services.composing import CompositionPreview, preview_composition
from datasets_app.services.dataset_filters import DatasetFilter
from datasets_app.services.datasets import DatasetSummary, get_dataset, list_datasets
from datasets_app.services.teams import get_team

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.models import Team, User, Version
    from datasets_app.services.recipes import Part
    from datasets_app.store.union import OnClash

CHOICES = 8
VERSIONS = 100


class DraftPart(NamedTuple):
    """One part, and the versions of its dataset to choose from, the newest first."""

    part: Part
    versions: list[Version]


class ComposeDraft(NamedTuple):
    """What the form shows. `preview` is None without parts; `problem` says why there is none with them."""

    team: Team
    parts: list[DraftPart]
    choices: list[DatasetSummary]
    preview: CompositionPreview | None
    problem: str


def draft_composition(
    actor: User, *, team: str, parts: Sequence[Part], on_clash: OnClash = "refuse", search: str = ""
) -> ComposeDraft:
    """Look up what the form shows. Raises NotFound for strangers, Forbidden for readers."""
    row = get_team(actor, team=team)
    require(actor, "version.create", row)
    preview, problem = None, ""
    if parts:
        try:
            preview = preview_composition(actor, team=team, parts=parts, on_clash=on_clash)
        except AppError as error:
            problem = error.detail
    drafts = [DraftPart(part, _versions(actor, team, part.dataset)) for part in parts]
    choices = list_datasets(actor, team=team, wanted=DatasetFilter(search=search), limit=CHOICES).items
    return ComposeDraft(row, drafts, choices, preview, problem)


def _versions(actor: User, team: str, name: str) -> list[Version]:
    try:
        dataset = get_dataset(actor, team=team, name=name)
    except AppError:
        return []
    return list_versions(actor, dataset=dataset, available=True, limit=VERSIONS).items
