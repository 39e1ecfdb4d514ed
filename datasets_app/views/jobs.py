"""Pages about jobs: the team's list, the form for a new one, one job with its log and outputs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from datasets_app.models import Job
from datasets_app.permissions import may
from datasets_app.runners.usage import format_bytes
from datasets_app.services.job_files import OutputFile, describe_job, find_output
from datasets_app.services.job_rules import shown_env
from datasets_app.services.jobs import get_job, list_jobs, stop_job
from datasets_app.services.teams import get_team
from datasets_app.store.paths import steps
from datasets_app.views.request import SignedInRequest, is_part, signed_in

if TYPE_CHECKING:
    from django.http import HttpResponse

SHOWN_OUTPUTS = 50


@require_safe
@signed_in
def job_list(request: SignedInRequest, team: str) -> HttpResponse:
    """List the team's jobs; htmx asks for the results again while one of them is active."""
    search, status, kind = (request.GET.get(key, "").strip() for key in ("search", "status", "kind"))
    cursor = request.GET.get("cursor")
    page = list_jobs(request.user, team=team, search=search, status=status, kind=kind, cursor=cursor)
    row = get_team(request.user, team=team)
    context = {
        "team": row,
        "page": page,
        "cursor": cursor,
        "search": search,
        "status": status,
        "kind": kind,
        "filtered": bool(search or status or kind),
        "statuses": Job.Status.values,
        "kinds": Job.Kind.values,
        "is_moving": any(job.is_active for job in page.items),
        "may_create": may(request.user, "job.create", row),
    }
    return render(request, f"jobs/job_list.html{'#results' if is_part(request) else ''}", context)


@require_safe
@signed_in
def job_detail(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Show a job; htmx asks for what moves until the job has ended."""
    job = get_job(request.user, team=team, name=name)
    part = is_part(request)
    context = {
        "team": job.team,
        "job": job,
        "facts": describe_job(request.user, job=job, with_log=not part),
        "command": shlex.join(job.command),
        "memory": format_bytes(job.memory_bytes) if job.memory_bytes else "",
        "env": shown_env(job.env),
        "shown_outputs": SHOWN_OUTPUTS,
        "log_url": reverse("api:read_log", kwargs={"team": team, "name": name}),
        "may_stop": may(request.user, "job.stop", job),
        "may_create": may(request.user, "job.create", job.team),
    }
    return render(request, f"jobs/job_detail.html{'#live' if part else ''}", context)


@require_POST
@signed_in
def job_stop(request: SignedInRequest, team: str, name: str) -> HttpResponse:
    """Stop a job and return to its page."""
    stop_job(request.user, team=team, name=name)
    return redirect("job_detail", team=team, name=name)


@require_safe
@signed_in
def job_outputs(request: SignedInRequest, team: str, name: str, path: str) -> HttpResponse:
    """List a directory of the outputs; a file is sent by the API's route."""
    job = get_job(request.user, team=team, name=name)
    found = find_output(request.user, job=job, path=path)
    if isinstance(found, OutputFile):
        found.file.close()
        return redirect("api:read_output", team=team, name=name, path=path)
    path = path.strip("/")
    context = {"team": job.team, "job": job, "path": path, "crumbs": steps(path), "found": found}
    return render(request, "jobs/job_outputs.html", context)
