"""A place in an S3 store for one test, and a forward proxy that sees what goes over the wire."""

import http.client
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from datasets_app.sources.base import Route, Settings, Source
from datasets_app.sources.registry import PROVIDERS
from datasets_app.sources.s3_profiles import AmazonS3
from tests.sources.contract import Remote
from tests.sources.http_double import Answer, HttpDouble, Request
from tests.sources.ministack import Ministack

SECRETS = ("secret_key", "session_token")


def connect_minio(endpoint: str, access_key: str, route: Route, **values: str) -> Source:
    """Connect as the form would."""
    provider = PROVIDERS["minio"]
    shown = {name: value for name, value in values.items() if name not in SECRETS}
    secrets = {name: value for name, value in values.items() if name in SECRETS}
    settings = Settings({"endpoint": endpoint, "access_key": access_key, **shown}, secrets)
    return provider.connect(provider.clean(settings), route)


def connect_amazon(server: Ministack, route: Route, **values: str) -> Source:
    """Connect as the form would, but to ministack, with the keys of its user unless others are given."""
    provider = AmazonS3(endpoint=server.endpoint)
    shown = {name: value for name, value in values.items() if name not in SECRETS}
    secrets = {name: value for name, value in values.items() if name in SECRETS}
    settings = Settings(
        {"access_key": server.keys.access_key, **shown}, {"secret_key": server.keys.secret_key, **secrets}
    )
    return provider.connect(provider.clean(settings), route)


class S3Remote(Remote):
    """A folder of a bucket, written by boto3's client."""

    missing_path = "there-is-no-such-bucket/folder"

    def __init__(self, client: Any, source: Source, *, bucket: str, odd_keys: Sequence[str] = ()) -> None:  # noqa: ANN401
        self.client = client
        self.source = source
        self.bucket = bucket
        self.folder = uuid.uuid4().hex
        self.path = f"{bucket}/{self.folder}"
        self.odd_keys = odd_keys

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write objects, many at a time."""
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda path: self.put_object(path, files[path]), files))

    def put_object(self, path: str, data: bytes, **more: object) -> None:
        """Write one object, with boto3's parameters."""
        self.client.put_object(Bucket=self.bucket, Key=f"{self.folder}/{path}", Body=data, **more)

    def remove(self, path: str) -> None:
        """Delete an object."""
        self.client.delete_object(Bucket=self.bucket, Key=f"{self.folder}/{path}")


class WireTap(HttpDouble):
    """A forward proxy for plain HTTP: remembers what passes, and can spoil it."""

    def __init__(self) -> None:
        super().__init__(self._forward)

    @staticmethod
    def _forward(request: Request) -> Answer:
        parts = urlsplit(request.path)
        target = f"{parts.path}{'?' if request.query else ''}{request.query}"
        upstream = http.client.HTTPConnection(parts.netloc, timeout=30)
        try:
            upstream.request(request.method, target, request.body or None, dict(request.headers))
            response = upstream.getresponse()
            body = response.read()
            headers = {
                name: value
                for name, value in response.getheaders()
                if name.lower() not in {"transfer-encoding", "connection", "date", "server"}
            }
        finally:
            upstream.close()
        return Answer(response.status, headers, body)
