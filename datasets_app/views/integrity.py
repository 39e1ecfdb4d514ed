"""What pages show of integrity: one panel, which follows a verification while it runs, and its button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from datasets_app.errors import Conflict
from datasets_app.permissions import may
from datasets_app.services.datasets import get_dataset
from datasets_app.services.integrity import verify_dataset, view_integrity
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from datasets_app.models import Dataset, User, Version


def integrity_context(user: User, dataset: Dataset, version: Version | None = None) -> dict[str, Any]:
    """Return what components/integrity.html needs."""
    return {
        "integrity": view_integrity(user, dataset=dataset, version=version),
        "integrity_version": version,
        "may_verify": may(user, "dataset.verify", dataset),
    }


@require_safe
@signed_in
def dataset_integrity(request: SignedInRequest, team: str, name: str, number: int | str = "") -> HttpResponse:
    """Answer htmx with the panel, and with the whole page once the verification has ended; others with the page."""
    dataset = get_dataset(request.user, team=team, name=name)
    version = find_version(request.user, team=team, dataset=name, number=number) if number else None
    if not is_part(request):
        if version is not None:
            return redirect("version_detail", team=team, name=name, number=version.number)
        return redirect("dataset_detail", team=team, name=name)
    found = integrity_context(request.user, dataset, version)
    if found["integrity"].running is None:
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = {"team": dataset.team, "dataset": dataset, **found}
    return render(request, "components/integrity.html", context)


@require_POST
@signed_in
def dataset_verify(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Ask for everything that the dataset holds to be read again."""
    dataset = get_dataset(request.user, team=team, name=name)
    try:
        verify_dataset(request.user, dataset=dataset)
    except Conflict as error:
        messages.info(request, error.detail)
    if number := request.POST.get("version"):
        version = find_version(request.user, team=team, dataset=name, number=number)
        return redirect("version_detail", team=team, name=name, number=version.number)
    return redirect("dataset_detail", team=team, name=name)
