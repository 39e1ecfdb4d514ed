"""A composed version while its recipe is put together: datasets to choose from, and what the parts would give."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datasets_app.errors import AppError
from datasets_app.permissions import require
from datasets_app.services.composing import CompositionPreview, preview_composition
from datasets_app.services.dataset_filters import DatasetFilter
from datasets_app.services.datasets import DatasetSummary, get_dataset, list_datasets
from datasets_app.services.teams import get_team
from datasets_app.services.version_choices import VersionChoices, offer_versions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from datasets_app.models import Team, User
    from datasets_app.services.recipes import Part
    from datasets_app.store.union import OnClash

CHOICES = 8


class DraftPart(NamedTuple):
    """One part, and what to choose from; None when its dataset is not there."""

    part: Part
    offered: VersionChoices | None


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
    drafts = [DraftPart(part, _offered(actor, team, part)) for part in parts]
    choices = list_datasets(actor, team=team, wanted=DatasetFilter(search=search), limit=CHOICES).items
    return ComposeDraft(row, drafts, choices, preview, problem)


def _offered(actor: User, team: str, part: Part) -> VersionChoices | None:
    try:
        dataset = get_dataset(actor, team=team, name=part.dataset)
    except AppError:
        return None
    return offer_versions(actor, dataset=dataset, wanted=str(part.version))
