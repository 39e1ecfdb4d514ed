"""Google Cloud Storage as a source, against fake-gcs-server behind a proxy that checks tokens."""

import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets_app.sources.base import Route, Settings, Source
from datasets_app.sources.gcs import GoogleCloudStorage
from tests.sources.contract import Remote, SourceContract
from tests.sources.doubles import gcs_backend, gcs_server
from tests.sources.gcs_proxy import GcsServer

__all__ = ["gcs_backend", "gcs_server"]

pytestmark = pytest.mark.server

# Keys that Google takes and that are no paths.
ODD_KEYS = ("a//b", "../x", "deep/../y", "./z", "/leading", "trailing//", "back\\slash", "tab\tkey", "deep/..")


def connect(server: GcsServer, route: Route, *, public: bool = False, **values: str) -> Source:
    """Connect as the form would, but to the double."""
    provider = GoogleCloudStorage(endpoint=server.url, token_uri=server.token_uri)
    secrets = {} if public else {"service_account": server.service_account}
    access = "public" if public else "account"
    return provider.connect(provider.clean(Settings({"access": access, **values}, secrets)), route)


class GcsRemote(Remote):
    """A bucket of its own."""

    missing_path = "there-is-no-such-bucket/folder"

    def __init__(
        self, server: GcsServer, source: Source, *, odd_keys: Sequence[str] = (), public: bool = False
    ) -> None:
        self.server = server
        self.source = source
        self.odd_keys = odd_keys
        self.bucket = uuid.uuid4().hex
        self.path = f"{self.bucket}/in a folder"
        server.make_bucket(self.bucket, public=public)

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write objects, some at a time."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda path: self.server.put(self.bucket, f"in a folder/{path}", files[path]), files))

    def remove(self, path: str) -> None:
        """Delete an object."""
        self.server.remove(self.bucket, f"in a folder/{path}")


class TestServiceAccount(SourceContract):
    """With a service account, through the guard."""

    @pytest.fixture
    def remote(self, gcs_server: GcsServer, guarded_route: Route) -> Remote:
        """A private bucket."""
        return GcsRemote(gcs_server, connect(gcs_server, guarded_route), odd_keys=ODD_KEYS)


class TestPublicBucket(SourceContract):
    """Without signing in, directly."""

    @pytest.fixture
    def remote(self, gcs_server: GcsServer) -> Remote:
        """A public bucket."""
        gcs_server.public.add(GcsRemote.missing_path.partition("/")[0])
        return GcsRemote(gcs_server, connect(gcs_server, Route(), public=True), public=True)
