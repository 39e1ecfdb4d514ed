"""Pages that look at several files at once: two side by side, and SQL over many tables of a version."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from datasets_app.errors import AppError, Invalid, NotFound
from datasets_app.services.browsing import find_file, list_versions
from datasets_app.services.file_comparing import ask_tables, compare_files, find_pair
from datasets_app.services.version_names import find_named_version, name_version
from datasets_app.services.versions import find_version
from datasets_app.views.request import SignedInRequest, is_part, signed_in
from datasets_app.views.tree import tree_frame

if TYPE_CHECKING:
    from django.http import HttpResponse

    from datasets_app.models import User, Version

OFFERED = 100


@require_safe
@signed_in
def file_compare(request: SignedInRequest, team: str, name: str, number: int | str, path: str) -> HttpResponse:
    """Show what differs between a file and another one: `other` (default: the same path) of the version `with`.

    `of` goes before `with`: both may name a version of another dataset, as `evaluation@3`. Without them, the version
    before is the old one, if it has the path.
    """
    path = path.strip("/")
    version = find_version(request.user, team=team, dataset=name, number=number)
    old = find_file(request.user, version=version, path=path)
    versions = list_versions(request.user, dataset=version.dataset, available=True, limit=OFFERED).items
    of, wanted = (request.GET.get(word, "").strip() for word in ("of", "with"))
    other_path = request.GET.get("other", "").strip().strip("/")
    if not (of or wanted):
        before = _version_before(request.user, version, versions, path)
        if before is not None:
            address = reverse("file_compare", args=(team, name, before.number, path))
            return redirect(f"{address}?{urlencode({'with': version.number})}")
    context = tree_frame(version, path, is_directory=False) | {
        "old": old,
        "versions": versions,
        "with_number": version.number,
        "other_path": other_path or path,
        "old_product": reverse("file_product", args=(team, name, version.number, path)),
    }
    if of or wanted:
        try:
            default = "" if of else name
            other = find_named_version(request.user, team=team, dataset=default, wanted=of or wanted)
            context["with_number"] = other.number
            context["other_name"] = name_version(other, beside=version)
            context["is_elsewhere"] = other.dataset.pk != version.dataset.pk
            old, new = find_pair(request.user, version=version, path=path, other=other, other_path=other_path)
        except NotFound as error:
            context["missing"] = error.detail
        else:
            options = {word: request.GET.get(word, "") for word in ("form", "key")}
            found = compare_files(request.user, old=old, new=new, **options)
            there = other_path or path
            place = (other.dataset.team.name, other.dataset.name, other.number, there)
            context |= {
                "new": new,
                "other": other,
                "found": found,
                "new_product": reverse("file_product", args=place),
                "new_url": reverse("file_detail", args=place),
                "swap_url": reverse("file_compare", args=place)
                + "?"
                + urlencode({"with": name_version(version, beside=other), "other": path}),
            }
    return render(request, "tree/file_compare.html", context)


def _version_before(user: User, version: Version, versions: list[Version], path: str) -> Version | None:
    for one in versions:
        if one.number < version.number:
            try:
                find_file(user, version=one, path=path)
            except NotFound:
                return None
            return one
    return None


@require_safe
@signed_in
def version_sql(request: SignedInRequest, team: str, name: str, number: int | str) -> HttpResponse:
    """Answer one SELECT over all tables of a version that fit a pattern."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    files, sql = request.GET.get("files", ""), request.GET.get("sql", "")
    context = tree_frame(version) | {"files": files, "sql": sql or "SELECT * FROM data LIMIT 100", "problem": ""}
    try:
        context["answer"] = ask_tables(request.user, version=version, files=files, sql=sql)
    except Invalid as error:
        context["problem"] = _sentence(error)
    template = "tree/version_sql.html#answer" if is_part(request) else "tree/version_sql.html"
    return render(request, template, context)


def _sentence(error: AppError) -> str:
    return error.errors[0]["detail"] if error.errors else error.detail
