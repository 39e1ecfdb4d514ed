"""Pages about space: what a team and a dataset store, of what, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import render
from django.views.decorators.http import require_safe

from datasets_app.services.browsing import list_versions
from datasets_app.services.datasets import get_dataset
from datasets_app.services.space import (
    list_dataset_spaces,
    list_samples,
    measure_dataset,
    measure_dataset_own,
    measure_team,
    measure_versions_of,
)
from datasets_app.services.teams import get_team
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse


@require_safe
@signed_in
def team_space(request: SignedInRequest, team: str) -> HttpResponse:
    """Show what the team stores, and its datasets by size."""
    row = get_team(request.user, team=team)
    cursor = request.GET.get("cursor")
    page = list_dataset_spaces(request.user, team=row, cursor=cursor)
    context = {
        "team": row,
        "now": measure_team(request.user, team=row),
        "samples": list_samples(request.user, team=row),
        "page": page,
        "cursor": cursor,
    }
    return render(request, "space/team_space.html", context)


@require_safe
@signed_in
def dataset_space(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Show what a dataset stores, version by version; htmx asks for the rows until all of them are counted."""
    dataset = get_dataset(request.user, team=team, name=name)
    cursor = request.GET.get("cursor")
    page = list_versions(request.user, dataset=dataset, available=True, cursor=cursor)
    figures = measure_versions_of(request.user, dataset=dataset, versions=page.items)
    context = {
        "team": dataset.team,
        "dataset": dataset,
        "rows": [(version, figures.get(version.pk)) for version in page.items],
        "is_counting": len(figures) < len(page.items),
        "cursor": cursor,
        "next_cursor": page.next_cursor,
    }
    if is_part(request):
        return render(request, "space/dataset_space.html#versions", context)
    now = measure_dataset(request.user, dataset=dataset)
    own = measure_dataset_own(request.user, dataset=dataset)
    samples = list_samples(request.user, team=dataset.team, dataset=dataset)
    context |= {"now": now, "own_size": own, "shared_size": now.live_size - own, "samples": samples}
    return render(request, "space/dataset_space.html", context)
