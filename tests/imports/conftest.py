"""A team that may reach the tests' S3 server, and a bucket there for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django.fixtures import Settings

from tests.imports.bucket import Bucket, Importer
from tests.imports.front import S3Front, serve_front
from tests.servers import S3Server
from tests.sources.ministack import serve_ministack


@pytest.fixture(autouse=True)
def _reachable(settings: Settings) -> None:
    """Let sources reach servers on this machine."""
    settings.ALLOWED_SOURCE_NETWORKS = ["127.0.0.0/8"]


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """An empty bucket."""
    return Bucket(s3_server)


@pytest.fixture
def importer(transactional_db: None, s3_server: S3Server) -> Importer:
    """A team with a connection to the server."""
    return Importer.create(s3_server)


@pytest.fixture
def front(s3_server: S3Server) -> Iterator[S3Front]:
    """A server before the S3 server, that sees all requests and can fail."""
    with serve_front(s3_server) as front:
        yield front


@pytest.fixture
def fronted(transactional_db: None, s3_server: S3Server, front: S3Front) -> Importer:
    """A team whose connection goes through `front`."""
    return Importer.create(s3_server, endpoint=front.url)


@pytest.fixture(scope="session")
def exact_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server that keeps every key as it is, as Amazon does; SeaweedFS has files and folders."""
    with serve_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield S3Server(server.endpoint, server.keys.access_key, server.keys.secret_key)
