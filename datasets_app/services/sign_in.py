"""Passwords checked, and guessing slowed down.

Failures are kept as audit rows, so that all server processes count the same ones. Requests that arrive at the same
moment may each pass the count: a burst gets as many guesses as the server has threads, then the door is closed.
"""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth import authenticate
from django.utils import timezone

from datasets_app.errors import TooManyAttempts, Unauthorized
from datasets_app.models import AuditEvent, User

WINDOW = timedelta(minutes=15)
MOST_FOR_NAME = 8
MOST_FOR_ADDRESS = 60
FAILED = "failed to sign in as"


def check_password(*, username: str, password: str, address: str) -> User:
    """Return the user with this name and password; raise Unauthorized for all others.

    `address` is the client's. After a few failures for one name from one address, or many from one address, raises
    TooManyAttempts for a quarter of an hour, whatever the password. Other addresses are not locked out by that.
    """
    username = username.strip()[:150]
    recent = AuditEvent.objects.filter(team=None, verb=FAILED, created_at__gt=timezone.now() - WINDOW)
    failures = list(recent.filter(details__address=address).values_list("subject", flat=True)[:MOST_FOR_ADDRESS])
    if failures.count(username) >= MOST_FOR_NAME or len(failures) >= MOST_FOR_ADDRESS:
        minutes = int(WINDOW.total_seconds() // 60)
        message = f"Too many wrong passwords. Try again in {minutes} minutes."
        raise TooManyAttempts(message)
    user = authenticate(username=username, password=password)
    if not isinstance(user, User):
        AuditEvent.objects.record(None, team=None, verb=FAILED, subject=username, address=address)
        message = "The user name or the password is wrong."
        raise Unauthorized(message)
    return user
