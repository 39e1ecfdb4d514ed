"""Pages about one version: what it is, how far it has come, and the two ways to end an open one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from datasets_app.errors import Conflict
from datasets_app.models import Lineage, Version
from datasets_app.permissions import may
from datasets_app.services.browsing import list_directory
from datasets_app.services.imports import get_import, measure_import
from datasets_app.services.origins import made_from, repeated_numbers, sealed_meanwhile, used_in
from datasets_app.services.progress import measure_staging
from datasets_app.services.space import measure_versions_of
from datasets_app.services.summaries import describe_version
from datasets_app.services.versions import abandon_version, find_version, seal_version
from datasets_app.views.integrity import integrity_context
from datasets_app.views.request import SignedInRequest, is_part, signed_in
from datasets_app.views.tree import PAGE_ROWS, tree_frame

if TYPE_CHECKING:
    from datasets_app.errors import AppError

# Of the root directory; the rest is a click away.
SHOWN_ROWS = 50


def _show(
    request: SignedInRequest, version: Version, *, refusal: AppError | None = None, part: str = ""
) -> HttpResponse:
    run = get_import(request.user, version=version)
    context: dict[str, object] = {
        "run": run,
        "progress": measure_import(run) if run is not None else None,
        "team": version.dataset.team,
        "dataset": version.dataset,
        "version": version,
        "is_final": version.status in Version.FINAL,
        "staging": None if version.root_id else measure_staging(version),
        "may_fill": may(request.user, "version.fill", version),
        "siblings": sealed_meanwhile(request.user, version=version),
        "made_from": _recipe(request, version),
        "used_in": used_in(request.user, version=version),
        "repeats": repeated_numbers([version]).get(version.pk),
        "may_run": may(request.user, "job.create", version),
        "refusal": refusal,
    }
    if version.status == Version.Status.AVAILABLE:
        page = list_directory(request.user, version=version, limit=SHOWN_ROWS)
        # Counting may take a second: htmx asks for it when the page is there, others by a link.
        seconds = 1 if "space" in request.GET else 0
        space = measure_versions_of(request.user, dataset=version.dataset, versions=[version], seconds=seconds)
        summary = describe_version(request.user, version=version)
        figures = {"summary": summary, "space": space.get(version.pk)}
        context |= tree_frame(version) | figures | {"page": page, "rows": PAGE_ROWS}
        context |= integrity_context(request.user, version.dataset, version)
    return render(request, f"versions/version_detail.html{part}", context, status=refusal.status if refusal else 200)


def _recipe(request: SignedInRequest, version: Version) -> list[tuple[Lineage, dict[str, object]]]:
    """Return each source with what was taken from it."""
    return list(zip(made_from(request.user, version=version), version.source.get("parts", []), strict=False))


@require_safe
@signed_in
def version_detail(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Show a version."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    return _show(request, version, part="#space" if is_part(request) and "space" in request.GET else "")


@require_safe
@signed_in
def version_summary(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Show what was found out about the files; asked for again and again while that is under way."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    if version.root_id is None:
        raise Conflict(f"{version.label} is {version.status}: its files are looked at once it is sealed.")
    summary = describe_version(request.user, version=version, wake=False)
    return render(request, "versions/summary.html", tree_frame(version) | {"summary": summary})


@require_safe
@signed_in
def version_status(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Answer htmx's polling with the part that moves; at a final status the whole page is loaded again, once."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    if request.htmx and (version.status in Version.FINAL or _import_ended(request, version)):
        return HttpResponse(headers={"HX-Refresh": "true"})
    return _show(request, version, part="#progress" if request.htmx else "")


def _import_ended(request: SignedInRequest, version: Version) -> bool:
    """Tell whether the import that the page follows (`?importing`) is over: then other things can be done."""
    run = get_import(request.user, version=version) if "importing" in request.GET else None
    return run is not None and not run.is_active


@require_POST
@signed_in
def version_seal(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Ask for the version to be sealed; what is missing is shown on its page."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    try:
        seal_version(request.user, version=version)
    except Conflict as refusal:
        version.refresh_from_db()
        return _show(request, version, refusal=refusal)
    return redirect("version_detail", team=team, name=name, number=number)


@require_POST
@signed_in
def version_abandon(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Drop an open version and return to its dataset."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    abandon_version(request.user, version=version)
    messages.success(request, f"{version.label} was abandoned. What had been uploaded for it is no longer listed.")
    return redirect("dataset_detail", team=team, name=name)
