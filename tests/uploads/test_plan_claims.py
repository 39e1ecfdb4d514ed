"""A plan links by digest alone, so what it claims about the bytes must be true."""

from __future__ import annotations

import hashlib

import pytest

from tests.uploads.sender import Sender

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]


def test_a_known_digest_with_another_size_is_asked_for(sender: Sender) -> None:
    data = b"ten bytes!"
    sender.send({"a": data})
    digest = hashlib.sha256(data).hexdigest()
    files = [{"path": "b", "size": 10, "sha256": digest}, {"path": "c", "size": 5_000, "sha256": digest}]
    states = [sender.post("plan", {"files": [file]}).json()["files"][0]["state"] for file in files]
    assert states == ["stored", "needed"]
