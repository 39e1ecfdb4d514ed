"""Secrets of connections at rest: Fernet tokens over JSON, under the keys of CREDENTIALS_KEYS.

The first key encrypts; all of them decrypt, so that a key can be replaced: put the new one first, run
`manage.py rotate_credentials`, then take the old one away.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from datasets_app.models import Connection
from datasets_app.sources.base import Cause, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

UNREADABLE = (
    "The stored credentials of this connection can't be read: the server's key for them has changed. Enter them again, "
    "or ask your operator to put the old key back (CREDENTIALS_KEYS)."
)


def encrypt_secrets(secrets: Mapping[str, str]) -> str:
    """Return what is kept of the secrets; nothing for none."""
    return _fernet().encrypt(json.dumps(dict(secrets)).encode()).decode() if secrets else ""


def decrypt_secrets(kept: str) -> dict[str, str]:
    """Return the secrets by their fields' names. Raise SourceError (CREDENTIALS) when no key of ours fits."""
    if not kept:
        return {}
    try:
        found: dict[str, str] = json.loads(_fernet().decrypt(kept.encode()))
    except InvalidToken:
        # The cause would carry the token into a traceback.
        raise SourceError(Cause.CREDENTIALS, UNREADABLE) from None
    return found


def rotate_credentials() -> tuple[int, list[str]]:
    """Encrypt every connection's secrets with the first key; return how many, and whose no key of ours can read.

    Connections that are edited meanwhile are left alone: they were encrypted with the first key just now.
    """
    fernet = _fernet()
    done = 0
    unreadable = []
    for row in Connection.objects.exclude(credentials="").select_related("team").order_by("pk"):
        try:
            token = fernet.rotate(row.credentials.encode()).decode()
        except InvalidToken:
            unreadable.append(f"{row.team.name}/{row.name}")
            continue
        done += Connection.objects.filter(pk=row.pk, credentials=row.credentials).update(credentials=token)
    return done, unreadable


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.CREDENTIALS_KEYS])
