"""The form for an import. The place in the store and all choices live in the form, so it works without JavaScript.

Every button submits the whole form; `step` says what for, and nothing is made unless it is "import". With htmx the same
buttons, and changes of fields, get the part that they alter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django import forms
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from datasets_app.errors import AppError
from datasets_app.forms import show_errors
from datasets_app.services.connections import browse_connection, list_revisions
from datasets_app.services.import_drafts import Draft, draft_import, repeat_import
from datasets_app.services.imports import import_dataset, preview_import, start_import
from datasets_app.services.versions import find_version
from datasets_app.sources.base import SourceError
from datasets_app.store.paths import steps
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse, QueryDict

    from datasets_app.models import Connection, Import
    from datasets_app.services.imports import ImportPreview
    from datasets_app.sources.base import Walk

PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
EMPTY = "empty"
# What a button or a changed field asks for, and the part of the page that shows it.
PARTS = {
    "connect": "#source",
    "browse": "#source",
    "open": "#source",
    "pick": "#source",
    "more": "#source",
    "look": "#browser",
    "into": "#into",
    "preview": "#preview",
}
BROWSING = {"connect", "browse", "open", "pick", "more", "look"}


class ImportForm(forms.Form):
    """What to import, and what it becomes. Patterns are one on each line."""

    # Its buttons submit it half-filled, to look around.
    use_required_attribute = False

    connection = forms.CharField(max_length=63)
    source_path = forms.CharField(
        label="Source path", max_length=2048, strip=False, widget=forms.TextInput(attrs={**PLAIN, "class": "mono"})
    )
    revision = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(
            attrs={**PLAIN, "class": "mono", "list": "revisions", "placeholder": "the default branch"}
        ),
        help_text="A branch, tag or commit. It is pinned to one commit when the import starts.",
    )
    include = forms.CharField(
        label="Only files that match",
        required=False,
        widget=forms.Textarea(attrs={**PLAIN, "rows": 3, "class": "mono", "placeholder": "all files"}),
        help_text="One pattern on each line: *.parquet, train/**",
    )
    exclude = forms.CharField(
        label="Leave out files that match",
        required=False,
        widget=forms.Textarea(attrs={**PLAIN, "rows": 3, "class": "mono", "placeholder": "none"}),
        help_text="One on each line; wins over the other.",
    )
    # The form's own prefix is not used.
    prefix = forms.CharField(  # type: ignore[assignment]
        label="Destination folder",
        required=False,
        max_length=4096,
        widget=forms.TextInput(attrs={**PLAIN, "class": "mono", "placeholder": "the top of the dataset"}),
        help_text="Put before every path, for instance train/images.",
    )
    # Not needed to look at a preview; the service asks for it.
    name = forms.CharField(
        label="Dataset", required=False, max_length=200, widget=forms.TextInput(attrs={**PLAIN, "list": "datasets"})
    )
    start = forms.CharField(required=False)
    # Numbers or labels; `older` is typed, where not every version is listed.
    base = forms.CharField(required=False, max_length=100)
    older = forms.CharField(required=False, max_length=100)
    # An open version that the files go into, instead of a new one.
    into = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)
    message = forms.CharField(required=False, max_length=500, widget=forms.TextInput(attrs={"autocomplete": "off"}))

    def clean_include(self) -> list[str]:
        """Split into lines."""
        return _lines(self.cleaned_data["include"])

    def clean_exclude(self) -> list[str]:
        """Split into lines."""
        return _lines(self.cleaned_data["exclude"])

    def source(self) -> dict[str, Any]:
        """Return what says which files: the arguments that preview and import share."""
        return {name: self.cleaned_data[name] for name in ("source_path", "revision", "include", "exclude", "prefix")}

    def chosen_base(self) -> str | None:
        """Return the number or label of the version to start from; None to start empty."""
        if self.cleaned_data["start"] != "base":
            return None
        return self.cleaned_data["older"].strip() or self.cleaned_data["base"] or None


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a place of the store: a page of the listing, or the reason why there is none."""

    walk: Walk | None = None
    revisions: list[str] = field(default_factory=list)
    problem: str = ""

    @property
    def hidden(self) -> set[str]:
        """Paths of files beside a folder of the same name: as source paths, they would mean the folder."""
        entries = self.walk.entries if self.walk else []
        folders = {entry.path for entry in entries if entry.is_folder}
        return {entry.path for entry in entries if not entry.is_folder and entry.path in folders}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def import_new(request: SignedInRequest, team: str) -> HttpResponse:
    """Look around in a store, see what an import would bring, and start it."""
    if request.method != "POST":
        return _show(request, team, ImportForm(initial=_first(request, team)), step="")
    step, typed = _read(request.POST)
    if step in BROWSING or step == "into":
        # Half-filled fields are no mistakes yet: an unbound form shows no errors.
        return _show(request, team, ImportForm(initial=typed), step=step)
    form = ImportForm(request.POST)
    draft = _draft(request, team, form)
    if form.is_valid() and draft.connection is not None:
        try:
            if step != "import":
                preview = preview_import(request.user, connection=draft.connection, **form.source())
                return _show(request, team, form, step=step, preview=preview)
            run = _start(request, draft, form)
        except AppError as error:
            show_errors(form, error)
        else:
            version = run.version
            return redirect("version_detail", team=team, name=version.dataset.name, number=version.number)
    return _show(request, team, form, step=step)


