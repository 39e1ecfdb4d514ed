"""The tus endpoint (`datasets_app.tus`) in the OpenAPI document; described by hand, as ninja does not know it."""

from __future__ import annotations

from typing import Any, Final

OCTETS: Final = "application/offset+octet-stream"
BYTES: Final = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _header(name: str, text: str, schema: dict[str, Any], example: object, *, required: bool = False) -> dict[str, Any]:
    about = {"name": name, "in": "header", "required": required, "description": text}
    return {**about, "schema": schema, "example": example}


_NUMBER: Final = {"type": "integer", "minimum": 0}
_TEXT: Final = {"type": "string"}
RESUMABLE: Final = _header(
    "Tus-Resumable", "The version of tus.", {"type": "string", "enum": ["1.0.0"]}, "1.0.0", required=True
)
CHECKSUM: Final = _header(
    "Upload-Checksum",
    "Algorithm (sha256, sha1) and base64 of the digest of this request's bytes.",
    _TEXT,
    "sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
)
LENGTH: Final = _header("Upload-Length", "Bytes of the file.", _NUMBER, 20480, required=True)
OFFSET: Final = _header(
    "Upload-Offset", "Where these bytes go: what HEAD told, or the last answer.", _NUMBER, 8192, required=True
)
METADATA: Final = _header(
    "Upload-Metadata",
    "Pairs of a key and base64 of its value: team, dataset, version, path, and sha256 (hex) if you know it.",
    _TEXT,
    "team dmlzaW9u,dataset aW1hZ2Vz,version NQ==,path dHJhaW4vMS5wbmc=",
    required=True,
)
UPLOAD: Final = {
    "name": "upload_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid", "title": "Upload Id"},
}
ANSWER_HEADERS: Final[dict[str, Any]] = {
    "Tus-Resumable": {"schema": _TEXT, "description": "The version of tus."},
    "Upload-Offset": {"schema": _NUMBER, "description": "How many bytes are kept."},
    "Upload-Length": {"schema": _NUMBER, "description": "How many there shall be."},
    "Upload-Expires": {"schema": _TEXT, "description": "Until when an unfinished upload is kept."},
    "Location": {"schema": {"type": "string", "format": "uri-reference"}, "description": "The upload's address."},
    "Tus-Version": {"schema": _TEXT, "description": "The versions of tus that are spoken."},
    "Tus-Extension": {"schema": _TEXT, "description": "The extensions of tus that are spoken."},
    "Tus-Max-Size": {"schema": _NUMBER, "description": "The largest upload in bytes."},
    "Tus-Checksum-Algorithm": {"schema": _TEXT, "description": "What Upload-Checksum may use."},
}


def _answer(description: str, *headers: str) -> dict[str, Any]:
    return {"description": description, "headers": {name: ANSWER_HEADERS[name] for name in ("Tus-Resumable", *headers)}}


def _operation(name: str, summary: str, description: str, **more: Any) -> dict[str, Any]:
    about = {"operationId": name, "summary": summary, "description": description, "tags": ["uploads"]}
    return {**about, "parameters": [], **more}


def _errors(*statuses: int) -> dict[int, Any]:
    return {status: {"description": "", "content": PROBLEM} for status in statuses}


def tus_paths(security: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the paths of the tus endpoint, as the document has them."""
    options = _operation(
        "describe_uploads",
        "What uploads can do",
        "Tell versions, extensions, the largest size and checksums. Needs no token.",
        responses={
            204: _answer("No Content", "Tus-Version", "Tus-Extension", "Tus-Max-Size", "Tus-Checksum-Algorithm")
        },
        security=[],
    )
    create = _operation(
        "create_upload",
        "Start an upload",
        "Start to send one file of an open version (tus 1.0 creation, creation-with-upload). Needs the role writer.\n\n"
        f"With the type `{OCTETS}`, the body is the file's first bytes.",
        parameters=[RESUMABLE, LENGTH, METADATA, CHECKSUM],
        requestBody={"required": False, "content": BYTES},
        responses={
            201: _answer("Created", "Location", "Upload-Offset", "Upload-Expires"),
            **_errors(412, 423, 460),
        },
    )
    show = _operation(
        "get_upload",
        "Where an upload goes on",
        "Tell the offset, which is how many bytes are kept.",
        parameters=[UPLOAD, RESUMABLE],
        responses={200: _answer("OK", "Upload-Offset", "Upload-Length", "Upload-Expires"), **_errors(412)},
    )
    send = _operation(
        "send_bytes",
        "Send bytes",
        "Add bytes at the offset; 409 when the upload ends elsewhere, 460 when they are not those of the checksum. The"
        " last bytes end the upload: the server hashes the file, and keeps it or refuses it.",
        parameters=[UPLOAD, RESUMABLE, OFFSET, CHECKSUM],
        requestBody={"required": True, "content": BYTES},
        responses={204: _answer("No Content", "Upload-Offset", "Upload-Expires"), **_errors(412, 415, 423, 460)},
    )
    end = _operation(
        "delete_upload",
        "End an upload",
        "Drop the upload and its bytes (tus 1.0 termination).",
        parameters=[UPLOAD, RESUMABLE],
        responses={204: _answer("No Content"), **_errors(412, 423)},
    )
    for operation in (create, show, send, end):
        operation["security"] = security
    one = {
        **options,
        "operationId": "describe_upload",
        "parameters": [UPLOAD],
        "responses": {**options["responses"], **_errors(404)},
    }
    return {
        "/api/v1/tus": {"options": options, "post": create},
        "/api/v1/tus/{upload_id}": {"options": one, "head": show, "patch": send, "delete": end},
    }
