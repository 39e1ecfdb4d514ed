"""What can be done with an import under way, or with one that ended without all of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from datasets_app.errors import Conflict, NotFound
from datasets_app.services.imports import cancel_import, get_import, leave_out_failed, retry_import
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse

    from datasets_app.models import Import


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
    run = get_import(request.user, version=version)
    if run is None:
        raise NotFound(f"{version.label} was not imported.")
    try:
        service(request.user, run=run)
    except Conflict as refusal:
        messages.error(request, refusal.detail)
    return redirect("version_detail", team=team, name=name, number=number)
