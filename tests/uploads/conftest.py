"""What tests of the upload protocol share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import LiveApplication, serve_with_account
from tests.uploads.sender import Sender


@pytest.fixture
def sender(db: None) -> Sender:
    """Give a writer's client with one dataset and one open version."""
    return Sender.create()


@pytest.fixture(scope="package")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveApplication]:
    """Run the whole application, once for all tests here that only talk to it."""
    with serve_with_account(tmp_path_factory.mktemp("live") / "application") as application:
        yield application
