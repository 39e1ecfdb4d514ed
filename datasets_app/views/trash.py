"""Pages that delete, archive, restore and purge. Each says first what it touches, what it frees, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from datasets_app.errors import AppError, Conflict
from datasets_app.models import Dataset, Version
from datasets_app.permissions import may, require
from datasets_app.services.archiving import archive_dataset, describe_archiving, unarchive_dataset
from datasets_app.services.datasets import get_dataset
from datasets_app.services.removal import (
    describe_dataset_purge,
    describe_dataset_removal,
    describe_version_purge,
    describe_version_removal,
    purge_time,
)
from datasets_app.services.teams import get_team
from datasets_app.services.trash import (
    delete_dataset,
    delete_version,
    find_trashed_dataset,
    find_trashed_version,
    list_trashed_datasets,
    list_trashed_versions,
    purge_dataset,
    purge_version,
    restore_dataset,
    restore_version,
)
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpResponse


@require_safe
@signed_in
def trash_list(request: SignedInRequest, team: str) -> HttpResponse:
    """List what is in the team's trash, with who put it there and when it goes for good."""
    row = get_team(request.user, team=team)
    cursor = request.GET.get("cursor")
    versions = list_trashed_versions(request.user, team=team, cursor=cursor)
    datasets = list_trashed_datasets(request.user, team=team, cursor=request.GET.get("datasets"))
    context = {
        "team": row,
        "cursor": cursor,
        "datasets": [(dataset, _purged_at(dataset)) for dataset in datasets.items],
        "datasets_cursor": datasets.next_cursor,
        "versions": [(version, _purged_at(version)) for version in versions.items],
        "next_cursor": versions.next_cursor,
        "may_restore": may(request.user, "dataset.delete", row),
        "may_purge": may(request.user, "dataset.purge", row),
    }
    return render(request, "trash/trash_list.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dataset_delete(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Say what deleting the dataset touches, and do it."""
    if request.method == "POST":
        dataset = delete_dataset(request.user, team=team, name=name)
        messages.success(request, f"{name} is in the trash. {_until(_purged_at(dataset))}")
        return redirect("dataset_list", team=team)
    dataset = get_dataset(request.user, team=team, name=name)
    removal = describe_dataset_removal(request.user, dataset=dataset)
    context = {"team": dataset.team, "dataset": dataset, "removal": removal}
    return render(request, "trash/dataset_delete.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def version_delete(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Say what deleting the version touches, and do it."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    if request.method == "POST":
        version = delete_version(request.user, version=version)
        messages.success(request, f"{version.label} is in the trash. {_until(_purged_at(version))}")
        return redirect("dataset_detail", team=team, name=name)
    removal = describe_version_removal(request.user, version=version)
    context = {"team": version.dataset.team, "dataset": version.dataset, "version": version, "removal": removal}
    return render(request, "trash/version_delete.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dataset_archive(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Say what archiving means, and do it."""
    if request.method == "POST":
        archive_dataset(request.user, team=team, name=name)
        messages.success(request, f"{name} is archived: read-only, and no longer offered to jobs.")
        return redirect("dataset_detail", team=team, name=name)
    dataset = get_dataset(request.user, team=team, name=name)
    archiving = describe_archiving(request.user, dataset=dataset)
    context = {"team": dataset.team, "dataset": dataset, "archiving": archiving}
    return render(request, "trash/dataset_archive.html", context)


@require_POST
@signed_in
def dataset_unarchive(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Bring a dataset back from the archive."""
    unarchive_dataset(request.user, team=team, name=name)
    messages.success(request, f"{name} is no longer archived.")
    return redirect("dataset_detail", team=team, name=name)


@require_POST
@signed_in
def dataset_restore(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Take a dataset out of the trash."""
    restore_dataset(request.user, team=team, name=name)
    messages.success(request, f"{name} was restored, as it was.")
    return redirect("dataset_detail", team=team, name=name)


@require_POST
@signed_in
def version_restore(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Take a version out of the trash."""
    version = restore_version(request.user, team=team, dataset=name, number=number)
    messages.success(request, f"{version.label} was restored.")
    return redirect("version_detail", team=team, name=name, number=version.number)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dataset_purge(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Ask for the name of a dataset in the trash, and remove it for good."""
    dataset = find_trashed_dataset(request.user, team=team, name=name)
    require(request.user, "dataset.purge", dataset)
    if dataset.deleted_at is None:
        return redirect("dataset_delete", team=team, name=name)
    error = ""
    if request.method == "POST":
        try:
            purge_dataset(request.user, team=team, name=name, typed=request.POST.get("confirm", ""))
        except AppError as refused:
            error = refused.detail
        else:
            messages.success(request, f"{name} was purged. Its name is free again.")
            return redirect("trash_list", team=team)
    removal = describe_dataset_purge(request.user, dataset=dataset)
    context = {"team": dataset.team, "subject": name, "removal": removal, "error": error}
    return render(request, "trash/purge.html", context, status=422 if error else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def version_purge(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Ask for the label of a version in the trash, and remove it for good."""
    version = find_trashed_version(request.user, team=team, dataset=name, number=number)
    require(request.user, "dataset.purge", version.dataset)
    if version.deleted_at is None:
        return redirect("version_delete", team=team, name=name, number=version.number)
    error = ""
    if request.method == "POST":
        try:
            typed = request.POST.get("confirm", "")
            purge_version(request.user, team=team, dataset=name, number=number, typed=typed)
        except AppError as refused:
            error = refused.detail
        else:
            messages.success(request, f"{version.label} was purged.")
            return redirect("trash_list", team=team)
    removal = describe_version_purge(request.user, version=version)
    context = {"team": version.dataset.team, "subject": version.label, "removal": removal, "error": error}
    return render(request, "trash/purge.html", context, status=422 if error else 200)


def _purged_at(row: Dataset | Version) -> datetime:
    if row.deleted_at is None:
        raise Conflict(f"{row} is not in the trash.")
    return purge_time(row.deleted_at)


def _until(when: datetime) -> str:
    return f"It can be restored until {when:%-d %B %Y, %H:%M} UTC."
