"""The page on which an open version is changed: its folders as they will be, and what that changes in its base.

Every act is a small form that leads back to the page, so all of it works without JavaScript.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.contrib import messages
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from datasets_app.errors import AppError, Forbidden, NotFound
from datasets_app.permissions import may
from datasets_app.services.moving import Move, move_paths, undo_all, undo_changes
from datasets_app.services.origins import sealed_meanwhile
from datasets_app.services.pending_changes import KINDS, list_changes, list_pending_folder
from datasets_app.services.plans import remove_paths
from datasets_app.services.progress import measure_staging
from datasets_app.services.versions import find_version
from datasets_app.store.paths import steps
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse

    from datasets_app.models import Version

FOLDER_ROWS = 100
CHANGE_ROWS = 100


@require_safe
@signed_in
def version_changes(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Show an open version's folder (`?path=`) and its pending changes; htmx gets more rows of either alone."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    if not version.is_open:
        return redirect("version_detail", team=team, name=name, number=number)
    return _show(request, version)


@require_POST
@signed_in
def change_move(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Move or rename one path; what can't be done is said beside the field."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    source, target = request.POST.get("source", ""), request.POST.get("target", "").strip().strip("/")
    try:
        move_paths(request.user, version=version, moves=[Move(source, target)])
    except AppError as error:
        return _refuse(request, version, error, moving=source, target=target)
    messages.success(request, f"{source} is now {target}.")
    return redirect(_here(version, request.POST.get("path", "")))


@require_POST
@signed_in
def change_remove(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Leave one path out."""
    return _act(
        request, team, name, number, lambda version, paths: remove_paths(request.user, version=version, paths=paths)
    )


@require_POST
@signed_in
def change_undo_all(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Take all changes back."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    try:
        undo_all(request.user, version=version)
    except AppError as error:
        return _refuse(request, version, error)
    return redirect(_here(version, ""))


@require_POST
@signed_in
def change_undo(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Take one change back."""
    return _act(
        request, team, name, number, lambda version, paths: undo_changes(request.user, version=version, paths=paths)
    )


def _act(
    request: SignedInRequest, team: str, name: str, number: int | str, act: Callable[[Version, list[str]], int]
) -> HttpResponse:
    version = find_version(request.user, team=team, dataset=name, number=number)
    try:
        act(version, request.POST.getlist("target"))
    except AppError as error:
        return _refuse(request, version, error)
    return redirect(_here(version, request.POST.get("path", "")))


def _refuse(
    request: SignedInRequest, version: Version, error: AppError, *, moving: str = "", target: str = ""
) -> HttpResponse:
    """Say on the page what can't be done; who may do nothing here, or came too late, gets a page of its own."""
    if isinstance(error, Forbidden) or not version.is_open:
        raise error
    return _show(request, version, moving=moving, target=target, refusal=error)


def _here(version: Version, path: str) -> str:
    dataset = version.dataset
    address = reverse("version_changes", args=(dataset.team.name, dataset.name, version.number))
    return f"{address}?{urlencode({'path': path})}" if path else address


def _show(
    request: SignedInRequest, version: Version, *, moving: str = "", target: str = "", refusal: AppError | None = None
) -> HttpResponse:
    asked = request.POST if request.method == "POST" else request.GET
    path = asked.get("path", "").strip("/")
    kind, cursor, more = (request.GET.get(word, "") for word in ("kind", "cursor", "more"))
    try:
        folder = list_pending_folder(request.user, version=version, path=path, cursor=more or None, limit=FOLDER_ROWS)
    except NotFound:
        # Its last file was just moved away or removed.
        if not path or more:
            raise
        return redirect(_here(version, path.rpartition("/")[0]))
    found = list_changes(request.user, version=version, kind=kind, cursor=cursor or None, limit=CHANGE_ROWS)
    dataset = version.dataset
    moving = moving or request.GET.get("move", "")
    context = {
        "team": dataset.team,
        "dataset": dataset,
        "version": version,
        "path": path,
        "crumbs": steps(path),
        "folder": folder,
        "pending": found,
        "tallies": [(word, found.tallies[word]) for word in KINDS] if found.tallies else [],
        "kind": kind,
        "cursor": cursor,
        "more": more,
        "here": _here(version, ""),
        "moving": moving,
        "target": target or moving.removesuffix("/"),
        "refusal": refusal,
        "staging": measure_staging(version),
        "siblings": sealed_meanwhile(request.user, version=version),
        "may_fill": may(request.user, "version.fill", version),
    }
    part = ("#entries" if more else "#changes" if cursor else "") if is_part(request) else ""
    return render(request, f"versions/version_changes.html{part}", context, status=refusal.status if refusal else 200)
