"""Pages about teams: home, a new team, members, invitations and who did what."""

from __future__ import annotations

from urllib.parse import urljoin

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from datasets_app.errors import AppError, Conflict
from datasets_app.forms import ROLES, InvitationForm, JoinForm, TeamForm, show_errors
from datasets_app.models import User
from datasets_app.permissions import may
from datasets_app.services.invitations import (
    accept_as_new_user,
    accept_invitation,
    create_invitation,
    find_invitation,
    list_invitations,
    revoke_invitation,
)
from datasets_app.services.teams import (
    change_role,
    create_team,
    get_team,
    leave,
    list_members,
    list_teams,
    recent_activity,
    remove_member,
)
from datasets_app.views.account import BACKEND
from datasets_app.views.frame import SESSION_TEAM
from datasets_app.views.request import SignedInRequest, is_part, signed_in


@require_safe
@signed_in
def home(request: SignedInRequest) -> HttpResponse:
    """Lead to the datasets of the team last visited, or say how to get into a team."""
    names = [membership.team.name for membership in list_teams(request.user)]
    if not names:
        return render(request, "teams/home.html")
    last = request.session.get(SESSION_TEAM)
    return redirect("dataset_list", team=last if last in names else names[0])


@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def team_new(request: SignedInRequest) -> HttpResponse:
    """Make a team."""
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            team = create_team(request.user, name=form.cleaned_data["name"])
        except AppError as error:
            show_errors(form, error)
        else:
            return redirect("team_detail", team=team.name)
    return render(request, "teams/team_new.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@signed_in
def team_switch(request: SignedInRequest, team: str) -> HttpResponse:
    """Make this the team that `home` opens."""
    request.session[SESSION_TEAM] = get_team(request.user, team=team).name
    return redirect("dataset_list", team=team)


@require_safe
@signed_in
def team_detail(request: SignedInRequest, team: str) -> HttpResponse:
    """Show the members, for admins the invitations, and the newest acts."""
    return _render_team(request, team)


@require_POST
@signed_in
def member_role(request: SignedInRequest, team: str) -> HttpResponse:
    """Give a member another role."""
    username, role = request.POST.get("username", ""), request.POST.get("role", "")
    try:
        change_role(request.user, team=team, username=username, role=role)
    except Conflict as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, f"{username} is now {role} in {team}.")
    return redirect("team_detail", team=team)


@require_POST
@signed_in
def member_remove(request: SignedInRequest, team: str) -> HttpResponse:
    """Take a member out of the team."""
    username = request.POST.get("username", "")
    try:
        remove_member(request.user, team=team, username=username)
    except Conflict as error:
        messages.error(request, error.detail)
    else:
        messages.success(request, f"{username} is no longer in {team}.")
    return redirect("team_detail", team=team)


@require_POST
@signed_in
def team_leave(request: SignedInRequest, team: str) -> HttpResponse:
    """Leave the team."""
    try:
        leave(request.user, team=team)
    except Conflict as error:
        messages.error(request, error.detail)
        return redirect("team_detail", team=team)
    messages.success(request, f"You have left {team}.")
    return redirect("home")


@never_cache
@require_POST
@signed_in
def invitation_new(request: SignedInRequest, team: str) -> HttpResponse:
    """Make a link into the team. It is in this answer only: only its hash is stored."""
    form = InvitationForm(request.POST)
    if form.is_valid():
        try:
            _, secret = create_invitation(request.user, team=team, **form.cleaned_data)
        except AppError as error:
            if not error.errors:
                raise
            show_errors(form, error)
        else:
            # A proxy may have told this request another host or port than people use.
            here = settings.PUBLIC_URL or request.build_absolute_uri("/")
            link = urljoin(here, reverse("invitation", kwargs={"secret": secret}))
            return _render_team(request, team, link=link)
    return _render_team(request, team, form=form)


@require_POST
@signed_in
def invitation_revoke(request: SignedInRequest, team: str, invitation_id: int) -> HttpResponse:
    """End a link."""
    revoke_invitation(request.user, team=team, invitation_id=invitation_id)
    messages.success(request, "The invitation is revoked. Its link no longer works.")
    return redirect("team_detail", team=team)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Join a team: with the account that is signed in, or with a new one."""
    invited = find_invitation(secret=secret)
    if isinstance(request.user, User):
        if request.method == "POST":
            accept_invitation(request.user, secret=secret)
            return redirect("dataset_list", team=invited.team.name)
        return render(request, "teams/invitation.html", {"invitation": invited, "form": None})
    form = JoinForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            joined = accept_as_new_user(secret=secret, username=asked["username"], password=asked["password"])
        except AppError as error:
            show_errors(form, error)
        else:
            login(request, joined.user, backend=BACKEND)
            return redirect("dataset_list", team=invited.team.name)
    context = {"invitation": invited, "form": form}
    return render(request, "teams/invitation.html", context, status=422 if form.errors else 200)


def _render_team(
    request: SignedInRequest, team: str, *, form: InvitationForm | None = None, link: str = ""
) -> HttpResponse:
    """Render the page, or for htmx the invitations alone; 422 when the form holds errors."""
    row = get_team(request.user, team=team)
    is_admin = may(request.user, "member.change", row)
    context = {
        "team": row,
        "is_admin": is_admin,
        "members": list_members(request.user, team=team),
        "roles": ROLES,
        "invitations": list_invitations(request.user, team=team) if is_admin else [],
        "form": form or InvitationForm(),
        "link": link,
        "activity": recent_activity(request.user, team=team),
    }
    part = "#invitations" if is_part(request) else ""
    bad = form is not None and bool(form.errors)
    return render(request, f"teams/team_detail.html{part}", context, status=422 if bad else 200)
