"""Pages about oneself: the first account, signing in and out, the password, API tokens."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from datasets_app.errors import AppError, Forbidden
from datasets_app.forms import PasswordForm, SetupForm, SignInForm, TokenForm, show_errors
from datasets_app.models import User
from datasets_app.services.accounts import change_password, create_first_account, is_set_up
from datasets_app.services.sign_in import check_password
from datasets_app.services.teams import list_teams
from datasets_app.services.tokens import create_token, list_tokens, revoke_token
from datasets_app.views.request import SignedInRequest, is_part, signed_in

BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def setup(request: HttpRequest) -> HttpResponse:
    """Make the first account and team, on the first visit only."""
    if is_set_up():
        return redirect("home")
    form = SetupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        try:
            user = create_first_account(username=asked["username"], password=asked["password"], team=asked["team"])
        except AppError as error:
            show_errors(form, error)
        else:
            login(request, user, backend=BACKEND)
            return redirect("home")
    return render(request, "account/setup.html", {"form": form}, status=422 if form.errors else 200)


@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """Let somebody in, and lead to the page that they wanted; to the first account when there is none."""
    target = next_page(request)
    if request.user.is_authenticated:
        return redirect(target)
    if not is_set_up():
        return redirect("setup")
    form = SignInForm(request.POST or None)
    status = 422 if form.errors else 200
    if request.method == "POST" and form.is_valid():
        try:
            user = check_password(**form.cleaned_data, address=client_address(request))
        except AppError as error:
            show_errors(form, error)
            status = error.status if error.status != 401 else 422  # noqa: PLR2004 - 401 asks for HTTP authentication
        else:
            login(request, user, backend=BACKEND)
            return redirect(target)
    return render(request, "account/sign_in.html", {"form": form, "next": target}, status=status)


@require_safe
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Stand in for the administration's own sign-in form, which would not slow down guessing."""
    if request.user.is_authenticated:
        raise Forbidden("The administration is for those who run this installation.")
    return redirect_to_login(next_page(request))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("sign_in")


@require_safe
@signed_in
def account(request: SignedInRequest) -> HttpResponse:
    """Show the password form and the tokens."""
    return _render_account(request)


@sensitive_post_parameters()
@require_POST
@signed_in
def password_change(request: SignedInRequest) -> HttpResponse:
    """Change one's password. This session stays, all others end."""
    form = PasswordForm(request.POST)
    if form.is_valid():
        asked = form.cleaned_data
        try:
            user = change_password(request.user, current=asked["current"], new=asked["new"])
        except AppError as error:
            show_errors(form, error)
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "Your password is changed. Other browsers are signed out.")
            return redirect("account")
    return _render_account(request, password_form=form)


@never_cache
@require_POST
@signed_in
def token_new(request: SignedInRequest) -> HttpResponse:
    """Make a token. Its text is in this answer only: it is stored nowhere, not even for a redirect."""
    form = TokenForm(request.POST, teams=_team_names(request.user))
    if form.is_valid():
        try:
            row, text = create_token(request.user, **form.cleaned_data)
        except AppError as error:
            show_errors(form, error)
        else:
            return _render_account(request, new_token=text, new_name=row.name)
    return _render_account(request, token_form=form)


@require_POST
@signed_in
def token_revoke(request: SignedInRequest, token_id: int) -> HttpResponse:
    """End a token."""
    row = revoke_token(request.user, token_id=token_id)
    messages.success(request, f"The token {row.name} is revoked. Programs that use it are refused from now on.")
    return redirect("account")


def next_page(request: HttpRequest) -> str:
    """Return where to go after signing in: `next` if it is a page of this server, else home."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if safe else resolve_url("home")


def client_address(request: HttpRequest) -> str:
    """Return the address that the request comes from; behind a trusted proxy, the one that the proxy saw."""
    if settings.TRUST_PROXY:
        # The nearest proxy writes the last entry; those before it are the client's own words.
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        if forwarded:
            return forwarded
    return str(request.META.get("REMOTE_ADDR", ""))


def _team_names(user: User) -> list[str]:
    return [membership.team.name for membership in list_teams(user)]


def _render_account(
    request: SignedInRequest,
    *,
    password_form: PasswordForm | None = None,
    token_form: TokenForm | None = None,
    new_token: str = "",
    new_name: str = "",
) -> HttpResponse:
    """Render the page, or for htmx the tokens alone; 422 when a form holds errors."""
    context = {
        "password_form": password_form or PasswordForm(),
        "token_form": token_form or TokenForm(teams=_team_names(request.user)),
        "tokens": list_tokens(request.user),
        "memberships": list_teams(request.user),
        "new_token": new_token,
        "new_name": new_name,
    }
    part = "#tokens" if is_part(request) else ""
    bad = (password_form is not None and password_form.errors) or (token_form is not None and token_form.errors)
    return render(request, f"account/account.html{part}", context, status=422 if bad else 200)
