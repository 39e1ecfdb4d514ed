"""The OpenAPI document and its page."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from typing import Any

import pytest
from django.test import Client
from jsonschema_rs import validator_for

pytestmark = pytest.mark.django_db


def test_every_operation_has_a_stable_id_and_words(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    operations = operations_of(document).values()
    ids = [operation["operationId"] for operation in operations]
    # ninja makes one from the module's path when none is given.
    assert [name for name in ids if name.startswith("datasets_app")] == []
    assert [operation["operationId"] for operation in operations if not operation.get("description")] == []
    assert {"list_teams", "create_dataset", "list_datasets", "get_dataset", "update_dataset"} <= set(ids)


def operations_of(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{method} {path}": row for path, verbs in document["paths"].items() for method, row in verbs.items()}


def test_it_is_complete(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    operations = operations_of(document)
    ids = Counter(operation["operationId"] for operation in operations.values())
    assert [name for name, count in ids.items() if count > 1] == []
    # Uploads too, which ninja does not route, and reading by HEAD.
    assert {"create_upload", "send_bytes", "read_file", "read_file_head"} <= set(ids)
    for name, operation in operations.items():
        for status, answer in operation["responses"].items():
            kinds = set(answer.get("content", {}))
            problem = {"application/problem+json"} if int(status) >= 400 and not name.startswith("head ") else kinds
            # Without a body: a range that can't be satisfied.
            assert kinds == problem or status == "416", f"{name}: {status} is {kinds}"
            assert answer["description"], f"{name}: {status}"


def test_examples_are_what_they_are_examples_of(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()

    def judge(schema: dict[str, Any], example: object, of: str) -> None:
        whole = {**schema, "components": document["components"]}
        assert [error.message for error in validator_for(whole).iter_errors(example)] == [], of

    for name, operation in operations_of(document).items():
        for parameter in operation["parameters"]:
            if parameter["in"] == "path":
                judge(parameter["schema"], parameter["example"], f"{name} {parameter['name']}")
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            judge(body["schema"], body["example"], name)
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if content is not None and "$ref" in content["schema"]:
                shape = content["schema"]["$ref"].rpartition("/")[2]
                judge(content["schema"], document["components"]["schemas"][shape]["examples"][0], f"{name} {status}")


def test_the_page_names_every_call(client: Client) -> None:
    document = client.get("/api/v1/openapi.json").json()
    text = unescape(client.get("/api/v1/docs").content.decode())
    for path, verbs in document["paths"].items():
        for method, operation in verbs.items():
            assert f'<span class="badge plain">{method.upper()}</span><code>{path}</code>' in text
            assert f'id="{operation["operationId"]}"' in text
            assert operation["summary"] in text
            for parameter in operation["parameters"]:
                assert f"<code>{parameter['name']}</code>" in text
    # Examples of a body, and of an answer.
    assert '"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"' in text
    assert '"next_cursor": null' in text


@pytest.mark.parametrize("address", ["/api/v1/docs", "/api/v1/docs?try"])
def test_the_page_keeps_the_content_security_policy(client: Client, address: str) -> None:
    response = client.get(address)
    text = response.content.decode()
    assert "script-src 'self' 'wasm-unsafe-eval'" in response.headers["Content-Security-Policy"]
    assert re.findall(r"<script(?![^>]*(?:src=|application/json))", text) == []
    # Nothing is fetched from elsewhere; examples may name other servers.
    assert re.findall(r"""=["']?(?:https?:)?//""", text) == []
