"""Pages about connections: the team's list, a new one, one with its check, its settings, its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from datasets_app.errors import AppError, Conflict
from datasets_app.forms import ConnectionForm, show_errors
from datasets_app.permissions import may, require
from datasets_app.services.connections import (
    are_readable,
    create_connection,
    delete_connection,
    describe_connection,
    edit_connection,
    find_provider,
    get_connection,
    list_connections,
    start_check,
    stored_secrets,
)
from datasets_app.services.teams import get_team
from datasets_app.sources.registry import PROVIDERS
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.http.response import HttpResponseBase

    from datasets_app.models import Connection
    from datasets_app.sources.base import CheckStep


@require_safe
@signed_in
def connection_list(request: SignedInRequest, team: str) -> HttpResponse:
    """List the team's connections."""
    found = list_connections(request.user, team=team)
    row = get_team(request.user, team=team)
    context = {
        "team": row,
        "found": found,
        "may_edit": may(request.user, "connection.edit", row),
        "may_use": may(request.user, "connection.use", row),
    }
    return render(request, "connections/connection_list.html", context)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def connection_new(request: SignedInRequest, team: str) -> HttpResponse:
    """Choose a provider, then say how to reach it; the new connection's page checks it at once."""
    row = get_team(request.user, team=team)
    require(request.user, "connection.edit", row)
    kind = request.GET.get("provider", "")
    if kind not in PROVIDERS:
        return render(request, "connections/connection_new.html", {"team": row, "providers": PROVIDERS.values()})
    provider = find_provider(kind)
    form = ConnectionForm(request.POST if request.method == "POST" else None, provider=provider, is_new=True)
    if request.method == "POST" and form.is_valid():
        try:
            made = create_connection(
                request.user, team=team, name=form.cleaned_data["name"], provider=kind, values=form.values()
            )
        except AppError as error:
            show_errors(form, error)
        else:
            return redirect(f"{reverse('connection_detail', kwargs={'team': team, 'name': made.name})}?check=now")
    return _show_form(request, form, {"team": row})


@require_safe
@signed_in
def connection_detail(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Show a connection, its last check, and what came by it."""
    facts = describe_connection(request.user, team=team, name=name)
    context = {
        "team": facts.connection.team,
        "facts": facts,
        "connection": facts.connection,
        "may_edit": may(request.user, "connection.edit", facts.connection),
        "may_use": may(request.user, "connection.use", facts.connection),
        "check_now": request.GET.get("check") == "now",
    }
    return render(request, "connections/connection_detail.html", context)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def connection_edit(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Change settings, or replace secrets; an empty secret stays what it is."""
    connection = get_connection(request.user, team=team, name=name)
    require(request.user, "connection.edit", connection)
    form = ConnectionForm(
        request.POST if request.method == "POST" else None,
        provider=find_provider(connection.provider),
        is_new=False,
        stored=stored_secrets(connection),
        initial=_initial(connection),
    )
    if request.method == "POST" and form.is_valid():
        try:
            edit_connection(request.user, connection=connection, values=form.values(), forget=form.forgotten())
        except AppError as error:
            show_errors(form, error)
        else:
            return redirect(f"{reverse('connection_detail', kwargs={'team': team, 'name': name})}?check=now")
    more = {"team": connection.team, "connection": connection, "is_unreadable": not are_readable(connection)}
    return _show_form(request, form, more)


@require_POST
@signed_in
def connection_delete(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Delete a connection, unless an import uses it."""
    connection = get_connection(request.user, team=team, name=name)
    try:
        delete_connection(request.user, connection=connection)
    except Conflict as error:
        messages.error(request, error.detail)
        return redirect("connection_detail", team=team, name=name)
    messages.success(request, f"The connection {name} and its credentials were deleted. Imported datasets stay.")
    return redirect("connection_list", team=team)


@require_POST
@signed_in
def connection_check(request: SignedInRequest, team: str, name: str) -> HttpResponseBase:
    """Check a connection. A script gets each step as soon as it is done, one JSON line for each; others the page."""
    connection = get_connection(request.user, team=team, name=name)
    steps = start_check(request.user, connection=connection, path=request.POST.get("path", ""))
    if request.htmx:
        return StreamingHttpResponse(_lines(connection, steps), content_type="application/x-ndjson")
    for _ in steps:
        pass
    return redirect("connection_detail", team=team, name=name)


def _show_form(request: SignedInRequest, form: ConnectionForm, more: dict[str, object]) -> HttpResponse:
    context = {
        "form": form,
        "provider": form.provider,
        "networks": settings.ALLOWED_SOURCE_NETWORKS,
        "egress": bool(settings.EGRESS_PROXY),
        **more,
    }
    return render(request, "connections/connection_form.html", context, status=422 if form.errors else 200)


def _lines(connection: Connection, steps: Iterator[CheckStep]) -> Iterator[bytes]:
    """Render the steps as they come, and at the end what they amount to."""
    for step in steps:
        yield _line(step=render_to_string("connections/connection_detail.html#step", {"step": step._asdict()}))
    yield _line(outcome=render_to_string("connections/connection_detail.html#outcome", {"connection": connection}))


def _line(**parts: str) -> bytes:
    return json.dumps(parts).encode() + b"\n"


def _initial(connection: Connection) -> dict[str, object]:
    """Return what the form starts with: a switch is ticked by a value."""
    provider = find_provider(connection.provider)
    switches = {field.name for field in provider.fields if field.kind == "switch"}
    return {name: bool(value) if name in switches else value for name, value in connection.settings.items()}
