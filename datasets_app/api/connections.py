"""Routes about connections: how to reach remote stores, whether it works, what is there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.http import HttpResponse
from django.urls import reverse
from ninja import Path, Router, Status

from datasets_app.api.auth import ApiRequest
from datasets_app.api.schemas import Answer, Body, Page
from datasets_app.models import Connection
from datasets_app.services import connections
from datasets_app.sources.base import CheckStep

router = Router()


class NewConnection(Body):
    """A connection to make. `values` are the provider's fields by name, secrets among them; a switch is "on" or "".

    Providers and their fields are listed by `GET .../connections/providers`.
    """

    name: str
    provider: str
    values: dict[str, str] = {}


class ConnectionEdit(Body):
    """What to change. Fields that are not named stay, an empty secret too; `forget` names secrets to remove."""

    values: dict[str, str] = {}
    forget: list[str] = []


class StepAnswer(Answer):
    """One step of a check: `ok` is null where it showed nothing, for instance because an earlier one failed."""

    name: str
    ok: bool | None
    detail: str


class CheckAnswer(Answer):
    """A check: whether it works, and what was done."""

    ok: bool
    path: str
    checked_at: datetime
    steps: list[StepAnswer]


class ConnectionAnswer(Answer):
    """A connection. `values` are its settings; of its secrets only the names are told, in `secrets`."""

    team: str
    name: str
    provider: str
    values: dict[str, str]
    secrets: list[str]
    check: CheckAnswer | None
    created_by: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Connection) -> Self:
        """Render a connection."""
        return cls(
            team=row.team.name,
            name=row.name,
            provider=row.provider,
            values=row.settings,
            secrets=connections.stored_secrets(row),
            check=_check_of(row),
            created_by=row.created_by.get_username() if row.created_by else None,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


class FieldAnswer(Answer):
    """A field of a provider. `kind`: text, secret, switch ("on" or ""), choice (one of `choices`), long.

    `when`, as "field=value": it counts only where that field has that value.
    """

    name: str
    label: str
    kind: str
    required: bool
    when: str
    help: str
    choices: list[str]
    default: str


class ProviderAnswer(Answer):
    """A kind of store, what its source paths look like, and the fields that a connection to it has."""

    name: str
    label: str
    path_help: str
    has_revisions: bool
    fields: list[FieldAnswer]


class ProvidersAnswer(Answer):
    """All kinds of stores; never more than one page."""

    items: list[ProviderAnswer]
    next_cursor: None = None


class SourceEntryAnswer(Answer):
    """Something in the store. `path` is a source path; `size` in bytes, null for folders."""

    name: str
    path: str
    type: str
    size: int | None
    detail: str


@router.post("", response={201: ConnectionAnswer}, operation_id="create_connection", summary="Make a connection")
def create(request: ApiRequest, team: Path[str], payload: NewConnection, response: HttpResponse) -> Any:  # noqa: ANN401
    """Keep how to reach a store; secrets are encrypted and never told again. Needs the role admin.

    No network is used: check the connection afterwards.
    """
    connections.create_connection(request.auth, team=team, **payload.model_dump())
    response.headers["Location"] = reverse("api:get_connection", kwargs={"team": team, "name": payload.name})
    return Status(201, get(request, team, payload.name))


@router.get("", response=Page[ConnectionAnswer], operation_id="list_connections", summary="List connections")
def list_all(request: ApiRequest, team: Path[str]) -> Page[ConnectionAnswer]:
    """Return all connections of the team, by name; never more than one page."""
    found = connections.list_connections(request.auth, team=team)
    return Page[ConnectionAnswer](items=[ConnectionAnswer.of(row.connection) for row in found], next_cursor=None)


@router.get("/providers", response=ProvidersAnswer, operation_id="list_providers", summary="List kinds of stores")
def providers(request: ApiRequest, team: Path[str]) -> ProvidersAnswer:
    """Return the kinds of stores that this server can connect to, with their fields."""
    found = connections.list_providers(request.auth, team=team)
    return ProvidersAnswer(
        items=[
            ProviderAnswer(
                name=provider.name,
                label=provider.label,
                path_help=provider.path_help,
                has_revisions=provider.has_revisions,
                fields=[
                    FieldAnswer(**field._asdict() | {"choices": [value for value, _ in field.choices]})
                    for field in provider.fields
                ],
            )
            for provider in found
        ]
    )


@router.get(
    "/{name}",
    response=ConnectionAnswer,
    operation_id="get_connection",
    summary="Show a connection",
    url_name="get_connection",
)
def get(request: ApiRequest, team: Path[str], name: Path[str]) -> ConnectionAnswer:
    """Return one connection, without its secrets."""
    return ConnectionAnswer.of(connections.get_connection(request.auth, team=team, name=name))


@router.patch("/{name}", response=ConnectionAnswer, operation_id="edit_connection", summary="Change a connection")
def edit(request: ApiRequest, team: Path[str], name: Path[str], payload: ConnectionEdit) -> ConnectionAnswer:
    """Change settings or replace secrets. Needs the role admin.

    409 for other settings while an import uses it; 422 when it would lead to another server with the old secrets.
    """
    row = connections.get_connection(request.auth, team=team, name=name)
    connections.edit_connection(request.auth, connection=row, values=payload.values, forget=payload.forget)
    return ConnectionAnswer.of(row)


@router.delete("/{name}", response={204: None}, operation_id="delete_connection", summary="Delete a connection")
def delete(request: ApiRequest, team: Path[str], name: Path[str]) -> Any:  # noqa: ANN401
    """Delete a connection with its secrets; 409 while an import uses it. Datasets stay. Needs the role admin."""
    row = connections.get_connection(request.auth, team=team, name=name)
    connections.delete_connection(request.auth, connection=row)
    return Status(204, None)


@router.post("/{name}/check", response=CheckAnswer, operation_id="check_connection", summary="Check a connection")
def check(request: ApiRequest, team: Path[str], name: Path[str], path: str = "") -> Any:  # noqa: ANN401
    """Prove step by step that the store can be used, `path` too, and say what is wrong. Needs the role writer."""
    row = connections.get_connection(request.auth, team=team, name=name)
    connections.check_connection(request.auth, connection=row, path=path)
    return _check_of(row)


@router.get("/{name}/browse", response=Page[SourceEntryAnswer], operation_id="browse_connection", summary="Look around")
def browse(  # noqa: PLR0913 - one argument for each control of the list
    request: ApiRequest,
    *,
    team: Path[str],
    name: Path[str],
    path: str = "",
    revision: str = "",
    cursor: str = "",
) -> Page[SourceEntryAnswer]:
    """Return a page of what lies directly below `path`: buckets or repositories first. Needs the role writer.

    502 with the cause when the store refuses or does not answer.
    """
    row = connections.get_connection(request.auth, team=team, name=name)
    walk = connections.browse_connection(request.auth, connection=row, path=path, revision=revision, cursor=cursor)
    items = [
        SourceEntryAnswer(
            name=entry.name,
            path=entry.path,
            type="directory" if entry.is_folder else "file",
            size=entry.size,
            detail=entry.detail,
        )
        for entry in walk.entries
    ]
    return Page[SourceEntryAnswer](items=items, next_cursor=walk.cursor)


def _check_of(row: Connection) -> CheckAnswer | None:
    if row.checked_at is None:
        return None
    steps = [CheckStep(**step) for step in row.checked["steps"]]
    return CheckAnswer(
        ok=row.checked["ok"],
        path=row.checked["path"],
        checked_at=row.checked_at,
        steps=[StepAnswer(name=step.name, ok=step.ok, detail=step.detail) for step in steps],
    )
