"""An import while it is being put together: where from, and what it would go into."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from datasets_app.errors import AppError
from datasets_app.models import Dataset
from datasets_app.permissions import require
from datasets_app.services.connections import find_provider, get_connection, list_connections
from datasets_app.services.datasets import get_dataset
from datasets_app.services.imports import get_import
from datasets_app.services.teams import get_team
from datasets_app.services.version_choices import offer_versions
from datasets_app.services.versions import find_version

if TYPE_CHECKING:
    from datasets_app.models import Connection, Team, User
    from datasets_app.services.version_choices import VersionChoices
    from datasets_app.sources.base import Provider

# Offered for completion; others can be typed.
OFFERED_NAMES = 200


class Draft(NamedTuple):
    """What the form shows: `connection` and `provider` are None while none is chosen, `dataset` when it is a new one.

    `bases` are the versions of the dataset to start from; `problem` says why it can't be used.
    """

    team: Team
    connections: list[Connection]
    connection: Connection | None
    provider: Provider | None
    names: list[str]
    dataset: Dataset | None
    bases: VersionChoices | None
    problem: str


def draft_import(actor: User, *, team: str, connection: str, name: str, base: str = "") -> Draft:
    """Look up what the form shows, without any network. `base` is the version that was asked for to start from.

    Raises NotFound for strangers, Forbidden for readers.
    """
    row = get_team(actor, team=team)
    require(actor, "import.create", row)
    connections = [found.connection for found in list_connections(actor, team=team) if found.provider is not None]
    chosen = get_connection(actor, team=team, name=connection) if connection else None
    if chosen is None and len(connections) == 1:
        chosen = connections[0]
    names = Dataset.objects.active().filter(team=row, archived_at=None).order_by("name").values_list("name", flat=True)
    dataset, problem = _find_dataset(actor, team=team, name=name)
    return Draft(
        team=row,
        connections=connections,
        connection=chosen,
        provider=find_provider(chosen.provider) if chosen else None,
        names=list(names[:OFFERED_NAMES]),
        dataset=dataset,
        bases=offer_versions(actor, dataset=dataset, wanted=base) if dataset else None,
        problem=problem,
    )


def repeat_import(actor: User, *, team: str, name: str, number: int) -> dict[str, str]:
    """Return the form's fields as they were when the version was imported; only its name when it was not."""
    require(actor, "import.create", get_team(actor, team=team))
    version = find_version(actor, team=team, dataset=name, number=number)
    run = get_import(actor, version=version)
    if run is None:
        return {"name": name}
    return {
        "name": name,
        "connection": run.connection.name if run.connection else "",
        "source_path": run.source_path,
        "revision": run.revision,
        "include": "\n".join(run.include),
        "exclude": "\n".join(run.exclude),
        "prefix": run.prefix,
    }


def _find_dataset(actor: User, *, team: str, name: str) -> tuple[Dataset | None, str]:
    if not name:
        return None, ""
    try:
        dataset = get_dataset(actor, team=team, name=name)
    except AppError:
        return None, ""
    return dataset, f"{name} is archived: unarchive it before you add a version." if dataset.archived_at else ""
