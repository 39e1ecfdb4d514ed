"""Pages about datasets: the team's list, a new one, one dataset with its versions, its description."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from datasets_app.errors import AppError
from datasets_app.forms import DatasetEditForm, DatasetForm, show_errors
from datasets_app.models import Version
from datasets_app.permissions import may, require
from datasets_app.services.browsing import list_versions
from datasets_app.services.damages import damaged_versions
from datasets_app.services.dataset_filters import SOURCES, STATUSES, DatasetFilter, list_owners, list_tags
from datasets_app.services.datasets import (
    create_dataset,
    get_dataset,
    list_datasets,
    summarize_dataset,
    update_dataset,
)
from datasets_app.services.labels import label_names
from datasets_app.services.summaries import describe_version
from datasets_app.services.teams import get_team
from datasets_app.views.integrity import integrity_context
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from django.http import QueryDict


class Chosen(NamedTuple):
    """A condition that the list is narrowed to, in words, and the address without it."""

    label: str
    without: str


@require_safe
@signed_in
def dataset_list(request: SignedInRequest, team: str) -> HttpResponse:
    """List the team's datasets; htmx gets the results without the page around them."""
    row = get_team(request.user, team=team)
    wanted = _wanted(request.GET)
    sort = request.GET.get("sort") or "-updated"
    cursor = request.GET.get("cursor")
    page = list_datasets(request.user, team=team, wanted=wanted, sort=sort, cursor=cursor)
    context = {
        "team": row,
        "page": page,
        "wanted": wanted,
        "chosen": _chosen(wanted, request.GET),
        "sort": sort,
        "archived": request.GET.get("archived", ""),
        "cursor": cursor,
        "may_create": may(request.user, "dataset.create", row),
    }
    if is_part(request):
        return render(request, "datasets/dataset_list.html#results", context)
    tags = [word for word in list_tags(request.user, team=team) if word not in wanted.tags]
    context |= {
        "statuses": STATUSES,
        "sources": SOURCES,
        "tags": tags,
        "owners": list_owners(request.user, team=team),
        "opened": bool(wanted.owner or wanted.source or wanted.since or wanted.until),
    }
    return render(request, "datasets/dataset_list.html", context)


def _wanted(query: QueryDict) -> DatasetFilter:
    """Read the conditions from the address; the API takes the same ones."""
    word = {name: query.get(name, "").strip() for name in ("search", "owner", "status", "source", "since", "until")}
    tags = dict.fromkeys(tag.strip().lower() for tag in query.getlist("tag"))
    archived = {"true": True, "all": None}.get(query.get("archived", ""), False)
    return DatasetFilter(**word, tags=tuple(tag for tag in tags if tag), archived=archived)


def _chosen(wanted: DatasetFilter, query: QueryDict) -> list[Chosen]:
    """Name the conditions that count, each with the address of the list without it."""
    sources = dict(SOURCES)
    words = [
        ("search", wanted.search and f"“{wanted.search}”"),
        ("status", wanted.status and f"status: {wanted.status}"),
        ("owner", wanted.owner and f"made by {wanted.owner}"),
        ("source", wanted.source and f"source: {sources.get(wanted.source, wanted.source)}"),
        ("since", wanted.since and f"changed from {wanted.since}"),
        ("until", wanted.until and f"changed until {wanted.until}"),
        ("archived", {True: "archived", None: "archived or not"}.get(wanted.archived, "")),
    ]
    found = [Chosen(label, _without(query, name)) for name, label in words if label]
    return found + [Chosen(f"tag: {tag}", _without(query, "tag", tag)) for tag in wanted.tags]


def _without(query: QueryDict, name: str, value: str = "") -> str:
    """Write the query without a condition, and without the place in the list."""
    left = query.copy()
    left.pop("cursor", None)
    others = [one for one in left.getlist(name) if value and one.strip().lower() != value]
    left.setlist(name, others)
    for key in list(left):
        if not any(left.getlist(key)):
            del left[key]
    return f"?{left.urlencode()}"


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
    """Show a dataset and its versions; htmx asks for the versions again while one of them is under way.

    The address that it asks says which version is the latest there; when that is another, the page is loaded anew.
    """
    summary = summarize_dataset(request.user, team=team, name=name)
    cursor = request.GET.get("cursor")
    versions = list_versions(request.user, dataset=summary.dataset, cursor=cursor)
    labels = label_names(summary.dataset, versions.items)
    latest = summary.latest
    if is_part(request) and request.GET.get("latest", "") != (str(latest.number) if latest is not None else ""):
        # Facts and buttons all over the page are about the latest version.
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = {
        "team": summary.dataset.team,
        "dataset": summary.dataset,
        "summary": summary,
        "versions": versions,
        "rows": [(version, labels[version.pk]) for version in versions.items],
        "cursor": cursor,
        "inside": describe_version(request.user, version=latest) if latest is not None else None,
        "is_moving": not cursor and any(version.status not in Version.FINAL for version in versions.items),
        "damaged": damaged_versions(versions.items),
        "may_edit": may(request.user, "dataset.edit", summary.dataset),
        "may_add": may(request.user, "version.create", summary.dataset) and summary.dataset.archived_at is None,
        "may_run": may(request.user, "job.create", summary.dataset.team),
    }
    if is_part(request):
        return render(request, "datasets/dataset_detail.html#versions", context)
    return render(request, "datasets/dataset_detail.html", context | integrity_context(request.user, summary.dataset))


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
