"""The history of a dataset, and what differs between two of its versions."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from datasets_app.models import Version
from datasets_app.permissions import may
from datasets_app.services.browsing import list_versions
from datasets_app.services.comparing import KINDS, Change, compare_versions
from datasets_app.services.datasets import get_dataset
from datasets_app.services.labels import label_names
from datasets_app.services.origins import repeated_numbers
from datasets_app.services.space import added_sizes
from datasets_app.services.version_names import find_named_version, name_version
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.http import HttpResponse

PAGE_ROWS = 200
OFFERED = 100


@require_safe
@signed_in
def dataset_history(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """List every version with who made it, from what, and what it added; two of them can be compared."""
    dataset = get_dataset(request.user, team=team, name=name)
    cursor = request.GET.get("cursor")
    page = list_versions(request.user, dataset=dataset, cursor=cursor)
    labels, added = label_names(dataset, page.items), added_sizes(page.items)
    repeated = repeated_numbers(page.items)
    sealed = [version.number for version in page.items if version.status == Version.Status.AVAILABLE]
    context = {
        "team": dataset.team,
        "dataset": dataset,
        "rows": [(one, labels[one.pk], added.get(one.pk), repeated.get(one.pk)) for one in page.items],
        "cursor": cursor,
        "next_cursor": page.next_cursor,
        "may_compare": len(sealed) > 1,
        # To begin with: the newest, and the one before it.
        "old": sealed[1] if len(sealed) > 1 else None,
        "new": sealed[0] if sealed else None,
        "may_delete": may(request.user, "dataset.delete", dataset) and dataset.archived_at is None,
    }
    return render(request, "versions/history.html", context)


@require_safe
@signed_in
def dataset_compare(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Lead from the form with two versions to the page that compares them."""
    dataset = get_dataset(request.user, team=team, name=name)
    chosen = [request.GET.get(key, "") for key in ("old", "new")]
    if not all(chosen):
        return redirect("dataset_history", team=team, name=dataset.name)
    old = find_version(request.user, team=team, dataset=name, number=chosen[0])
    return redirect(_diff_url(old, _find_other(request, team, name, chosen[1])))


@require_safe
@signed_in
def version_diff(request: SignedInRequest, team: str, name: str, number: int | str, other: int | str) -> HttpResponse:
    """Show what changed from one version to another, by folder; htmx gets the rows alone.

    `of` names the other version where it is one of another dataset.
    """
    old = find_version(request.user, team=team, dataset=name, number=number)
    new = _find_other(request, team, name, str(other))
    kind, cursor = request.GET.get("kind", ""), request.GET.get("cursor")
    found = compare_versions(request.user, old=old, new=new, kind=kind, cursor=cursor, limit=PAGE_ROWS)
    dataset = old.dataset
    new_name = name_version(new, beside=old)
    context = {
        "team": dataset.team,
        "dataset": dataset,
        "old": old,
        "new": new,
        "new_name": new_name,
        "swap_url": _diff_url(new, old),
        "kind": kind,
        "cursor": cursor,
        "comparison": found,
        "groups": _by_folder(found.changes),
        "tallies": [(word, found.tallies[word]) for word in KINDS] if found.tallies else [],
        # What the rows' links begin with.
        "old_url": _files_url(old),
        "new_url": _files_url(new),
        "compare_url": reverse("file_compare", args=(team, name, old.number, "-")).removesuffix("-"),
        "old_tree": reverse("version_tree", args=(team, name, old.number)),
        "new_tree": reverse("version_tree", args=(new.dataset.team.name, new.dataset.name, new.number)),
    }
    if is_part(request):
        return render(request, "versions/version_diff.html#changes", context)
    versions = list_versions(request.user, dataset=dataset, available=True, limit=OFFERED).items
    return render(request, "versions/version_diff.html", context | {"versions": versions})


def _find_other(request: SignedInRequest, team: str, name: str, number: str) -> Version:
    """Find the version to compare with: the one that `of` names, in whatever dataset, or else one of this dataset."""
    of = request.GET.get("of", "").strip()
    return find_named_version(request.user, team=team, dataset="" if of else name, wanted=of or number)


def _diff_url(old: Version, new: Version) -> str:
    """Return the address of the comparison from `old` to `new`, which may be of another dataset."""
    dataset = old.dataset
    address = reverse("version_diff", args=(dataset.team.name, dataset.name, old.number, new.number))
    if new.dataset.pk == dataset.pk:
        return address
    return f"{address}?{urlencode({'of': name_version(new, beside=old)})}"


def _by_folder(changes: Iterable[Change]) -> list[tuple[str, list[Change]]]:
    """Gather the changes of a page by the folder that holds them, in the order in which folders come first."""
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(change.folder, []).append(change)
    return list(groups.items())


def _files_url(version: Version) -> str:
    dataset = version.dataset
    return reverse("file_detail", args=(dataset.team.name, dataset.name, version.number, "-")).removesuffix("-")
