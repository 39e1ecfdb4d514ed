"""The service account of a connection to Google Cloud Storage: its key file, judged before it is used, and its tokens.

What a user pastes decides nothing but who signs: where tokens are had is the operator's word, kinds of credentials that
run commands or read files of this machine are refused.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, transport
from google.auth.exceptions import GoogleAuthError
from google.oauth2 import service_account

from datasets_app.sources.gcs_errors import explain_sign_in
from datasets_app.sources.web import Web

TOKEN_URI: Final = "https://oauth2.googleapis.com/token"  # noqa: S105
# What key files say of it, the older ones too. It is only compared, never used.
TOKEN_URIS: Final = (
    TOKEN_URI,
    "https://accounts.google.com/o/oauth2/token",
    "https://www.googleapis.com/oauth2/v4/token",
)
READ_ONLY: Final = "https://www.googleapis.com/auth/devstorage.read_only"
TOKEN_BYTES: Final = 64 * 1024
_EMAIL: Final = re.compile(r"[A-Za-z0-9._+-]{1,100}@[A-Za-z0-9.-]{3,150}")
_PROJECT: Final = re.compile(r"[a-z0-9.:-]{1,100}")


class Key(NamedTuple):
    """What is needed of a key file."""

    email: str
    project: str
    key_id: str
    private_key: str


def read_key(text: str, *, token_uri: str, is_checked: bool = False) -> Key:
    """Read a key file as Google's console gives it. Raises ValueError with a sentence that holds nothing of it.

    `is_checked`: it went through here before. To check that the numbers of the key are right takes 0.1 s.
    """
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError("This is not JSON. Paste the whole key file, from the first { to the last }.") from None
    if not isinstance(found, dict):
        raise ValueError("This is JSON, but no key file.")  # noqa: TRY004 - it is the text that is wrong
    kind = found.get("type")
    if kind != "service_account":
        shown = kind if isinstance(kind, str) and re.fullmatch(r"[a-z_]{1,40}", kind) else "something else"
        raise ValueError(f"This is the key file of {shown}, not of a service account.")
    if found.get("token_uri", token_uri) not in {token_uri, *TOKEN_URIS}:
        raise ValueError(f"Its token_uri is not {token_uri}, the only place that signs service accounts in.")
    if found.get("universe_domain", "googleapis.com") != "googleapis.com":
        raise ValueError("It belongs to another cloud than Google's public one.")
    key = Key(*(_text(found, name) for name in ("client_email", "project_id", "private_key_id", "private_key")))
    if not _EMAIL.fullmatch(key.email):
        raise ValueError("Its client_email is missing, or no e-mail address.")
    if key.project and not _PROJECT.fullmatch(key.project):
        raise ValueError("Its project_id is no name of a project.")
    _load(key.private_key, is_checked=is_checked)
    return key


def _load(text: str, *, is_checked: bool) -> rsa.RSAPrivateKey:
    try:
        key = serialization.load_pem_private_key(text.encode(), None, unsafe_skip_rsa_key_validation=is_checked)
    except (ValueError, TypeError):
        raise ValueError("Its private_key is missing or damaged. Paste the file as it was downloaded.") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("Its private_key is not an RSA key.")  # noqa: TRY004 - it is the text that is wrong
    return key


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name, "")
    return value if isinstance(value, str) else ""


class Account:
    """Gives tokens for one service account, or none for a stranger. Safe to use from several threads."""

    def __init__(self, key: Key | None, web: Web, *, token_uri: str) -> None:
        self.email = key.email if key else ""
        self.project = key.project if key else ""
        self._request = _Request(web)
        self._lock = threading.Lock()
        self._credentials: service_account.Credentials | None = None
        if key is not None:
            signer = crypt.RSASigner(_load(key.private_key, is_checked=True), key.key_id)  # type: ignore[no-untyped-call]
            self._credentials = service_account.Credentials(  # type: ignore[no-untyped-call]
                signer, key.email, token_uri, scopes=[READ_ONLY]
            )

    def headers(self, *, anew: str = "") -> dict[str, str]:
        """Return the header that signs a request; with a new token, if it is still the refused one, `anew`.

        Raises SourceError (CREDENTIALS) when no token is given.
        """
        if self._credentials is None:
            return {}
        with self._lock:
            token = self._credentials.token
            if not self._credentials.valid or (anew and anew == f"Bearer {token}"):
                try:
                    self._credentials.refresh(self._request)  # type: ignore[no-untyped-call]
                except GoogleAuthError as error:
                    raise explain_sign_in(error, self.email) from None
            return {"authorization": f"Bearer {self._credentials.token}"}


class _Request(transport.Request):
    """How google-auth asks for tokens: by the route of the connection, like everything else."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_more: object,
    ) -> transport.Response:
        del method, timeout
        reply = self._web.post(url, headers=dict(headers or {}), body=body or b"", limit=TOKEN_BYTES)
        return _Response(reply.status, reply.headers, reply.data)


class _Response(transport.Response):
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self._parts = status, headers, data

    @property
    def status(self) -> int:
        return self._parts[0]

    @property
    def headers(self) -> Mapping[str, str]:
        return self._parts[1]

    @property
    def data(self) -> bytes:
        return self._parts[2]
