"""The clients of one connection to an S3 store: botocore for questions, obstore for bytes, both by the same route.

Nothing comes from the environment or from `~/.aws`: neither credentials, which would be this machine's, nor settings.
Neither tries again by itself: it would do so without minding for how long a busy store asks to be left alone.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import urlsplit

import botocore.loaders
import botocore.session
import certifi
from botocore import UNSIGNED
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, NoCredentialsError
from obstore.store import S3Store

from datasets_app.sources.base import Route
from datasets_app.sources.s3_answers import BoundedSession
from datasets_app.sources.s3_listing import read_by_hand
from datasets_app.sources.s3_profiles import DEFAULT_REGION, Access, Profile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from obstore.store import ClientConfig, S3Config, S3Credential

CONNECT_SECONDS: Final = 15
# Without a byte. A whole request may take longer, but not for ever: a thread waits for it.
SILENT_SECONDS: Final = 60
REQUEST_SECONDS: Final = 600
KEPT_CONNECTIONS: Final = 32
# Credentials of a role change by themselves; they are asked for again after this.
ROLE_SECONDS: Final = 60

# Every variable at its default, without the name of an environment variable or of a key in a file.
_VARIABLES: Final = {
    name: (None, None, default, convert)
    for name, (_key, _environment, default, convert) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
} | dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
_VARIABLES["ignore_configured_endpoint_urls"] = (None, None, True, None)
# Models of the API are read from disk once for all connections.
_LOADER: Final = botocore.loaders.create_loader()


def load_models() -> None:
    """Read what botocore needs to know of S3, so that processes forked after this have it: 80 ms for each of them."""
    S3Clients(Profile("S3", "http://127.0.0.1", DEFAULT_REGION, access=Access.PUBLIC), Route()).boto()


class _Given:
    """Stands for botocore's search for credentials: these, or none."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials = credentials

    def load_credentials(self) -> Credentials | None:
        return self._credentials


