"""What tests of the upload protocol share."""

from __future__ import annotations

import pytest

from tests.uploads.sender import Sender


@pytest.fixture
def sender(db: None) -> Sender:
    """Give a writer's client with one dataset and one open version."""
    return Sender.create()