def _first(request: SignedInRequest, team: str) -> dict[str, str]:
    """Begin with what the address names, or with `?again=` the import of a version of `name`."""
    name, again = request.GET.get("name", ""), request.GET.get("again", "")
    if again.isdecimal():
        return repeat_import(request.user, team=team, name=name, number=int(again))
    words = ("connection", "source_path", "revision", "name", "into", "prefix", "start", "base")
    return {word: request.GET.get(word, "") for word in words}


def _start(request: SignedInRequest, draft: Draft, form: ImportForm) -> Import:
    assert draft.connection is not None  # noqa: S101 - the caller looked
    if into := form.cleaned_data["into"]:
        version = find_version(request.user, team=draft.team.name, dataset=form.cleaned_data["name"], number=into)
        return start_import(request.user, version=version, connection=draft.connection, seal=False, **form.source())
    return import_dataset(
        request.user,
        team=draft.team.name,
        name=form.cleaned_data["name"],
        connection=draft.connection,
        base=form.chosen_base(),
        message=form.cleaned_data["message"],
        **form.source(),
    )


def _draft(request: SignedInRequest, team: str, form: ImportForm) -> Draft:
    # Browsers send the first option of a list that nobody has looked at; it may be another dataset's.
    base = str(form["older"].value() or form["base"].value() or "") if form["start"].value() == "base" else ""
    return draft_import(
        request.user,
        team=team,
        connection=str(form["connection"].value() or ""),
        name=str(form["name"].value() or "").strip(),
        base=base.strip(),
    )


def _show(
    request: SignedInRequest, team: str, form: ImportForm, *, step: str, preview: ImportPreview | None = None
) -> HttpResponse:
    draft = _draft(request, team, form)
    chosen = str(form["source_path"].value() or "")
    # Where the browser is: a file that is picked there does not lead elsewhere.
    path = request.POST.get("place", chosen) if step in {"pick", "more"} else chosen
    page = request.POST.get({"pick": "page", "more": "more"}.get(step, ""), "")
    context = {
        "team": draft.team,
        "form": form,
        "draft": draft,
        "step": step,
        "preview": preview,
        "path": path,
        "chosen": chosen,
        "folder": path if path != chosen else chosen.rpartition("/")[0],
        "page": page,
        "crumbs": steps(path),
        "look": _look(request, draft, form, path, page) if step in BROWSING else None,
        "into": into if (into := str(form["into"].value() or "")).isdecimal() else "",
        "start": str(form["start"].value() or EMPTY),
    }
    if not request.htmx:
        return render(request, "imports/import_new.html", context, status=422 if form.errors else 200)
    if form.errors:
        response = render(request, "imports/import_new.html#form", context, status=422)
        response.headers["HX-Retarget"] = "#import-form"
        response.headers["HX-Reswap"] = "outerHTML"
        return response
    return render(request, f"imports/import_new.html{PARTS.get(step, '')}", context)


def _look(request: SignedInRequest, draft: Draft, form: ImportForm, path: str, page: str) -> Look:
    if draft.connection is None:
        return Look()
    revision = str(form["revision"].value() or "").strip()
    try:
        walk = browse_connection(
            request.user,
            connection=draft.connection,
            path=path,
            revision=revision,
            cursor=page,
        )
    except AppError as error:
        return Look(problem=error.detail)
    return Look(walk, _revisions(request, draft.connection, path))


def _revisions(request: SignedInRequest, connection: Connection, path: str) -> list[str]:
    """Offer revisions where `path` has some: an organisation of the Hub can be looked into, and has none."""
    try:
        return list_revisions(request.user, connection=connection, path=path) if path else []
    except SourceError:
        return []


def _read(data: QueryDict) -> tuple[str, dict[str, str]]:
    """Return what is asked for, and the fields as they are after it: a folder or file sets the path."""
    step = next((word for word in ("open", "pick", "more") if word in data), data.get("step", "import"))
    typed = {name: value for name in ImportForm.base_fields if isinstance(value := data.get(name), str)}
    if step in {"open", "pick"}:
        typed["source_path"] = data.get(step, "")
    if step == "connect":
        typed |= {"source_path": "", "revision": ""}
    return step, typed


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
