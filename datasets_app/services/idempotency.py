"""Do what makes something once, however often its request is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction
from django.utils import timezone

from datasets_app.errors import Invalid
from datasets_app.models import IdempotencyKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from datasets_app.models import User

LIFETIME = timedelta(hours=24)
LONGEST_KEY = 200
# Removed with every new key, so that the table needs no other keeper.
SWEPT = 100
FIRST_ERROR = 400


class Answer(NamedTuple):
    """What was answered over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_repeated: bool = False


def answer_once(actor: User, *, key: str, fingerprint: str, act: Callable[[], Answer]) -> Answer:
    """Return what `act` answers, or answered when the actor used this key before.

    What `act` writes and the answer are committed together; an error undoes both, and may be tried again. Raises
    Invalid for a key that came with another request. `act` must do no slow work: it runs inside the transaction.
    """
    if not 1 <= len(key) <= LONGEST_KEY or not key.isprintable():
        raise Invalid(f"Idempotency-Key: 1 to {LONGEST_KEY} printable characters, for instance a UUID.")
    now = timezone.now()
    with transaction.atomic():
        row, is_new = IdempotencyKey.objects.get_or_create(
            owner=_owner(actor), key=key, defaults={"fingerprint": fingerprint, "expires_at": now + LIFETIME}
        )
        if not is_new and row.expires_at > now:
            if row.fingerprint != fingerprint:
                raise Invalid("This Idempotency-Key was used for another request. Make a new one for each.")
            return Answer(row.status, row.headers, bytes(row.body), is_repeated=True)
        answer = act()
        if answer.status >= FIRST_ERROR:
            transaction.set_rollback(True)
            return answer
        row.fingerprint, row.expires_at, row.created_at = fingerprint, now + LIFETIME, now
        row.status, row.headers, row.body = answer.status, answer.headers, answer.body
        row.save()
        old = IdempotencyKey.objects.filter(expires_at__lt=now).values_list("pk", flat=True)[:SWEPT]
        IdempotencyKey.objects.filter(pk__in=list(old)).delete()
    return answer


def _owner(actor: User) -> str:
    return f"token {actor.access_token.pk}" if actor.access_token is not None else f"user {actor.pk}"
