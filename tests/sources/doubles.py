"""Fixtures: remote stores on the loopback interface. Import them where they are needed, or in a conftest.

from tests.sources.doubles import gcs_server, hub
"""

from collections.abc import Iterator

import pytest

from tests.sources.gcs_proxy import GcsServer, serve_gcs
from tests.sources.hub_double import Hub


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hugging Face Hub without repositories."""
    double = Hub().start()
    try:
        yield double
    finally:
        double.stop()


@pytest.fixture(scope="session")
def gcs_backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsServer]:
    """The one process that all tests of a run share."""
    with serve_gcs(tmp_path_factory.mktemp("gcs")) as server:
        yield server


@pytest.fixture
def gcs_server(gcs_backend: GcsServer) -> Iterator[GcsServer]:
    """Google Cloud Storage with a service account: make a bucket of your own name in it."""
    try:
        yield gcs_backend
    finally:
        gcs_backend.keeps_preconditions = True
        gcs_backend.recover()
        gcs_backend.forget()
