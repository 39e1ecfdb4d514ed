"""Pages about what is in a version: its directories, opened in place, and its files."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from datasets_app.errors import NotFound, Unavailable
from datasets_app.forms import FileSearchForm
from datasets_app.models import Directory
from datasets_app.previews.archives import INTO
from datasets_app.services.browsing import find_node, list_directory
from datasets_app.services.damages import damaged_among
from datasets_app.services.folders import count_types, describe_folder
from datasets_app.services.galleries import pictures_beside
from datasets_app.services.previewing import HEAD_BYTES, make_product, preview_file
from datasets_app.services.searching import search_files
from datasets_app.services.versions import find_version
from datasets_app.store.paths import steps
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from datasets_app.models import Version

PAGE_ROWS = 100
# Characters from which lines are wrapped rather than scrolled.
LONG_LINE = 300


def tree_frame(version: Version, path: str = "", *, is_directory: bool = True) -> dict[str, object]:
    """Return what pages show around a file or a directory."""
    path = path.strip("/")
    team, name = version.dataset.team, version.dataset.name
    api = f"{reverse('api:api-root')}teams/{quote(team.name)}/datasets/{quote(name)}/versions/{version.number}"
    return {
        "team": team,
        "dataset": version.dataset,
        "version": version,
        "path": path,
        "path_in_url": quote(path),
        "crumbs": steps(path),
        "job_path": f"/input/{name}/{path}{'/' if is_directory and path else ''}",
        # What every row's links begin with: reversing an address for each of them would take most of the page's time.
        "tree_url": reverse("version_tree", args=(team.name, name, version.number)),
        "files_url": reverse("file_detail", args=(team.name, name, version.number, "-")).removesuffix("-"),
        "products_url": reverse("file_product", args=(team.name, name, version.number, "-")).removesuffix("-"),
        "sql_url": reverse("version_sql", args=(team.name, name, version.number)),
        "bytes_url": f"{api}/files/{quote(path)}",
        "api_url": api,
    }


@require_safe
@signed_in
def version_tree(request: SignedInRequest, team: str, name: str, number: int | str, path: str = "") -> HttpResponse:
    """Show a directory; htmx gets only its rows, to put them below the row that was opened."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    if not version.root_id:
        return redirect("version_detail", team=team, name=name, number=number)
    node = find_node(request.user, version=version, path=path)
    if not isinstance(node, Directory):
        return redirect("file_detail", team=team, name=name, number=number, path=path.strip("/"))
    cursor = request.GET.get("cursor")
    page = list_directory(request.user, version=version, path=path, cursor=cursor, limit=PAGE_ROWS)
    context = tree_frame(version, path) | {
        "page": page,
        "cursor": cursor,
        "rows": PAGE_ROWS,
    }
    # The gallery grows by the pictures of the next page, as the list does by its rows.
    wants_pictures = request.GET.get("show") == "pictures"
    if is_part(request) and not wants_pictures:
        return render(request, "tree/version_tree.html#rows", context)
    overview = describe_folder(node, entries=page.items, is_first=not cursor)
    if is_part(request):
        return render(request, "tree/version_tree.html#pictures", context | {"overview": overview})
    return render(
        request, "tree/version_tree.html", context | {"directory": node, "overview": overview, "is_folder": True}
    )


@require_safe
@signed_in
def folder_types(request: SignedInRequest, team: str, name: str, number: int, path: str = "") -> HttpResponse:
    """Show the kinds of files below a directory; asked for again and again while a worker counts them."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    node = find_node(request.user, version=version, path=path)
    if not isinstance(node, Directory):
        return redirect("file_detail", team=team, name=name, number=number, path=path.strip("/"))
    return render(request, "tree/types.html", tree_frame(version, path) | {"types": count_types(node)})


@require_safe
@signed_in
def version_search(request: SignedInRequest, team: str, name: str, number: int) -> HttpResponse:
    """Find files in a version by name, glob, ending and size."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    form = FileSearchForm(request.GET)
    found = search_files(request.user, version=version, search=form.search, page=form.page)
    context = tree_frame(version) | {"form": form, "search": form.search, "found": found}
    return render(
        request, "tree/version_search.html#results" if is_part(request) else "tree/version_search.html", context
    )


@require_safe
@signed_in
def file_detail(request: SignedInRequest, team: str, name: str, number: int | str, path: str) -> HttpResponse:
    """Show a file: its facts and its preview, of which htmx gets another part alone. The bytes come from the API."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    node = find_node(request.user, version=version, path=path)
    if isinstance(node, Directory):
        return redirect("version_tree", team=team, name=name, number=number, path=path.strip("/"))
    shown = preview_file(node, options=request.GET.dict())
    member = request.GET.get("member", "") if shown.kind == "archive" else ""
    as_text = request.GET.get("as", "")
    # What the preview's links begin with.
    kept = urlencode({name: value for name, value in (("member", member), ("as", as_text)) if value})
    folder = path.strip("/").rpartition("/")[0]
    part = is_part(request)
    context = tree_frame(version, path, is_directory=False) | {
        "file": node,
        "is_part": part,
        "damaged": bool(damaged_among(version, folder, [path.strip("/")])),
        "shown": shown,
        "preview": shown.plain,
        "member": member,
        "as_text": as_text,
        "query": f"?{kept}&" if kept else "?",
        "back": _way_back(member),
        # What the paths of its members begin with, where it is an archive itself.
        "inside": f"{member}{INTO}" if member else "",
        "member_template": f"previews/{shown.member.template}.html" if shown.member else "",
        "preview_template": f"previews/{shown.template}.html",
        "beside": [f"{folder}/{one}".lstrip("/") for one in pictures_beside(node)] if shown.template == "image" else [],
        "product_url": reverse("file_product", args=(team, name, version.number, path.strip("/"))),
        "has_long_lines": any(len(line) > LONG_LINE for line in shown.plain.text.splitlines()),
        "head_bytes": HEAD_BYTES,
        "is_cut": node.blob.size > HEAD_BYTES,
    }
    return render(request, "tree/file_detail.html#preview" if part else "tree/file_detail.html", context)


def _way_back(member: str) -> str:
    """Return the query that leads from a member to the folder that holds it, in its archive or in one inside of it."""
    archive, _, path = member.rpartition(INTO)
    options = {"member": archive, "in": path.rpartition("/")[0]}
    return "?" + urlencode({name: value for name, value in options.items() if value})


@require_safe
@signed_in
def file_product(request: SignedInRequest, team: str, name: str, number: int | str, path: str) -> HttpResponse:
    """Send what was made of a file, such as a thumbnail (`part`): never a page, and always the same for these bytes."""
    version = find_version(request.user, team=team, dataset=name, number=number)
    node = find_node(request.user, version=version, path=path)
    if isinstance(node, Directory):
        raise NotFound(f"{path} is a folder.")
    options = request.GET.dict()
    try:
        product = make_product(node, part=options.pop("part", ""), options=options)
    except Unavailable as error:
        # Nobody sees the answer to a picture's request: the page's script reads the reason, and says it.
        return HttpResponse(error.detail, status=error.status, content_type="text/plain; charset=utf-8")
    response = HttpResponse(product.body, content_type=product.media_type)
    # A label moves.
    kept = "max-age=86400, immutable" if isinstance(number, int) else "no-cache"
    response.headers["Cache-Control"] = f"private, {kept}"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    return response
