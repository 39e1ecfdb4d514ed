"""The page of a dataset's retention rule: what it says, what it would do now, and the form that changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.contrib import messages
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from datasets_app.errors import AppError
from datasets_app.forms import show_errors
from datasets_app.permissions import may, require
from datasets_app.services.datasets import get_dataset
from datasets_app.services.removal import freed_time, purge_time
from datasets_app.services.retention import MOST_DAYS, MOST_KEPT, DryRun, Limits, dry_run, get_rule, set_rule
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse

    from datasets_app.models import Dataset

# Of each kind; the rest is counted.
SHOWN = 200


class RetentionForm(forms.Form):
    """A rule. An empty number keeps nothing by itself."""

    keep_last = forms.IntegerField(
        label="Keep the last",
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "max": MOST_KEPT}),
        help_text="So many of the newest versions always stay. The newest one stays in any case.",
    )
    older_than_days = forms.IntegerField(
        label="Keep for days",
        required=False,
        widget=forms.NumberInput(attrs={"min": 1, "max": MOST_DAYS}),
        help_text="A version stays for so many days after it was sealed.",
    )
    keep_labelled = forms.BooleanField(label="Keep versions that have a label", required=False)
    is_on = forms.BooleanField(label="Apply this rule every day", required=False)

    @property
    def limits(self) -> Limits:
        """The rule, once the form is valid."""
        data = self.cleaned_data
        return Limits(data["keep_last"], data["older_than_days"], data["keep_labelled"])


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def dataset_retention(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Show the rule with what it would do now; try another one (`step=try`), or set it."""
    dataset = get_dataset(request.user, team=team, name=name)
    rule = get_rule(request.user, dataset=dataset)
    if request.method != "POST":
        initial = {key: getattr(rule, key) for key in RetentionForm.base_fields}
        has_limit = rule.keep_last is not None or rule.older_than_days is not None
        limits = Limits(rule.keep_last, rule.older_than_days, rule.keep_labelled)
        trial = dry_run(request.user, dataset=dataset, limits=limits) if has_limit else None
        return _show(request, dataset, RetentionForm(initial=initial), trial)
    require(request.user, "retention.edit", dataset)
    form, trial = RetentionForm(request.POST), None
    if form.is_valid():
        try:
            if request.POST.get("step") == "try":
                trial = dry_run(request.user, dataset=dataset, limits=form.limits)
            else:
                saved = set_rule(request.user, dataset=dataset, is_on=form.cleaned_data["is_on"], limits=form.limits)
                messages.success(request, f"The rule is {'on: it is applied once a day' if saved.is_on else 'off'}.")
                return redirect("dataset_retention", team=team, name=name)
        except AppError as error:
            show_errors(form, error)
    return _show(request, dataset, form, trial)


def _show(request: SignedInRequest, dataset: Dataset, form: RetentionForm, trial: DryRun | None) -> HttpResponse:
    purge_at = purge_time()
    context: dict[str, object] = {
        "team": dataset.team,
        "dataset": dataset,
        "rule": get_rule(request.user, dataset=dataset),
        "form": form,
        "may_edit": may(request.user, "retention.edit", dataset) and dataset.archived_at is None,
        "purge_at": purge_at,
        "freed_at": freed_time(purge_at),
    }
    if trial is not None:
        groups = (("Would go", trial.going), ("Would stay", trial.staying))
        shown = [(title, len(rows), rows[:SHOWN], len(rows) - SHOWN) for title, rows in groups]
        context |= {"trial": trial, "groups": shown}
    return render(request, "retention/dataset_retention.html", context, status=422 if form.errors else 200)
