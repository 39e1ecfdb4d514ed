"""The page about what two versions share, byte for byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from datasets_app.errors import AppError
from datasets_app.services.overlaps import find_overlap
from datasets_app.services.version_names import find_named_version, name_version
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, is_part, signed_in
from datasets_app.views.tree import tree_frame

if TYPE_CHECKING:
    from django.http import HttpResponse


@require_safe
@signed_in
def version_overlap(request: SignedInRequest, team: str, name: str, number: int) -> HttpResponse:
    """Compare a version with another one: `dataset` or `dataset@3` of the team, `team/dataset@3` of another one."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    wanted = request.GET.get("with", "").strip()
    context = tree_frame(version) | {"wanted": wanted, "other": None, "overlap": None, "problem": ""}
    if wanted:
        try:
            other = find_named_version(request.user, team=team, wanted=wanted)
            overlap = find_overlap(request.user, version=version, other=other)
            context["diff_url"] = reverse("version_diff", args=(team, name, version.number, other.number))
            context |= {"other": other, "overlap": overlap, "other_name": name_version(other, beside=version)}
        except AppError as error:
            context["problem"] = error.detail
    return render(request, f"versions/version_overlap.html{'#result' if is_part(request) else ''}", context)
