"""The page of a dataset's labels, and what its forms do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from datasets_app.errors import AppError
from datasets_app.forms import show_errors
from datasets_app.models import LABEL_RULE
from datasets_app.permissions import may, require
from datasets_app.services.browsing import list_versions
from datasets_app.services.datasets import get_dataset
from datasets_app.services.labels import delete_label, label_history, list_labels, set_label
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse

    from datasets_app.models import Dataset

OFFERED = 100


class LabelForm(forms.Form):
    """A label and the number of its version."""

    name = forms.CharField(
        label="Label",
        max_length=200,
        help_text=LABEL_RULE[0].upper() + LABEL_RULE[1:] + ".",
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "placeholder": "prod"}
        ),
    )
    version = forms.CharField(max_length=63)


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dataset_labels(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Show the labels, and set or move one."""
    dataset = get_dataset(request.user, team=team, name=name)
    if request.method == "POST":
        require(request.user, "label.edit", dataset)
    form = LabelForm(request.POST if request.method == "POST" else None, initial={"name": request.GET.get("label")})
    if request.method == "POST" and form.is_valid():
        try:
            _set(request, dataset, form)
        except AppError as error:
            show_errors(form, error)
        else:
            return redirect("dataset_labels", team=team, name=name)
    return _show(request, dataset, form)


@require_POST
@signed_in
def label_delete(request: SignedInRequest, team: str, name: str, label: str) -> HttpResponse:
    """Take a label away."""
    dataset = get_dataset(request.user, team=team, name=name)
    delete_label(request.user, dataset=dataset, name=label)
    messages.success(request, f"The label {label} was deleted. The version that it named stays.")
    return redirect("dataset_labels", team=team, name=name)


def _set(request: SignedInRequest, dataset: Dataset, form: LabelForm) -> None:
    team, wanted, label = dataset.team.name, form.cleaned_data["version"], form.cleaned_data["name"]
    version = find_version(request.user, team=team, dataset=dataset.name, number=wanted)
    set_label(request.user, dataset=dataset, name=label, version=version)
    messages.success(request, f"{label} names {version.label} now.")


def _show(request: SignedInRequest, dataset: Dataset, form: LabelForm) -> HttpResponse:
    versions = list_versions(request.user, dataset=dataset, available=True, limit=OFFERED).items
    chosen = str(form["version"].value() or request.GET.get("version", ""))
    context = {
        "team": dataset.team,
        "dataset": dataset,
        "labels": list_labels(request.user, dataset=dataset),
        "versions": versions,
        "chosen": int(chosen) if chosen.isdecimal() else None,
        "form": form,
        "history": label_history(request.user, dataset=dataset),
        "may_edit": may(request.user, "label.edit", dataset) and dataset.archived_at is None,
    }
    return render(request, "labels/dataset_labels.html", context, status=422 if form.errors else 200)
