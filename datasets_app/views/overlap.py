"""The page about what two versions share, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render
from django.views.decorators.http import require_safe

from datasets_app.errors import AppError
from datasets_app.services.overlaps import find_overlap
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, is_part, signed_in
from datasets_app.views.tree import tree_frame

if TYPE_CHECKING:
    from django.http import HttpResponse

    from datasets_app.models import Version


@require_safe
@signed_in
def version_overlap(request: SignedInRequest, team: str, name: str, number: int) -> HttpResponse:
    """Compare a version with another one: `dataset` or `dataset@3` of the team, `team/dataset@3` of another one."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    wanted = request.GET.get("with", "").strip()
    context = tree_frame(version) | {"wanted": wanted, "other": None, "overlap": None, "problem": ""}
    if wanted:
        try:
            other = _named(request, team, wanted)
            # What follows a worker by polling must not wake it each time.
            overlap = find_overlap(request.user, version=version, other=other, wake=not is_part(request))
            context |= {"other": other, "overlap": overlap}
        except AppError as error:
            context["problem"] = error.detail
    return render(request, f"versions/version_overlap.html{'#result' if is_part(request) else ''}", context)


def _named(request: SignedInRequest, team: str, wanted: str) -> Version:
    name, _, number = wanted.partition("@")
    other_team, _, dataset = name.rpartition("/")
    return find_version(request.user, team=other_team or team, dataset=dataset, number=number or "latest")
