"""The form that composes a version from parts of others. Its parts live in the form, so it works without JavaScript.

Every button submits the whole form; `step` says what for, and nothing is made unless it is "compose". With htmx the
same buttons, and changes of fields, get the part that they alter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from datasets_app.errors import AppError
from datasets_app.forms import show_errors
from datasets_app.services.compose_drafts import draft_composition
from datasets_app.services.composing import compose_version
from datasets_app.services.recipes import WHOLE, Part, Split
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse, QueryDict

    from datasets_app.store.union import OnClash

PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
FIELDS = ("dataset", "version", "folder", "prefix", "include", "exclude", "seed", "start", "end", "by")
PARTS = {"add": "#parts", "remove": "#parts", "search": "#choices", "preview": "#preview"}
CLASHES = (
    ("refuse", "refuse: name the paths, and make nothing"),
    ("first", "take the part that comes first"),
    ("last", "take the part that comes last"),
)


class ComposeForm(forms.Form):
    """A composed version without its parts, which are a list of rows."""

    # Its buttons submit it half-filled, to add a part.
    use_required_attribute = False

    name = forms.CharField(label="Dataset", max_length=200, widget=forms.TextInput(attrs=PLAIN))
    message = forms.CharField(required=False, max_length=500, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    on_clash = forms.ChoiceField(
        label="Where parts have different bytes at one path", choices=CLASHES, initial="refuse", required=False
    )


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def compose_new(request: SignedInRequest, team: str) -> HttpResponse:
    """Put a recipe together, see what it gives, and make the version."""
    if request.method != "POST":
        named = [text.partition("@") for text in request.GET.getlist("part")]
        parts = [Part(dataset, version or "latest") for dataset, _, version in named]
        return _show(request, team, ComposeForm(initial={"name": request.GET.get("name", "")}), parts)
    parts = _change(request.POST, _read(request.POST))
    step = next((word for word in ("add", "remove") if word in request.POST), request.POST.get("step", "compose"))
    if step != "compose":
        typed = {name: request.POST.get(name, "") for name in ComposeForm.base_fields}
        return _show(request, team, ComposeForm(initial=typed), parts, step)
    form = ComposeForm(request.POST)
    if form.is_valid():
        given = form.cleaned_data
        clash = cast("OnClash", given["on_clash"] or "refuse")
        try:
            version = compose_version(
                request.user, team=team, name=given["name"], parts=parts, on_clash=clash, message=given["message"]
            )
        except AppError as error:
            show_errors(form, error)
        else:
            return redirect("version_detail", team=team, name=version.dataset.name, number=version.number)
    return _show(request, team, form, parts)


def _show(request: SignedInRequest, team: str, form: ComposeForm, parts: list[Part], step: str = "") -> HttpResponse:
    search = request.POST.get("search", "").strip()
    clash = str(form["on_clash"].value() or "refuse")
    known = cast("OnClash", clash if clash in dict(CLASHES) else "refuse")
    draft = draft_composition(request.user, team=team, parts=parts, on_clash=known, search=search)
    context = {"team": draft.team, "form": form, "draft": draft, "search": search, "step": step}
    part = PARTS.get(step, "") if request.htmx else ""
    return render(request, f"compose/compose_new.html{part}", context, status=422 if form.errors else 200)


def _read(data: QueryDict) -> list[Part]:
    rows = zip(*(data.getlist(f"part_{field}") for field in FIELDS), strict=False)
    return [_part(dict(zip(FIELDS, row, strict=True))) for row in rows]


def _part(given: dict[str, str]) -> Part:
    """Read one row; a split that says nothing is none, and one that makes no sense is refused by the service."""
    shares = given["start"].strip(), given["end"].strip()
    split = None
    if any(shares):
        by: Any = given["by"]
        split = Split(given["seed"].strip(), _percent(shares[0], 0), _percent(shares[1], WHOLE), by)
    return Part(
        given["dataset"],
        given["version"] or "latest",
        given["folder"],
        _lines(given["include"]),
        _lines(given["exclude"]),
        given["prefix"],
        split,
    )


def _percent(text: str, default: float) -> float:
    try:
        return float(text.removesuffix("%")) if text else default
    except ValueError:
        return -1


def _change(data: QueryDict, parts: list[Part]) -> list[Part]:
    parts = list(parts)
    if added := data.get("add"):
        parts.append(Part(added))
    removed = data.get("remove", "")
    if removed.isdecimal() and int(removed) < len(parts):
        del parts[int(removed)]
    return parts


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
