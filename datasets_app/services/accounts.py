"""People: the first account, further accounts, passwords."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from datasets_app.errors import Conflict
from datasets_app.models import AuditEvent, Membership, Role, Team, User
from datasets_app.services.tokens import replace_token
from datasets_app.services.validation import check_name, invalid_field, invalid_from


@dataclass(frozen=True)
class Bootstrapped:
    """The outcome of `bootstrap`; `token` is the new API token's text, shown once."""

    user: User
    team: Team
    token: str
    user_is_new: bool


def is_set_up() -> bool:
    """Tell whether there is any account yet."""
    return User.objects.exists()


def create_first_account(*, username: str, password: str, team: str) -> User:
    """Make the first user, who runs the installation, and their team. Raise Conflict when there is a user already."""
    check_name(team, field="team")
    with transaction.atomic():
        _lock_users()
        if is_set_up():
            message = "The first account exists already. Sign in, or ask its owner for an invitation."
            raise Conflict(message)
        user = create_user(username=username, password=password, administrator=True)
        _join_as_admin(user, Team.objects.create(name=team))
    return user


def create_user(*, username: str, password: str, administrator: bool = False) -> User:
    """Make an account. Raise Invalid for a weak password or a bad name, Conflict for a taken one."""
    user = User(username=username.strip(), is_staff=administrator, is_superuser=administrator)
    user.username = User.normalize_username(user.username)
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        raise invalid_from(error) from error
    _set_password(user, password, field="password")
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError as error:
        detail = f"The user name {username} is taken."
        raise Conflict(detail, errors=[{"field": "username", "detail": detail}]) from error
    return user


def change_password(actor: User, *, current: str, new: str) -> User:
    """Change the actor's own password; `current` must be right. Ends their other sessions."""
    if not actor.check_password(current):
        raise invalid_field("current", "This is not your present password.")
    _set_password(actor, new, field="new")
    actor.save(update_fields=["password"])
    AuditEvent.objects.record(actor, team=None, verb="changed password of", subject=actor.get_username())
    return actor


@transaction.atomic
def bootstrap(*, username: str, password: str, team: str) -> Bootstrapped:
    """Make sure that an administrator `username` and a team `team` exist, and give a new token named "bootstrap".

    What exists is kept, the password too; only the former "bootstrap" token is replaced. Runs with the rights
    of whoever can run commands on the server, so the password's strength is not judged.
    """
    check_name(team, field="team")
    _lock_users()
    user = User.objects.filter(username=username).first()
    is_new = user is None
    if user is None:
        try:
            user = User(username=User.normalize_username(username), is_staff=True, is_superuser=True)
            user.clean_fields(exclude=["password"])
        except ValidationError as error:
            raise invalid_from(error) from error
        user.set_password(password)
        user.save()
    row, _ = Team.objects.get_or_create(name=team)
    _join_as_admin(user, row)
    _, token = replace_token(user, name="bootstrap")
    return Bootstrapped(user=user, team=row, token=token, user_is_new=is_new)


def _join_as_admin(user: User, team: Team) -> None:
    membership, is_new = Membership.objects.get_or_create(team=team, user=user, defaults={"role": Role.ADMIN})
    if not is_new and membership.role == Role.ADMIN:
        return
    membership.role = Role.ADMIN
    membership.save(update_fields=["role"])
    AuditEvent.objects.record(user, team=team, verb="became admin of", subject=team.name)


def _set_password(user: User, password: str, *, field: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise invalid_from(error, field=field) from error
    user.set_password(password)


def _lock_users() -> None:
    """Let one transaction at a time decide whether there is a user. SQLite's IMMEDIATE transactions do so anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE datasets_app_user IN SHARE ROW EXCLUSIVE MODE")
