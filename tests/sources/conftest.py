"""Fixtures of the sources: servers that run as long as the tests do, and the guard between."""

from collections.abc import Iterator

import pytest

from datasets_app.sources.base import Route
from datasets_app.sources.guard import Guard
from tests.sources.ministack import Ministack, serve_ministack
from tests.sources.s3_remote import WireTap


@pytest.fixture(scope="session")
def guarded_route() -> Iterator[Route]:
    """The way through a guard that allows this machine itself."""
    guard = Guard(["127.0.0.0/8", "::1/128"])
    yield Route(proxy=guard.url, needs_no_proxy=guard.allows)
    guard.close()


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ministack]:
    """Run ministack with one user."""
    with serve_ministack(tmp_path_factory.mktemp("ministack")) as server:
        yield server


@pytest.fixture
def tap() -> Iterator[WireTap]:
    """What lies between the source and ministack."""
    made = WireTap()
    made.start()
    yield made
    made.stop()
