"""Pages about datasets: the team's list, a new one, one dataset with its versions, its description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from datasets_app.errors import AppError
from datasets_app.forms import DatasetEditForm, DatasetForm, show_errors
from datasets_app.models import Version
from datasets_app.permissions import may, require
from datasets_app.services.browsing import list_versions
from datasets_app.services.datasets import (
    STATUSES,
    create_dataset,
    get_dataset,
    list_datasets,
    list_tags,
    summarize_dataset,
    update_dataset,
)
from datasets_app.services.labels import label_names
from datasets_app.services.teams import get_team
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse


@require_safe
@signed_in
def dataset_list(request: SignedInRequest, team: str) -> HttpResponse:
    """List the team's datasets; htmx gets the results without the page around them."""
    asked = {key: request.GET.get(key, "").strip() for key in ("search", "status", "tag")}
    sort = request.GET.get("sort") or "-updated"
    show = request.GET.get("show", "")
    cursor = request.GET.get("cursor")
    page = list_datasets(
        request.user,
        team=team,
        search=asked["search"],
        status=asked["status"],
        tag=asked["tag"],
        archived=show == "archived",
        sort=sort,
        cursor=cursor,
    )
    row = get_team(request.user, team=team)
    context = {
        "team": row,
        "page": page,
        "sort": sort,
        "show": show,
        "cursor": cursor,
        "filtered": any(asked.values()) or show == "archived",
        "statuses": STATUSES,
        "may_create": may(request.user, "dataset.create", row),
        **asked,
    }
    if is_part(request):
        return render(request, "datasets/dataset_list.html#results", context)
    return render(request, "datasets/dataset_list.html", context | {"tags": list_tags(request.user, team=team)})


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dataset_new(request: SignedInRequest, team: str) -> HttpResponse:
    """Make a dataset and lead to the page that fills it."""
    row = get_team(request.user, team=team)
    require(request.user, "dataset.create", row)
    form = DatasetForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        try:
            dataset = create_dataset(request.user, team=team, **form.cleaned_data)
        except AppError as error:
            show_errors(form, error)
        else:
            return redirect("version_upload_new", team=team, name=dataset.name)
    context = {"team": row, "form": form}
    return render(request, "datasets/dataset_new.html", context, status=422 if form.errors else 200)


@require_safe
@signed_in
def dataset_detail(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Show a dataset and its versions; htmx asks for the versions again while one of them is under way."""
    summary = summarize_dataset(request.user, team=team, name=name)
    cursor = request.GET.get("cursor")
    versions = list_versions(request.user, dataset=summary.dataset, cursor=cursor)
    labels = label_names(summary.dataset, versions.items)
    context = {
        "team": summary.dataset.team,
        "dataset": summary.dataset,
        "summary": summary,
        "versions": versions,
        "rows": [(version, labels[version.pk]) for version in versions.items],
        "cursor": cursor,
        "is_moving": not cursor and any(version.status not in Version.FINAL for version in versions.items),
        "may_edit": may(request.user, "dataset.edit", summary.dataset),
        "may_add": may(request.user, "version.create", summary.dataset) and summary.dataset.archived_at is None,
        "may_run": may(request.user, "job.create", summary.dataset.team),
    }
    part = "#versions" if is_part(request) else ""
    return render(request, f"datasets/dataset_detail.html{part}", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dataset_edit(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Change the description and the tags."""
    dataset = get_dataset(request.user, team=team, name=name)
    require(request.user, "dataset.edit", dataset)
    now = {"description": dataset.description, "tags": ", ".join(dataset.tags.values_list("name", flat=True))}
    form = DatasetEditForm(request.POST if request.method == "POST" else None, initial=now)
    if request.method == "POST" and form.is_valid():
        try:
            update_dataset(request.user, team=team, name=name, **form.cleaned_data)
        except AppError as error:
            show_errors(form, error)
        else:
            messages.success(request, f"{name} was saved.")
            return redirect("dataset_detail", team=team, name=name)
    context = {"team": dataset.team, "dataset": dataset, "form": form}
    return render(request, "datasets/dataset_edit.html", context, status=422 if form.errors else 200)
