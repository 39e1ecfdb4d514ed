"""The OpenAPI document: what the routes say of themselves, and what holds for all of them."""

from __future__ import annotations

from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema

from datasets_app.api.document_tus import PROBLEM, tus_paths
from datasets_app.api.examples import ANSWERS, PLAIN, REQUESTS, find_parameter, make_example
from datasets_app.api.idempotency import HEADER, REPEATABLE

ROOT: Final = "/api/v1/"
TUS: Final = f"{ROOT}tus"
PROBLEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong (RFC 9457). `type` is stable; `errors` names single fields or paths.",
    "required": ["type", "title", "status", "detail", "errors", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string"},
                    "path": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
        "request_id": {"type": "string"},
    },
}
# What any request may meet, what those with a body may, those that change something, and single operations.
ANYWHERE: Final = (400, 401, 403, 404, 422, 429, 503)
WITH_BODY: Final = (413,)
CHANGING: Final = (409, 410)
MORE: Final[dict[str, tuple[int, ...]]] = {
    "browse_connection": (409, 502),
    "check_connection": (502,),
    "preview_import": (502,),
    "list_outputs": (409, 410),
    "read_output": (409, 410),
}
# What is inside a version is told once it is sealed, or while it is not.
OF_VERSION: Final = "/versions/{number}/"
# What comes instead of JSON.
OCTETS: Final = "application/octet-stream"
BYTES: Final = {"type": "string", "format": "binary"}
SENT: Final = frozenset({200, 206})
# As tus defines it.
CHECKSUM_MISMATCH: Final = 460
CONTENT: Final[dict[str, tuple[str, ...]]] = {
    "read_file": (OCTETS, "text/plain", "image/*"),
    "read_files": (OCTETS,),
    "read_manifest": ("application/x-ndjson",),
    "read_archive": ("application/x-tar",),
    "read_zip": ("application/zip",),
    "read_file_list": ("text/csv",),
    "read_croissant": ("application/ld+json",),
    "read_log": ("text/plain",),
}
KEY_PARAMETER: Final = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$", "title": HEADER},
    "description": "Any text of yours, such as a UUID. A request that comes again with the same key within 24 hours "
    "gets the first answer again, and makes nothing.",
    "example": "0b6f3c2e-5c35-4d0e-9a53-9d0f6d8f7a11",
}


SCHEMES: Final[list[dict[str, Any]]] = [{"TokenOrSession": []}]


class DocumentedApi(NinjaAPI):
    """An API whose document names errors, contents and examples, and the tus endpoint too."""

    def get_openapi_schema(self, **options: Any) -> OpenAPISchema:
        """Return the document."""
        document = super().get_openapi_schema(**options)
        # Behind a proxy, the application may lie below a path of its own.
        above = (options.get("path_prefix") or self.get_root_path({})).partition(ROOT)[0]
        document["paths"] |= {above + path: verbs for path, verbs in tus_paths(SCHEMES).items()}
        schemas = document["components"]["schemas"]
        for path, verbs in document["paths"].items():
            # What is one route for two verbs is one object so far.
            verbs.update(deepcopy([*verbs.items()][:1]))
            for method, operation in verbs.items():
                _complete(path, method, operation, schemas)
        schemas["Problem"] = deepcopy(PROBLEM_SCHEMA)
        for name in _answered(document):
            schemas[name]["examples"] = [ANSWERS[name] if name in ANSWERS else make_example(schemas[name], schemas)]
        return document


def _answered(document: OpenAPISchema) -> set[str]:
    """Name the schemas that routes answer with."""
    return {
        content["schema"]["$ref"].rpartition("/")[2]
        for verbs in document["paths"].values()
        for operation in verbs.values()
        for answer in operation["responses"].values()
        for content in answer.get("content", {}).values()
        if "$ref" in content["schema"]
    }


def _complete(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    name = operation["operationId"]
    if method == "head" and TUS not in path:
        operation["operationId"] = f"{name}_head"
    _describe_answers(path, method, operation)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        body["example"] = REQUESTS[name] if name in REQUESTS else make_example(body["schema"], schemas)
    for parameter in operation["parameters"]:
        example = find_parameter(name, operation["tags"], parameter["name"])
        if parameter["in"] == "path":
            example = PLAIN[parameter["schema"]["type"]] if example is None else example
            parameter["example"] = example if parameter["schema"]["type"] == "integer" else str(example)
        elif parameter["in"] == "query" and parameter["required"]:
            parameter["example"] = example
    if name in REPEATABLE and method == "post":
        operation["parameters"].append(KEY_PARAMETER)


def _describe_answers(path: str, method: str, operation: dict[str, Any]) -> None:
    name, answers = operation["operationId"].removesuffix("_head"), operation["responses"]
    body = operation.get("requestBody")
    errors = {*ANYWHERE, *MORE.get(name, ())} if method != "options" else set()
    errors |= {*CHANGING} if method not in {"get", "head", "options"} or TUS in path else set()
    errors |= {409} if OF_VERSION in path else set()
    errors |= {*WITH_BODY} if body else set()
    for status in sorted(errors):
        answers.setdefault(status, {"content": PROBLEM})
    for status, answer in answers.items():
        answer["description"] = _phrase(int(status))
        if method == "head":
            answer.pop("content", None)
        elif name in CONTENT and int(status) in SENT:
            answer["content"] = {
                kind: {"schema": {"type": "object"} if kind.endswith("+json") else BYTES} for kind in CONTENT[name]
            }
    if name == "read_output":
        answers[200]["content"][OCTETS] = {"schema": BYTES}


def _phrase(status: int) -> str:
    return "Checksum Mismatch" if status == CHECKSUM_MISMATCH else HTTPStatus(status).phrase
