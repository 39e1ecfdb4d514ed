"""The stores that speak S3, and how each wants to be spoken to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509

from datasets_app.errors import ErrorItem, Invalid
from datasets_app.sources.base import Cause, Field, Route, Settings, SourceError

if TYPE_CHECKING:
    from datasets_app.sources.s3 import S3Source

REGION: Final = re.compile(r"[a-z]{2,}(-[a-z0-9]+){1,5}")
ACCOUNT: Final = re.compile(r"[0-9a-f]{32}")
DEFAULT_REGION: Final = "us-east-1"
PATH_HELP: Final = "bucket, or bucket/folder, or bucket/folder/object"


class Access(StrEnum):
    """As whom a store is spoken to."""

    KEYS = "keys"
    PUBLIC = "public"
    ROLE = "role"


@dataclass(frozen=True, slots=True)
class Profile:
    """One connection to a store that speaks S3.

    `endpoint` is None for Amazon's own, which depends on the region. `region` may be empty there: each bucket's is
    found out. `plain_checksums`: no checksum headers that are not asked for, which only Amazon is sure to know.
    `has_md5_etags`: where nothing else is said, ETags are documented to be MD5 sums.
    """

    store: str
    endpoint: str | None
    region: str
    access: Access = Access.KEYS
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    certificates: str = ""
    requester_pays: bool = False
    plain_checksums: bool = True
    finds_region: bool = False
    has_md5_etags: bool = False


class S3Provider:
    """What the three have in common."""

    name: str
    label: str
    fields: Sequence[Field]
    path_help = PATH_HELP
    has_revisions = False

    def clean(self, settings: Settings) -> Settings:
        """Normalise what the form gave; raises Invalid."""
        values = {name: value.strip() for name, value in settings.values.items()}
        secrets = {name: value.strip() for name, value in settings.secrets.items()}
        errors = list(_check_keys(values, secrets)) + self._normalise(values)
        if errors:
            raise Invalid(" ".join(item["detail"] for item in errors), errors=errors)
        return Settings(values, secrets)

    def connect(self, settings: Settings, route: Route) -> S3Source:
        """Make the source. SourceError where it would need a right that the operator has not given."""
        from datasets_app.sources.s3 import S3Source

        return S3Source(self.profile(settings, route), route)

    def profile(self, settings: Settings, route: Route) -> Profile:
        """Say how to speak to the store."""
        raise NotImplementedError

    def _normalise(self, values: dict[str, str]) -> list[ErrorItem]:
        """Put the values in order; return what is wrong with them."""
        raise NotImplementedError


SIGN_IN: Final = ((Access.KEYS, "with an access key"), (Access.PUBLIC, "not at all: public buckets"))
KEYS: Final = (
    Field("access_key", "Access key", required=True),
    Field("secret_key", "Secret key", kind="secret", required=True),
    Field("session_token", "Session token", kind="secret", help="Of temporary credentials only; they expire."),
)
# Where there are other ways to sign in.
KEYS_IF_CHOSEN: Final = tuple(field._replace(when=f"access={Access.KEYS}") for field in KEYS)


class AmazonS3(S3Provider):
    """Amazon S3. `endpoint` is for tests: users can't name one."""

    name = "s3"
    label = "Amazon S3"
    fields: Sequence[Field] = (
        Field(
            "access",
            "Sign in",
            kind="choice",
            choices=(*SIGN_IN, (Access.ROLE, "as this server's machine (where the operator allows it)")),
            default=Access.KEYS,
        ),
        *KEYS_IF_CHOSEN,
        Field(
            "region",
            "Region",
            placeholder="eu-central-1",
            help="May be empty: the region of each bucket is found out. Needed for China and GovCloud.",
        ),
        Field(
            "requester_pays",
            "Requester pays",
            kind="switch",
            help="Agree to pay for requests and transfer where a bucket's owner asks for it.",
        ),
    )

    def __init__(self, *, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def profile(self, settings: Settings, route: Route) -> Profile:
        """Say how to speak to Amazon."""
        values, secrets = settings.values, settings.secrets
        access = Access(values.get("access") or Access.KEYS)
        if access is Access.ROLE and not route.allows_machine_role:
            raise SourceError(
                Cause.DENIED,
                "The operator of this installation does not allow connections to act as its machine "
                "(ALLOW_MACHINE_ROLE). Use an access key.",
            )
        return Profile(
            store=self.label,
            endpoint=self._endpoint,
            region=values.get("region", ""),
            access=access,
            access_key=values.get("access_key", ""),
            secret_key=secrets.get("secret_key", ""),
            session_token=secrets.get("session_token", ""),
            requester_pays=bool(values.get("requester_pays")),
            plain_checksums=False,
            finds_region=True,
            has_md5_etags=True,
        )

    def _normalise(self, values: dict[str, str]) -> list[ErrorItem]:
        return _check_region(values)


class MinIO(S3Provider):
    """MinIO, and every other store that is spoken to by an endpoint of its own."""

    name = "minio"
    label = "MinIO or another S3"
    fields: Sequence[Field] = (
        Field(
            "endpoint",
            "Endpoint",
            required=True,
            placeholder="https://minio.example.org:9000",
            help="The address of the S3 API, without a bucket.",
            is_place=True,
        ),
        Field("access", "Sign in", kind="choice", choices=SIGN_IN, default=Access.KEYS),
        *KEYS_IF_CHOSEN,
        Field("region", "Region", placeholder=DEFAULT_REGION, help="Only where the server was given one."),
        Field(
            "certificates",
            "Certificates",
            kind="long",
            placeholder="-----BEGIN CERTIFICATE-----",
            help="PEM of the authority that signed the server's certificate, if it is not a public one.",
        ),
    )

    def profile(self, settings: Settings, route: Route) -> Profile:
        """Say how to speak to the server."""
        del route
        values, secrets = settings.values, settings.secrets
        return Profile(
            store="the S3 server",
            endpoint=values["endpoint"],
            region=values.get("region") or DEFAULT_REGION,
            access=Access(values.get("access") or Access.KEYS),
            access_key=values.get("access_key", ""),
            secret_key=secrets.get("secret_key", ""),
            session_token=secrets.get("session_token", ""),
            certificates=values.get("certificates", ""),
        )

    def _normalise(self, values: dict[str, str]) -> list[ErrorItem]:
        return [*_check_endpoint(values), *_check_region(values), *_check_certificates(values)]


class CloudflareR2(S3Provider):
    """Cloudflare R2. `endpoint` is for tests."""

    name = "r2"
    label = "Cloudflare R2"
    fields: Sequence[Field] = (
        Field(
            "account_id",
            "Account id",
            required=True,
            placeholder="32 hexadecimal digits",
            help="Shown in R2's overview, and part of the address of its S3 API.",
            is_place=True,
        ),
        Field(
            "jurisdiction",
            "Jurisdiction",
            kind="choice",
            choices=(("default", "none"), ("eu", "European Union"), ("fedramp", "FedRAMP")),
            default="default",
            help="Buckets with a jurisdiction are seen only there.",
            is_place=True,
        ),
        KEYS[0]._replace(help="Of an R2 API token with the right to read."),
        *KEYS[1:],
    )

    def __init__(self, *, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def profile(self, settings: Settings, route: Route) -> Profile:
        """Say how to speak to Cloudflare."""
        del route
        values, secrets = settings.values, settings.secrets
        place = values.get("jurisdiction") or "default"
        host = f"{values['account_id']}.{'' if place == 'default' else place + '.'}r2.cloudflarestorage.com"
        return Profile(
            store=self.label,
            endpoint=self._endpoint or f"https://{host}",
            region="auto",
            access_key=values.get("access_key", ""),
            secret_key=secrets.get("secret_key", ""),
            session_token=secrets.get("session_token", ""),
            has_md5_etags=True,
        )

    def _normalise(self, values: dict[str, str]) -> list[ErrorItem]:
        # People paste the whole address.
        account = re.sub(r"^https?://|\..*$", "", values.get("account_id", "").lower())
        values["account_id"] = account
        if ACCOUNT.fullmatch(account):
            return []
        return [{"field": "account_id", "detail": "An account id has 32 hexadecimal digits."}]


def _check_keys(values: dict[str, str], secrets: dict[str, str]) -> list[ErrorItem]:
    if values.get("access", "") not in {"", Access.KEYS}:
        for name in ("secret_key", "session_token"):
            secrets.pop(name, None)
        values["access_key"] = ""
        return []
    errors: list[ErrorItem] = []
    if not values.get("access_key"):
        errors.append({"field": "access_key", "detail": "Enter the access key."})
    if not secrets.get("secret_key"):
        errors.append({"field": "secret_key", "detail": "Enter the secret key."})
    return errors


def _check_region(values: dict[str, str]) -> list[ErrorItem]:
    values["region"] = region = values.get("region", "").lower()
    # It becomes part of a host name.
    if not region or REGION.fullmatch(region):
        return []
    return [{"field": "region", "detail": "A region looks like eu-central-1."}]


def _check_endpoint(values: dict[str, str]) -> list[ErrorItem]:
    wrong: list[ErrorItem] = [
        {"field": "endpoint", "detail": "An endpoint looks like https://minio.example.org:9000, without a path."}
    ]
    text = values.get("endpoint", "")
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        port = parts.port
    except ValueError:
        return wrong
    host = (parts.hostname or "").lower()
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in {"http", "https"} or extra or not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", host):
        return wrong
    shown = f"[{host}]" if ":" in host else host
    values["endpoint"] = f"{parts.scheme}://{shown}{f':{port}' if port else ''}"
    return []


def _check_certificates(values: dict[str, str]) -> list[ErrorItem]:
    text = values.get("certificates", "")
    if not text:
        return []
    try:
        if "PRIVATE KEY" not in text and x509.load_pem_x509_certificates(text.encode()):
            return []
    except ValueError:
        pass
    return [{"field": "certificates", "detail": "Paste certificates in PEM, and no private key."}]
