"""The API's document as a page that people read: its calls by subject, each with examples."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

JSON = "application/json"


@dataclass(frozen=True)
class Parameter:
    """What a call takes beside its body. `place` is path, query or header."""

    name: str
    place: str
    type: str
    is_required: bool
    description: str


@dataclass(frozen=True)
class Call:
    """One operation. `body` and `answer` are examples: JSON, or where it is none, the type of the content."""

    name: str
    method: str
    path: str
    summary: str
    description: str
    parameters: list[Parameter]
    body: str
    answer: str
    statuses: str


@dataclass(frozen=True)
class Subject:
    """Calls that belong together."""

    name: str
    calls: list[Call]


def read_reference(document: Mapping[str, Any]) -> list[Subject]:
    """Lay out an OpenAPI document by its tags, in its own order."""
    subjects: dict[str, list[Call]] = {}
    for path, verbs in document["paths"].items():
        for method, operation in verbs.items():
            call = _read_call(method.upper(), path, operation, document["components"]["schemas"])
            subjects.setdefault(operation["tags"][0], []).append(call)
    return [Subject(name, calls) for name, calls in subjects.items()]


def _read_call(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Call:
    good: dict[str, Any] = next((one for status, one in operation["responses"].items() if int(status) < 300), {})  # noqa: PLR2004 - HTTP's
    return Call(
        name=operation["operationId"],
        method=method,
        path=path,
        summary=operation.get("summary", ""),
        description=operation.get("description", ""),
        parameters=list(_read_parameters(operation["parameters"])),
        body=_example(operation.get("requestBody", {}).get("content", {}), schemas),
        answer=_example(good.get("content", {}), schemas),
        statuses=", ".join(map(str, operation["responses"])),
    )


def _read_parameters(parameters: list[dict[str, Any]]) -> Iterator[Parameter]:
    for one in parameters:
        about = one["schema"]
        kinds = [about, *about.get("anyOf", ())]
        kind = " or ".join(dict.fromkeys(each["type"] for each in kinds if each.get("type", "null") != "null"))
        words = one.get("description") or about.get("description", "")
        yield Parameter(one["name"], one["in"], kind, one.get("required", False), words)


def _example(content: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    if JSON not in content:
        return " or ".join(content)
    found = content[JSON]
    if "example" in found:
        return json.dumps(found["example"], indent=2, ensure_ascii=False)
    shape = schemas.get(found["schema"].get("$ref", "").rpartition("/")[2], {})
    return json.dumps(shape["examples"][0], indent=2, ensure_ascii=False) if "examples" in shape else JSON
