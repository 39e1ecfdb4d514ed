"""The OpenAPI document and its page."""

from __future__ import annotations

import re

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def test_every_operation_has_a_stable_id_and_words(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    # ninja makes one from the module's path when none is given.
    assert [name for name in ids if name.startswith("datasets_app")] == []
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []
    assert {"list_teams", "create_dataset", "list_datasets", "get_dataset", "update_dataset"} <= set(ids)


def test_the_page_keeps_the_content_security_policy(client: Client) -> None:
    response = client.get("/api/v1/docs")
    text = response.content.decode()
    assert "script-src 'self' 'wasm-unsafe-eval'" in response.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?![^>]*(?:src=|application/json))", text) == []
    assert "https://" not in text
