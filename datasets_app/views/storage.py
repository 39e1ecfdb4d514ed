"""Pages for those who run the installation: what is stored in all, collections, verifications, damage, the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from datasets_app.errors import AppError, Conflict
from datasets_app.models import RemovedObject
from datasets_app.permissions import require_operator
from datasets_app.services import storage as service
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from datasets_app.models import CollectionRun


@require_safe
@signed_in
def storage(request: SignedInRequest) -> HttpResponse:
    """Show the state; htmx asks for the runs while one of them is under way, and for the whole when it has ended."""
    state = service.view_storage(request.user)
    is_moving = bool(state.collecting or state.verifying)
    if is_part(request) and not is_moving:
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = {
        "state": state,
        "is_moving": is_moving,
        "collections": [(run, service.report_rows(run)) for run in state.collections],
        "dry_run": service.report_rows(state.dry_run) if state.dry_run is not None else [],
        "grace_hours": settings.GRACE_HOURS,
        "collect_hours": settings.COLLECT_HOURS,
        "verify_days": settings.VERIFY_DAYS,
    }
    return render(request, "storage/storage.html#runs" if is_part(request) else "storage/storage.html", context)


@require_POST
@signed_in
def storage_collect(request: SignedInRequest) -> HttpResponse:
    """Start a collection, or a dry run."""
    is_dry_run = request.POST.get("dry_run") == "1"
    try:
        run: CollectionRun = service.collect(request.user, is_dry_run=is_dry_run)
    except Conflict as error:
        messages.info(request, error.detail)
    else:
        messages.success(request, f"{str(run).capitalize()} was started. Its report appears below when it has ended.")
    return redirect("storage")


@require_POST
@signed_in
def storage_verify(request: SignedInRequest) -> HttpResponse:
    """Start to read everything that is stored again."""
    try:
        service.verify_all(request.user)
    except Conflict as error:
        messages.info(request, error.detail)
    else:
        messages.success(request, "The verification was started. It reads all that is stored, at a bounded rate.")
    return redirect("storage")


@require_safe
@signed_in
def storage_blob(request: SignedInRequest) -> HttpResponse:
    """Tell why bytes with a digest are stored."""
    require_operator(request.user)
    digest = request.GET.get("digest", "").strip()
    context: dict[str, object] = {"digest": digest, "found": None, "problem": "", "grace_hours": settings.GRACE_HOURS}
    if digest:
        try:
            context["found"] = service.explain(request.user, digest=digest)
        except AppError as error:
            context["problem"] = error.detail
    return render(request, "storage/blob.html", context, status=422 if context["problem"] else 200)


@require_safe
@signed_in
def storage_journal(request: SignedInRequest) -> HttpResponse:
    """List what was removed, the last first."""
    kind, cursor, run = (request.GET.get(key, "") for key in ("kind", "cursor", "run"))
    number = int(run) if run.isascii() and run.isdecimal() and len(run) < len(str(2**63)) else None
    page = service.list_removals(request.user, kind=kind, run=number, cursor=cursor or None)
    context = {"page": page, "kind": kind, "run": number, "cursor": cursor, "kinds": RemovedObject.Kind.values}
    return render(request, "storage/journal.html", context)
