"""What an import could not bring, and what can be done with one under way or without all of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from datasets_app.errors import Conflict, NotFound
from datasets_app.services.imports import cancel_import, get_import, leave_out_failed, list_problems, retry_import
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse

    from datasets_app.models import Import, Version


@require_safe
@signed_in
def import_problems(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """List all that could not be imported, page by page; htmx gets the rows alone."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    run = _newest(request, version)
    cursor = request.GET.get("cursor")
    context = {
        "team": version.dataset.team,
        "dataset": version.dataset,
        "version": version,
        "run": run,
        "cursor": cursor,
        "page": list_problems(request.user, run=run, cursor=cursor),
        "failed_files": run.failed_files + run.refused_files,
    }
    return render(request, f"imports/import_problems.html{'#rows' if is_part(request) else ''}", context)


@require_POST
@signed_in
def import_cancel(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Stop an import; what has been stored stays with the version."""
    return _act(request, team, name, number, cancel_import)


@require_POST
@signed_in
def import_retry(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Fetch what is missing."""
    return _act(request, team, name, number, retry_import)


@require_POST
@signed_in
def import_leave_out(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Seal the version without the files that failed."""
    return _act(request, team, name, number, leave_out_failed)


def _act(
    request: SignedInRequest, team: str, name: str, number: int | str, service: Callable[..., Import]
) -> HttpResponse:
    version = find_version(request.user, team=team, dataset=name, number=number)
    try:
        service(request.user, run=_newest(request, version))
    except Conflict as refusal:
        messages.error(request, refusal.detail)
    return redirect("version_detail", team=team, name=name, number=number)


def _newest(request: SignedInRequest, version: Version) -> Import:
    run = get_import(request.user, version=version)
    if run is None:
        raise NotFound(f"{version.label} was not imported.")
    return run