class S3Clients:
    """Makes clients when they are needed, and keeps them. Safe to use from several threads."""

    def __init__(self, profile: Profile, route: Route) -> None:
        self.profile = profile
        self.route = route
        self._lock = threading.RLock()
        self._credentials: Credentials | None = None
        self._botos: dict[str, S3Client] = {}
        self._regions: dict[str, str] = {}
        self._bundle = ""

    @property
    def endpoint(self) -> str:
        """The address of the API, for the region where the connection begins."""
        region = self.profile.region or DEFAULT_REGION
        country = ".cn" if region.startswith("cn-") else ""
        return self.profile.endpoint or f"https://s3.{region}.amazonaws.com{country}"

    def web_route(self) -> Route:
        """Return the route for requests without a signature."""
        return replace(self.route, ca_bundle=Path(self.bundle)) if self.bundle else self.route

    @property
    def bundle(self) -> str:
        """A file with the certificates to trust; empty where the usual ones are enough."""
        with self._lock:
            extra = self._extra_certificates()
            if extra and not self._bundle:
                number, self._bundle = tempfile.mkstemp(prefix="source-", suffix=".pem")
                weakref.finalize(self, _remove, self._bundle, os.getpid())
                with os.fdopen(number, "w") as file:
                    file.write(f"{Path(certifi.where()).read_text()}\n{extra}\n")
            return self._bundle

    def boto(self, bucket: str = "") -> S3Client:
        """Return botocore's client, for the region of a bucket. Raises botocore's errors."""
        with self._lock:
            region = self._region(bucket)
            if region not in self._botos:
                self._botos[region] = self._make_boto(region)
            return self._botos[region]

    def region(self, bucket: str) -> str:
        """Return the region of a bucket; where the store has only one, or does not tell, the connection's."""
        with self._lock:
            return self._region(bucket)

    def store(self, bucket: str) -> S3Store:
        """Make obstore's client of a bucket. Raises botocore's errors, for what has to be found out before."""
        profile, region = self.profile, self.region(bucket)
        endpoint, is_virtual = self._bucket_endpoint(bucket)
        public = profile.access is Access.PUBLIC
        # Whatever is left out here could come from the environment.
        config: dict[str, Any] = {
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,
            "region": region,
            "virtual_hosted_style_request": is_virtual,
            "skip_signature": public,
            "request_payer": profile.requester_pays,
            "s3_express": False,
            "unsigned_payload": False,
        }
        options: dict[str, Any] = {
            "allow_http": endpoint.startswith("http://"),
            "allow_invalid_certificates": False,
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "read_timeout": timedelta(seconds=SILENT_SECONDS),
            "timeout": timedelta(seconds=REQUEST_SECONDS),
            "pool_max_idle_per_host": str(KEPT_CONNECTIONS),
            "http1_only": True,
        }
        if self.route.proxy:
            host = urlsplit(endpoint).hostname or ""
            # Of an address, that one alone is left out: a redirect to any other goes through the proxy.
            excluded = host if self.route.needs_no_proxy(host) else ""
            options |= {"proxy_url": self.route.proxy, "proxy_excludes": excluded}
        if extra := self._extra_certificates():
            options["root_certificate"] = extra
        return S3Store(
            bucket,
            config=cast("S3Config", config),
            client_options=cast("ClientConfig", options),
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=REQUEST_SECONDS)},
            credential_provider=None if public else self._give_credential,
        )

    def _region(self, bucket: str) -> str:
        profile = self.profile
        start = profile.region or DEFAULT_REGION
        if not bucket or not profile.finds_region:
            return start
        if bucket not in self._regions:
            client = self.boto()
            try:
                headers = client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
            except ClientError as error:
                # The region is told also to those who may not read the bucket.
                headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
            self._regions[bucket] = headers.get("x-amz-bucket-region") or start
        return self._regions[bucket]

    def _make_boto(self, region: str) -> S3Client:
        profile = self.profile
        session = botocore.session.Session(session_vars=_VARIABLES)
        session.register_component("data_loader", _LOADER)
        session.register_component("credential_provider", _Given(self._find_credentials()))
        proxy = self.route.proxy
        checksums: Literal["when_required", "when_supported"] = (
            "when_required" if profile.plain_checksums else "when_supported"
        )
        config = Config(
            region_name=region,
            proxies={"http": proxy, "https": proxy} if proxy else {},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=SILENT_SECONDS,
            retries={"total_max_attempts": 1, "mode": "standard"},
            max_pool_connections=KEPT_CONNECTIONS,
            signature_version=UNSIGNED if profile.access is Access.PUBLIC else "s3v4",
            s3={"addressing_style": "path" if profile.endpoint else "virtual"},
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
        )
        made = session.create_client("s3", endpoint_url=profile.endpoint, config=config, verify=self.bundle or None)
        client = cast("S3Client", made)
        read_by_hand(client)
        # There is no other way to bound what it reads.
        endpoint: Any = vars(client)["_endpoint"]
        endpoint.http_session = BoundedSession(endpoint.http_session)
        return client

    def _find_credentials(self) -> Credentials | None:
        profile = self.profile
        if profile.access is Access.PUBLIC:
            return None
        if self._credentials is None and profile.access is Access.KEYS:
            self._credentials = Credentials(profile.access_key, profile.secret_key, profile.session_token or None)
        elif self._credentials is None:
            # The operator allowed it: botocore's own search, in the environment of this process.
            self._credentials = botocore.session.get_session().get_credentials()
            if self._credentials is None:
                raise NoCredentialsError
        return self._credentials

    def _give_credential(self) -> S3Credential:
        with self._lock:
            credentials = self._find_credentials()
        if credentials is None:
            raise NoCredentialsError
        now = credentials.get_frozen_credentials()
        changes = self.profile.access is Access.ROLE
        return {
            "access_key_id": now.access_key or "",
            "secret_access_key": now.secret_key or "",
            "token": now.token,
            "expires_at": datetime.now(UTC) + timedelta(seconds=ROLE_SECONDS) if changes else None,
        }

    def _bucket_endpoint(self, bucket: str) -> tuple[str, bool]:
        """Return the address for a bucket's objects, and whether the bucket is in its host name."""
        if self.profile.endpoint:
            return self.profile.endpoint, False
        endpoint = str(self.boto(bucket).meta.endpoint_url)
        # A dot would make the name longer than the certificate covers.
        if "." in bucket:
            return endpoint, False
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{bucket}.{parts.netloc}", True

    def _extra_certificates(self) -> str:
        bundle = self.route.ca_bundle
        return "\n".join(filter(None, (self.profile.certificates, bundle.read_text() if bundle else "")))


def _remove(path: str, maker: int) -> None:
    # A forked child must not remove what its parent still uses.
    if os.getpid() == maker:
        os.unlink(path)  # noqa: PTH108
