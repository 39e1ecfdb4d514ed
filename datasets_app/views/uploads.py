"""The upload page, and how a new version begins. The page itself speaks to the public API (static/js/uploader)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.conf import settings
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.urls import reverse

from datasets_app.errors import NotFound
from datasets_app.models import Version
from datasets_app.permissions import require
from datasets_app.services.datasets import get_dataset
from datasets_app.services.progress import measure_staging
from datasets_app.services.version_choices import offer_versions
from datasets_app.services.versions import create_version, find_version
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse

    from datasets_app.models import Dataset

EMPTY = "empty"


class NewVersionForm(forms.Form):
    """What a new version starts with: an available version's files, or nothing."""

    start = forms.CharField(required=False, initial="base")
    # Numbers or labels; `older` is typed, where not every version is listed.
    base = forms.CharField(required=False, max_length=100)
    older = forms.CharField(required=False, max_length=100)
    message = forms.CharField(
        required=False, max_length=500, label="Message", widget=forms.TextInput(attrs={"autocomplete": "off"})
    )

    def wanted_base(self) -> str:
        """Return what was asked for so far, which the page goes on to show."""
        return str(self["older"].value() or self["base"].value() or "").strip()

    def chosen_base(self) -> str | None:
        """Return the chosen base version's number or label; None to start empty."""
        if self.cleaned_data["start"] == EMPTY:
            return None
        return self.cleaned_data["older"].strip() or self.cleaned_data["base"] or None


@signed_in
def version_upload_new(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Ask what the new version starts from, and start it."""
    dataset = get_dataset(request.user, team=team, name=name)
    require(request.user, "version.create", dataset)
    chosen = {"base": request.GET.get("base", "")}
    form = NewVersionForm(request.POST if request.method == "POST" else None, initial=chosen)
    if form.is_valid():
        try:
            version = create_version(
                request.user, dataset=dataset, base=form.chosen_base(), message=form.cleaned_data["message"]
            )
        except NotFound as error:
            form.add_error("base", error.detail)
        else:
            page = "version_changes" if request.POST.get("next") == "changes" else "version_upload"
            return redirect(page, team=team, name=name, number=version.number)
    context = {
        "team": dataset.team,
        "dataset": dataset,
        "dataset_url": _dataset_url(dataset),
        "offered": offer_versions(request.user, dataset=dataset, wanted=form.wanted_base()),
        "open_versions": dataset.versions.open().select_related("created_by", "dataset").order_by("-number"),
        "form": form,
    }
    return render(request, "uploads/version_upload_new.html", context, status=422 if form.is_bound else 200)


@signed_in
def version_upload(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Show the upload page of an open version; a sealed one has nothing to upload to."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    require(request.user, "version.fill", version)
    if not version.is_open:
        return redirect("version_detail", team=team, name=name, number=number)
    dataset = version.dataset
    context = {
        "team": dataset.team,
        "dataset": dataset,
        "version": version,
        "progress": measure_staging(version),
        "dataset_url": _dataset_url(dataset),
        "version_url": _version_url(version),
        "uploader": _uploader_data(version) | {"prefix": request.GET.get("prefix", "").strip("/")},
        # From the page of changes one comes back to it, and seals there.
        "stays_open": "prefix" in request.GET,
    }
    return render(request, "uploads/version_upload.html", context)


def _uploader_data(version: Version) -> dict[str, str | int]:
    """Tell the page's modules, by data attributes, where they are and what this server takes (sizes in bytes)."""
    dataset = version.dataset
    api = reverse("api:api-root")
    return {
        "team": dataset.team.name,
        "dataset": dataset.name,
        "version": version.number,
        "label": version.label,
        "version-api": f"{api}teams/{dataset.team.name}/datasets/{dataset.name}/versions/{version.number}",
        "tus-url": f"{api}tus",
        "version-page": _version_url(version),
        "dataset-page": _dataset_url(dataset),
        "sign-in-url": f"{reverse('sign_in')}?next={_version_url(version)}",
        "worker-url": static("js/uploader/hash_worker.js"),
        "csrf-cookie": settings.CSRF_COOKIE_NAME,
        "request-bytes": settings.UPLOAD_REQUEST_BYTES,
        "bundle-bytes": settings.PACK_BYTES,
        "large-bytes": settings.LARGE_FILE_BYTES,
    }


def _dataset_url(dataset: Dataset) -> str:
    return reverse("dataset_detail", kwargs={"team": dataset.team.name, "name": dataset.name})


def _version_url(version: Version) -> str:
    dataset = version.dataset
    return reverse("version_detail", kwargs={"team": dataset.team.name, "name": dataset.name, "number": version.number})
