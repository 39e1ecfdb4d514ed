"""Short-lived signed addresses of raw bytes on an origin of their own, where no cookie of this application is sent.

An address is a capability: it names one file, for one user, for RAW_SECONDS. When it is used, that user must still be
active, with the same password, and must still see the version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.core import signing

from datasets_app.errors import Forbidden, NotFound
from datasets_app.models import User, Version
from datasets_app.services.browsing import find_file

if TYPE_CHECKING:
    from datasets_app.models import File

SALT = "raw-bytes"
PREFIX = "/raw/"
# Characters of the hash that changes with the password.
HASH = 16


class RawFile(NamedTuple):
    """What an address leads to: a file, whether browsers may show it, and the member of it that is meant, if any."""

    user: User
    file: File
    inline: bool
    member: str


def is_separate() -> bool:
    """Whether there is an origin for raw bytes."""
    return bool(settings.RAW_ORIGIN)


def make_address(actor: User, *, version: Version, path: str, inline: bool = False, member: str = "") -> str:
    """Return an absolute address of a file that the actor may read, or of a member of an archive."""
    body = [actor.pk, actor.get_session_auth_hash()[:HASH], version.pk, path.strip("/"), int(inline), member]
    token = signing.dumps(body, salt=SALT, compress=True)
    name = (member or path).rstrip("/").rpartition("/")[2]
    return f"{settings.RAW_ORIGIN}{PREFIX}{token}/{quote(name, safe='')}"


def open_address(path: str) -> RawFile:
    """Return what the path of an address names. Forbidden: forged or old. NotFound: out of reach."""
    token = path.removeprefix(PREFIX).partition("/")[0]
    try:
        user_id, secret, version_id, file_path, inline, member = signing.loads(
            token, salt=SALT, max_age=settings.RAW_SECONDS
        )
    except signing.SignatureExpired:
        raise Forbidden("This address has expired. Load the page that led here again.") from None
    except (signing.BadSignature, ValueError):
        raise Forbidden("This address was not made by this server.") from None
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is None or user.get_session_auth_hash()[:HASH] != secret:
        raise Forbidden("Whoever this address was made for has no access any more. Sign in and load the page again.")
    rows = Version.objects.visible_to(user).filter(pk=version_id, deleted_at=None, dataset__deleted_at=None)
    version = rows.select_related("dataset__team", "root").first()
    if version is None:
        raise NotFound("What this address named is gone, or you don't see it any more.")
    return RawFile(user, find_file(user, version=version, path=file_path), bool(inline), member)
