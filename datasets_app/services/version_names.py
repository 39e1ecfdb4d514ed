"""Versions by the names that people type: `3` or `production` of one dataset, `evaluation@3`, `team/evaluation`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets_app.models import LATEST
from datasets_app.services.versions import find_version

if TYPE_CHECKING:
    from datasets_app.models import User, Version


def find_named_version(actor: User, *, team: str, wanted: str, dataset: str = "") -> Version:
    """Return the version that `wanted` names: `dataset`, `dataset@3`, `team/dataset@label`; NotFound for strangers.

    Without a team it is one of `team`, without a number or label the newest. With `dataset`, what has neither "@" nor
    "/" is a number or label of that one.
    """
    wanted = wanted.strip()
    if dataset and not {"@", "/"} & set(wanted):
        return find_version(actor, team=team, dataset=dataset, number=wanted)
    name, _, number = wanted.partition("@")
    other_team, _, name = name.rpartition("/")
    return find_version(actor, team=other_team or team, dataset=name or dataset, number=number or LATEST)


def name_version(version: Version, *, beside: Version) -> str:
    """Return the shortest name that leads from `beside` to `version`: a number, `dataset@3` or `team/dataset@3`."""
    dataset = version.dataset
    if dataset.pk == beside.dataset.pk:
        return str(version.number)
    label = f"{dataset.name}@{version.number}"
    return label if dataset.team_id == beside.dataset.team_id else f"{dataset.team.name}/{label}"
