"""Connections: how a team reaches its remote stores. Admins make them, writers use them, readers see what there is.

Secrets are encrypted by `credentials` and never leave this room but into a source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.utils import timezone

from datasets_app.errors import Conflict
from datasets_app.models import AuditEvent, Connection, Import, RememberedObject
from datasets_app.permissions import get_visible, require
from datasets_app.services.connection_rules import (
    SECRET,
    clean_values,
    in_words,
    refuse_kept_secrets,
)
from datasets_app.services.credentials import decrypt_secrets, encrypt_secrets
from datasets_app.services.egress import source_route
from datasets_app.services.teams import get_team
from datasets_app.services.validation import check_name, invalid_field
from datasets_app.sources.base import CheckStep, Settings, SourceError, Walk
from datasets_app.sources.registry import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from datasets_app.models import User
    from datasets_app.sources.base import Provider, Source

PATH_LENGTH = 2_048
REVISION_LENGTH = 200


SHOWN_IMPORTS = 20
# Stands in the API where a connection's name could stand.
PROVIDERS_WORD = "providers"


class ConnectionSummary(NamedTuple):
    """A connection with what lists show: how many imports came by it, and how many of them are under way.

    `provider` is None where this server does not know its kind any more.
    """

    connection: Connection
    provider: Provider | None
    import_count: int
    active_count: int


class ConnectionFacts(NamedTuple):
    """A connection with what its page shows.

    `settings` are label and value; `secrets` label and whether there is one, None when no key can read them any more;
    `imports` the newest of `import_count`, with their versions.
    """

    connection: Connection
    provider: Provider
    settings: list[tuple[str, str]]
    secrets: list[tuple[str, bool]] | None
    imports: list[Import]
    import_count: int
    active_count: int


def find_provider(name: str) -> Provider:
    """Return the provider of that name. Raise Invalid when there is none."""
    provider = PROVIDERS.get(name)
    if provider is None:
        raise invalid_field("provider", f"A provider is one of {', '.join(PROVIDERS)}.")
    return provider


def list_providers(actor: User, *, team: str) -> list[Provider]:
    """Return the kinds of stores that the team can connect to."""
    require(actor, "connection.view", get_team(actor, team=team))
    return list(PROVIDERS.values())


def list_connections(actor: User, *, team: str) -> list[ConnectionSummary]:
    """Return all connections of the team, by name."""
    row = get_team(actor, team=team)
    require(actor, "connection.view", row)
    counts = {
        item["connection"]: item
        for item in Import.objects.filter(connection__team=row)
        .values("connection")
        .annotate(all=Count("pk"), active=Count("pk", filter=Q(status__in=Import.ACTIVE)))
    }
    none = {"all": 0, "active": 0}
    return [
        ConnectionSummary(
            one, PROVIDERS.get(one.provider), counts.get(one.pk, none)["all"], counts.get(one.pk, none)["active"]
        )
        for one in Connection.objects.filter(team=row).select_related("team", "created_by").order_by("name")
    ]


def get_connection(actor: User, *, team: str, name: str) -> Connection:
    """Return the connection with its team; NotFound for strangers."""
    rows = Connection.objects.visible_to(actor).filter(team__name=team, name=name).select_related("team", "created_by")
    return get_visible(rows.first(), f"connection {name} in {team}")


def describe_connection(actor: User, *, team: str, name: str) -> ConnectionFacts:
    """Return the connection with its settings in words, which secrets there are, and the newest imports by it."""
    row = get_connection(actor, team=team, name=name)
    provider = find_provider(row.provider)
    imports = Import.objects.filter(connection=row, version__deleted_at=None, version__dataset__deleted_at=None)
    secrets = None
    if are_readable(row):
        kept = stored_secrets(row)
        secrets = [(field.label, field.name in kept) for field in provider.fields if field.kind == SECRET]
    return ConnectionFacts(
        connection=row,
        provider=provider,
        settings=[(field.label, shown) for field in provider.fields if (shown := in_words(field, row.settings))],
        secrets=secrets,
        imports=list(
            imports.select_related("version__dataset", "created_by").order_by("-created_at", "-id")[:SHOWN_IMPORTS]
        ),
        import_count=imports.count(),
        active_count=imports.active().count(),
    )


def create_connection(actor: User, *, team: str, name: str, provider: str, values: Mapping[str, str]) -> Connection:
    """Keep how to reach a store. `values` are the provider's fields, secrets among them; a switch is "on" or "".

    No network is used: `check_connection` proves it. Raises Invalid with all fields that are wrong, Conflict for a
    name in use.
    """
    owner = get_team(actor, team=team)
    require(actor, "connection.edit", owner)
    check_name(name)
    if name.lower() == PROVIDERS_WORD:
        raise invalid_field("name", f"The name {name} is used by the application itself.")
    cleaned = clean_values(find_provider(provider), values)
    try:
        with transaction.atomic():
            row = Connection.objects.create(
                team=owner,
                name=name,
                provider=provider,
                settings=dict(cleaned.values),
                credentials=encrypt_secrets(cleaned.secrets),
                created_by=actor,
            )
            AuditEvent.objects.record(actor, team=owner, verb="created connection", subject=name, provider=provider)
    except IntegrityError as error:
        detail = f"{owner.name} already has a connection called {name}."
        raise Conflict(detail, errors=[{"field": "name", "detail": detail}]) from error
    return row


def edit_connection(
    actor: User, *, connection: Connection, values: Mapping[str, str], forget: Collection[str] = ()
) -> Connection:
    """Change what a connection says. Fields that are not given stay; an empty secret keeps the old one.

    `forget` names secrets to remove. Where the store is can only be changed together with the secrets, or they could
    be sent to a server of the editor's choice; and not while an import uses it (Conflict).
    """
    require(actor, "connection.edit", connection)
    provider = find_provider(connection.provider)
    kept = _kept_secrets(provider, connection, values)
    given = {name: value for name, value in values.items() if value or name not in kept}
    cleaned = clean_values(
        provider, {**connection.settings, **{k: v for k, v in kept.items() if k not in forget}, **given}
    )
    has_moved = dict(cleaned.values) != connection.settings
    if has_moved:
        refuse_kept_secrets(provider, was=connection.settings, cleaned=cleaned, kept=kept)
    with transaction.atomic():
        if _lock(connection).updated_at != connection.updated_at:
            raise Conflict(f"{connection.name} was edited by somebody else just now. Look at it, then change it again.")
        if has_moved:
            _refuse_while_used(connection, "Where {0} points to can't be changed, only its credentials,")
            RememberedObject.objects.filter(connection=connection).delete()
        replaced = sorted(name for name, value in cleaned.secrets.items() if kept.get(name) != value)
        removed = sorted(kept.keys() - cleaned.secrets.keys())
        changed = sorted(k for k, v in cleaned.values.items() if connection.settings.get(k, "") != v)
        connection.settings = dict(cleaned.values)
        connection.credentials = encrypt_secrets(cleaned.secrets)
        connection.checked = {}
        connection.updated_at = timezone.now()
        connection.save(update_fields=["settings", "credentials", "checked", "updated_at"])
        AuditEvent.objects.record(
            actor,
            team=connection.team,
            verb="edited connection",
            subject=connection.name,
            changed=changed,
            replaced=replaced,
            removed=removed,
        )
    return connection


def delete_connection(actor: User, *, connection: Connection) -> None:
    """Forget a connection, its secrets, and what it remembers of earlier imports. Conflict while an import uses it."""
    require(actor, "connection.edit", connection)
    with transaction.atomic():
        _lock(connection)
        _refuse_while_used(connection, "{0} can't be deleted")
        AuditEvent.objects.record(actor, team=connection.team, verb="deleted connection", subject=connection.name)
        Connection.objects.filter(pk=connection.pk).delete()


def check_connection(actor: User, *, connection: Connection, path: str = "") -> list[CheckStep]:
    """Prove step by step that the connection works, for `path` too where one is given. The outcome is kept."""
    return list(start_check(actor, connection=connection, path=path))


def start_check(actor: User, *, connection: Connection, path: str = "") -> Iterator[CheckStep]:
    """Begin a check and return its steps as they are done; the outcome is kept once they are exhausted."""
    require(actor, "connection.use", connection)
    return _check(connection, _check_length(path, field="path", most=PATH_LENGTH))


def browse_connection(
    actor: User, *, connection: Connection, path: str = "", revision: str = "", cursor: str = ""
) -> Walk:
    """Return a page of what lies directly below `path` in the store. Raises SourceError."""
    require(actor, "connection.use", connection)
    return open_source(connection).browse(
        _check_length(path, field="path", most=PATH_LENGTH),
        revision=_check_length(revision, field="revision", most=REVISION_LENGTH),
        cursor=cursor,
    )


def list_revisions(actor: User, *, connection: Connection, path: str) -> list[str]:
    """Return branches and tags of the repository at `path`, the default first; empty where the store has none."""
    require(actor, "connection.use", connection)
    if not find_provider(connection.provider).has_revisions:
        return []
    return open_source(connection).revisions(_check_length(path, field="path", most=PATH_LENGTH))


def open_source(connection: Connection) -> Source:
    """Return the remote store, connected with the decrypted secrets. For services and workers: no actor is asked."""
    provider = find_provider(connection.provider)
    secrets = decrypt_secrets(connection.credentials)
    return provider.connect(Settings(connection.settings, secrets), source_route())


def are_readable(connection: Connection) -> bool:
    """Whether a key of ours fits the stored secrets."""
    try:
        decrypt_secrets(connection.credentials)
    except SourceError:
        return False
    return True


def stored_secrets(connection: Connection) -> list[str]:
    """Return the names of the secrets that are kept; none when no key can read them any more."""
    try:
        return sorted(decrypt_secrets(connection.credentials))
    except SourceError:
        return []


def _check(connection: Connection, path: str) -> Iterator[CheckStep]:
    steps: list[CheckStep] = []
    try:
        for step in open_source(connection).check(path):
            steps.append(step)
            yield step
    except SourceError as error:
        step = CheckStep("Check", ok=False, detail=error.detail)
        steps.append(step)
        yield step
    connection.checked = {
        "at": timezone.now().isoformat(timespec="seconds"),
        "ok": bool(steps) and all(step.ok is not False for step in steps),
        "path": path,
        "steps": [step._asdict() for step in steps],
    }
    # Edited meanwhile: then it is not what was checked.
    Connection.objects.filter(pk=connection.pk, updated_at=connection.updated_at).update(checked=connection.checked)


def _kept_secrets(provider: Provider, connection: Connection, values: Mapping[str, str]) -> dict[str, str]:
    """Return the old secrets; none when they can't be read any more and new ones are brought."""
    try:
        return decrypt_secrets(connection.credentials)
    except SourceError:
        if any(values.get(field.name) for field in provider.fields if field.kind == SECRET):
            return {}
        raise


def _lock(connection: Connection) -> Connection:
    """Hold the row, as the start of an import does, so that none begins meanwhile."""
    found = Connection.objects.select_for_update().filter(pk=connection.pk).first()
    return get_visible(found, f"connection {connection.name}")


def _refuse_while_used(connection: Connection, what: str) -> None:
    active = Import.objects.active().filter(connection=connection).select_related("version__dataset").first()
    if active is not None:
        refusal = what.format(connection.name)
        raise Conflict(f"{refusal} while an import uses it ({active.version.label}). Wait for its end, or cancel it.")


def _check_length(text: str, *, field: str, most: int) -> str:
    """Return a path or revision as it is: stores allow spaces at its ends."""
    if len(text) > most:
        raise invalid_field(field, f"This has {len(text):,} characters; at most {most:,} fit.")
    return text
