"""The form for a new job. Its rows of datasets and variables live in the form itself, so it works without JavaScript.

Every button submits the whole form; `step` says what for: nothing is made unless it is "submit". With htmx the same
buttons, and changes of fields, get the part that they alter.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from django.http import QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from datasets_app.errors import AppError
from datasets_app.forms import JobForm, show_errors, split_command
from datasets_app.models import Job
from datasets_app.services.job_drafts import draft_job, free_mount_name
from datasets_app.services.job_rules import JobLimits
from datasets_app.services.jobs import Attachment, create_job, get_job
from datasets_app.views.request import SignedInRequest, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse

SPARE_VARIABLES = 1
# What a button or a changed field asks for, and the part of the page that shows it.
PARTS = {
    "add": "#datasets",
    "remove": "#datasets",
    "search": "#choices",
    "tree": "#tree",
    "variable": "#variables",
    "command": "#command",
}


class Rows(NamedTuple):
    """The lists of the form: datasets, and variables as (name, value)."""

    attachments: list[Attachment]
    variables: list[tuple[str, str]]

    @property
    def env(self) -> dict[str, str]:
        """The variables, without the empty rows."""
        return {name: value for name, value in self.variables if name or value}


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def job_new(request: SignedInRequest, team: str) -> HttpResponse:
    """Put a job together and submit it."""
    if request.method != "POST":
        form, rows = _first(request, team)
        return _show(request, team, form, rows)
    rows = _change(request.POST, _read(request.POST))
    step = _step(request.POST)
    if step != "submit":
        # Half-filled fields are no mistakes yet: an unbound form shows no errors.
        return _show(request, team, JobForm(initial=_typed(request.POST)), rows, step)
    form = JobForm(request.POST)
    if form.is_valid():
        try:
            job = _submit(request, team, form, rows)
        except AppError as error:
            return _show(request, team, form, rows, error=error)
        else:
            return redirect("job_detail", team=team, name=job.name)
    return _show(request, team, form, rows)


def _submit(request: SignedInRequest, team: str, form: JobForm, rows: Rows) -> Job:
    given = dict(form.cleaned_data)
    limits = JobLimits(**{field: given.pop(field) for field in JobLimits._fields})
    return create_job(request.user, team=team, datasets=rows.attachments, env=rows.env, limits=limits, **given)


def _show(  # noqa: PLR0913 - what the page is made of
    request: SignedInRequest, team: str, form: JobForm, rows: Rows, step: str = "", *, error: AppError | None = None
) -> HttpResponse:
    search = request.POST.get("search", "").strip()
    draft = draft_job(request.user, team=team, attachments=rows.attachments, search=search)
    row_errors: list[str] = []
    env_errors: list[str] = []
    if error is not None:
        env_errors, row_errors = _spread_errors(form, error)
    context = {
        "team": draft.team,
        "form": form,
        "draft": draft,
        "search": search,
        "variables": [*rows.variables, *[("", "")] * SPARE_VARIABLES],
        "words": _words(form),
        "row_errors": row_errors,
        "env_errors": env_errors,
        "step": step,
    }
    part = PARTS.get(step, "") if request.htmx else ""
    failed = bool(form.errors or error)
    return render(request, f"jobs/job_new.html{part}", context, status=422 if failed else 200)


def _first(request: SignedInRequest, team: str) -> tuple[JobForm, Rows]:
    """Begin empty, with `?dataset=` images, images@3 or images@prod, or with `?from=` an earlier job."""
    if earlier := request.GET.get("from"):
        return _again(get_job(request.user, team=team, name=earlier))
    attachments = []
    for text in request.GET.getlist("dataset"):
        name, _, number = text.partition("@")
        attachments.append(Attachment(name, _version(number)))
    return JobForm(), Rows(attachments, [])


def _again(job: Job) -> tuple[JobForm, Rows]:
    base, _, number = re.fullmatch(r"(.*?)(-(\d+))?", job.name, re.DOTALL).groups()  # type: ignore[union-attr]
    initial: dict[str, Any] = {
        "name": f"{base[:58]}-{int(number or 1) + 1}",
        "kind": job.kind,
        "command": shlex.join(job.command),
        "allow_network": job.allow_network,
    }
    if job.memory_bytes:
        initial["memory_bytes"] = f"{job.memory_bytes / 2**20:.10g} MiB"
    for field in ("cpu_seconds", "time_limit_seconds"):
        initial[field] = f"{getattr(job, field)} s" if getattr(job, field) else ""
    initial["max_processes"] = job.max_processes
    attachments = [Attachment(row.dataset_name, row.version_number, row.mount_name) for row in job.datasets.all()]
    return JobForm(initial=initial), Rows(attachments, list(job.env.items()))


def _read(data: QueryDict) -> Rows:
    attachments = []
    for dataset, version, mount in zip(
        data.getlist("dataset"), data.getlist("version"), data.getlist("mount"), strict=False
    ):
        attachments.append(Attachment(dataset, _version(version), mount.strip()))
    variables = zip(data.getlist("env_name"), data.getlist("env_value"), strict=False)
    return Rows(attachments, [(name.strip(), value) for name, value in variables if name.strip() or value])


def _version(text: str) -> int | str | None:
    """Read a number, a label, or nothing, which means the newest."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() else text or None


def _step(data: QueryDict) -> str:
    for step in ("add", "remove"):
        if step in data:
            return step
    return data.get("step", "submit")


def _change(data: QueryDict, rows: Rows) -> Rows:
    attachments = list(rows.attachments)
    if added := data.get("add"):
        attachments.append(Attachment(added, None, free_mount_name(added, attachments)))
    removed = data.get("remove", "")
    if removed.isdecimal() and int(removed) < len(attachments):
        del attachments[int(removed)]
    return rows._replace(attachments=attachments)


def _typed(data: QueryDict) -> dict[str, str]:
    return {name: value for name in JobForm.base_fields if isinstance(value := data.get(name), str)}


def _words(form: JobForm) -> list[str] | None:
    """Return the command as it would be split; None while a quotation is open."""
    try:
        return split_command(str(form["command"].value() or ""))
    except ValueError:
        return None


def _spread_errors(form: JobForm, error: AppError) -> tuple[list[str], list[str]]:
    """Put errors beside fields; return those of the environment and those of the datasets."""
    own: list[Any] = []
    env, rows = [], []
    for item in error.errors:
        field = item.get("field", "")
        if field == "env":
            env.append(item["detail"])
        elif field.startswith("datasets"):
            rows.append(item["detail"])
        else:
            own.append(item)
    if own or not error.errors:
        show_errors(form, type(error)(error.detail, errors=own))
    return _once(env), _once(rows)


def _once(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))
