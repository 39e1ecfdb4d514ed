"""What the OpenAPI document shows as examples: bodies of requests, answers, and the parts of addresses."""

from __future__ import annotations

from typing import Any, Final

SHA256: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
DIGEST: Final = f"sha256:{SHA256}"
EARLIER: Final = "2026-05-01T09:30:00Z"
LATER: Final = "2026-05-01T09:31:12Z"
PURGED: Final = "2026-05-15T09:31:12Z"
FREED: Final = "2026-05-16T09:31:12Z"
PROBLEM: Final[dict[str, Any]] = {
    "type": "urn:flexai:problem:not-found",
    "title": "Not found",
    "status": 404,
    "detail": "There is no dataset images in a team vision of yours.",
    "errors": [],
    "request_id": "4f2c9d0c6d1b4a7e",
}

PLAN: Final = {"files": [{"path": "train/1.png", "size": 20480, "sha256": SHA256}], "bundle": True}
SOURCE: Final = {"source_path": "my-bucket/images", "include": ["*.png"], "prefix": "train"}
PART: Final = {"dataset": "images", "version": 3, "include": ["*.png"], "prefix": "photographs"}
# By operation.
REQUESTS: Final[dict[str, Any]] = {
    "create_token": {"name": "training cluster", "scope": "reader", "team": "vision", "expires_in_days": 90},
    "create_dataset": {"name": "images", "description": "Photographs of streets", "tags": ["raw"]},
    "update_dataset": {"description": "Photographs of streets at night", "tags": ["raw", "night"]},
    "purge_dataset": {"confirm": "images"},
    "purge_version": {"confirm": "images@3"},
    "set_label": {"version": 3},
    "create_version": {"base": 3, "message": "Add the photographs of May"},
    "plan_files": PLAN,
    "remove_paths": {"paths": ["train/broken.png", "old/"]},
    "leave_out_files": {"paths": ["train/broken.png"]},
    "create_bundle": {"paths": ["train/1.png", "train/2.png"]},
    "read_files": {"paths": ["train/1.png", "train/2.png"]},
    "query_tables": {"files": "labels.csv", "sql": "SELECT label, count(*) FROM data GROUP BY label"},
    "start_import": {"connection": "archive", **SOURCE},
    "create_connection": {
        "name": "archive",
        "provider": "minio",
        "values": {"endpoint": "https://minio.example.org", "access_key": "flexai", "secret_key": "correct horse"},
    },
    "edit_connection": {"values": {"secret_key": "battery staple"}},
    "preview_import": SOURCE,
    "move_paths": {"moves": [{"from": "train/1.png", "to": "test/1.png"}]},
    "undo_changes": {"paths": ["train/1.png"]},
    "set_retention": {"is_on": True, "keep_last": 10, "older_than_days": 90, "keep_labelled": True},
    "try_retention": {"keep_last": 10},
    "start_collection": {"dry_run": True},
    "compose_version": {"name": "night", "parts": [PART], "message": "Photographs alone"},
    "preview_composition": {"parts": [PART]},
    "create_job": {
        "name": "train-1",
        "kind": "training",
        "command": ["python", "/input/code/train.py"],
        "datasets": [{"dataset": "images", "version": 3, "mount_name": "images"}],
        "env": {"EPOCHS": "3"},
    },
}

TOKEN: Final = {
    "id": 7,
    "name": "training cluster",
    "prefix": "flexai_cLvJ7",
    "scope": "reader",
    "team": "vision",
    "created_at": EARLIER,
    "expires_at": "2026-07-30T09:30:00Z",
    "last_used_at": LATER,
}
DATASET: Final = {
    "damaged": False,
    "team": "vision",
    "name": "images",
    "description": "Photographs of streets",
    "tags": ["raw"],
    "status": "available",
    "latest_version": 3,
    "digest": DIGEST,
    "size": 204_800_000,
    "file_count": 10_000,
    "version_count": 3,
    "created_at": EARLIER,
    "updated_at": LATER,
    "archived_at": None,
}
VERSION: Final = {
    "labels": ["production"],
    "damaged": False,
    "team": "vision",
    "dataset": "images",
    "number": 3,
    "status": "available",
    "digest": DIGEST,
    "file_count": 10_000,
    "size": 204_800_000,
    "base": 2,
    "message": "Add the photographs of May",
    "source": {"kind": "upload"},
    "error": "",
    "warnings": [],
    "created_by": "ada",
    "created_at": EARLIER,
    "sealed_at": LATER,
    "staged": None,
}
TRASH: Final = {
    "team": "vision",
    "dataset": "images",
    "number": 3,
    "file_count": 10_000,
    "size": 204_800_000,
    "deleted_at": LATER,
    "deleted_by": "ada",
    "purged_at": PURGED,
}
LABEL: Final = {"name": "production", "version": 3, "in_trash": False, "updated_at": LATER, "updated_by": "ada"}
ENTRY: Final = {
    "damaged": False,
    "type": "file",
    "name": "1.png",
    "path": "train/1.png",
    "size": 20480,
    "file_count": 1,
    "digest": DIGEST,
}
CHANGE: Final = {
    "change": "added",
    "type": "file",
    "path": "train/2.png",
    "old_path": None,
    "file_count": 1,
    "old_size": None,
    "new_size": 20480,
    "old_sha256": None,
    "new_sha256": SHA256,
}
CHECK: Final = {
    "ok": True,
    "path": "my-bucket/images",
    "checked_at": LATER,
    "steps": [{"name": "Reach the server", "ok": True, "detail": "minio.example.org answers."}],
}
CONNECTION: Final = {
    "team": "vision",
    "name": "archive",
    "provider": "minio",
    "values": {"endpoint": "https://minio.example.org", "access_key": "flexai"},
    "secrets": ["secret_key"],
    "check": CHECK,
    "created_by": "ada",
    "created_at": EARLIER,
    "updated_at": LATER,
}
PROVIDER: Final = {
    "name": "minio",
    "label": "MinIO or another S3",
    "path_help": "bucket, or bucket/folder, or bucket/folder/object",
    "has_revisions": False,
    "fields": [
        {
            "name": "endpoint",
            "label": "Endpoint",
            "kind": "text",
            "required": True,
            "when": "",
            "help": "The address of the S3 API, without a bucket.",
            "choices": [],
            "default": "",
        }
    ],
}
SOURCE_ENTRY: Final = {
    "name": "images",
    "path": "my-bucket/images",
    "type": "directory",
    "size": None,
    "detail": "",
}
FAILURE: Final = {
    "key": "images/broken.png",
    "path": "train/broken.png",
    "cause": "gone",
    "detail": "The object is no longer there.",
}
IMPORT: Final = {
    "team": "vision",
    "dataset": "images",
    "version": 3,
    "connection": "archive",
    "provider": "minio",
    "source_path": "my-bucket/images",
    "revision": "",
    "pinned": "",
    "include": ["*.png"],
    "exclude": [],
    "prefix": "train",
    "seal": True,
    "status": "copying",
    "error": "",
    "is_listed": True,
    "listed_files": 10_000,
    "listed_size": 204_800_000,
    "skipped_files": 12,
    "linked_files": 4_000,
    "saved_size": 81_920_000,
    "copied_files": 2_999,
    "copied_size": 61_419_520,
    "failed_files": 1,
    "speed": 51_200_000.0,
    "files_speed": 2500.0,
    "seconds_left": 1.2,
    "problems": [FAILURE],
    "created_by": "ada",
    "created_at": EARLIER,
    "started_at": EARLIER,
    "finished_at": None,
}
JOB: Final = {
    "team": "vision",
    "name": "train-1",
    "kind": "training",
    "status": "running",
    "command": ["python", "/input/code/train.py"],
    "datasets": [
        {"dataset": "images", "version": 3, "digest": DIGEST, "mount_name": "images", "path": "/input/images"}
    ],
    "env": {"EPOCHS": "3"},
    "image": "",
    "runner": "local",
    "allow_network": False,
    "memory_bytes": 8_000_000_000,
    "cpu_seconds": None,
    "max_processes": None,
    "time_limit_seconds": 3600,
    "exit_code": None,
    "error": "",
    "created_by": "ada",
    "created_at": EARLIER,
    "started_at": LATER,
    "finished_at": None,
}
OUTPUT: Final = {
    "type": "file",
    "name": "model.bin",
    "path": "model.bin",
    "size": 4_096_000,
    "modified_at": LATER,
}


def _page(item: dict[str, Any]) -> dict[str, Any]:
    return {"items": [item], "next_cursor": None}


# By schema: what routes answer with.
ANSWERS: Final[dict[str, Any]] = {
    "Problem": PROBLEM,
    "MeAnswer": {"username": "ada", "token": TOKEN},
    "TokensAnswer": _page(TOKEN),
    "FreshTokenAnswer": {**TOKEN, "token": "flexai_cLvJ7x0tWq8mJc2nE5rYp1uKd9aZs4bVhG6fL3iQoXw"},
    "TeamsAnswer": _page({"name": "vision", "role": "admin", "created_at": EARLIER}),
    "DatasetAnswer": DATASET,
    "Page_DatasetAnswer_": _page(DATASET),
    "TrashAnswer": TRASH,
    "Page_TrashAnswer_": _page(TRASH),
    "ArchiveAnswer": {"team": "vision", "name": "images", "archived_at": LATER},
    "RemovalAnswer": {
        "versions": 3,
        "unsealed_versions": 0,
        "file_count": 30_000,
        "logical_size": 614_400_000,
        "freed_size": 204_800_000,
        "kept_size": 0,
        "purged_at": PURGED,
        "freed_at": FREED,
        "labels": [{"name": "production", "version": 3}],
        "job_count": 1,
        "jobs": ["train-1"],
        "obstacles": [],
    },
    "LabelAnswer": LABEL,
    "LabelsAnswer": {"items": [LABEL]},
    "VersionAnswer": VERSION,
    "Page_VersionAnswer_": _page(VERSION),
    "PlanAnswer": {"files": [{"path": "train/1.png", "state": "needed", "upload": None, "offset": None}]},
    "RemovedAnswer": {"removed": 2},
    "LeftOutAnswer": {"left_out": 1},
    "Page_EntryAnswer_": _page(ENTRY),
    "DiffAnswer": {
        "items": [CHANGE],
        "next_cursor": None,
        "counts": {
            "added": {"files": 1, "size": 20480},
            "removed": {"files": 0, "size": 0},
            "changed": {"files": 0, "size": 0},
            "renamed": {"files": 0, "size": 0},
        },
        "truncated": False,
    },
    "CheckAnswer": CHECK,
    "ConnectionAnswer": CONNECTION,
    "Page_ConnectionAnswer_": _page(CONNECTION),
    "ProvidersAnswer": _page(PROVIDER),
    "Page_SourceEntryAnswer_": _page(SOURCE_ENTRY),
    "PreviewAnswer": {
        "files": 10_000,
        "size": 204_800_000,
        "skipped_files": 12,
        "is_whole": True,
        "stored_files": 4_000,
        "stored_size": 81_920_000,
        "first_files": [{"path": "train/1.png", "size": 20480}],
        "problem_count": 1,
        "problems": [FAILURE],
        "revision": "",
    },
    "ImportAnswer": IMPORT,
    "Page_ProblemAnswer_": _page(FAILURE),
    "JobAnswer": JOB,
    "Page_JobAnswer_": _page(JOB),
    "OutputsAnswer": {"items": [OUTPUT], "truncated": False},
}

SPACE: Final = {
    "day": "2026-05-01",
    "version_count": 3,
    "logical_size": 614_400_000,
    "stored_size": 225_280_000,
    "live_size": 204_800_000,
    "trash_size": 20_480_000,
    "open_size": 0,
}
ANSWERS.update(
    {
        "SpaceAnswer": SPACE,
        "DatasetSpaceAnswer": {**SPACE, "shared_size": 0, "own_size": 204_800_000},
        "SpaceHistory": {"items": [SPACE]},
        "VersionSpaceAnswer": {
            "logical_size": 204_800_000,
            "stored_size": 204_800_000,
            "shared_size": 184_320_000,
            "own_size": 20_480_000,
            "added_size": 20_480_000,
        },
        "CompositionAnswer": {
            "parts": [{"label": "images@3", "files": 5_000, "size": 102_400_000, "problem": ""}],
            "files": 5_000,
            "size": 102_400_000,
            "is_whole": True,
            "clashes": [],
            "clash_count": 0,
            "problem": "",
        },
        "MovedAnswer": {"moved": 1},
        "UndoneAnswer": {"undone": 1},
    }
)

# By type or format.
PLAIN: Final[dict[str, Any]] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "date": "2026-05-01",
    "date-time": LATER,
    "uuid": "0b6f3c2e-5c35-4d0e-9a53-9d0f6d8f7a11",
}
# Parts of addresses, and what must be asked; those of a tag, and then those of an operation, go before the common ones.
PARAMETERS: Final[dict[str, Any]] = {
    "team": "vision",
    "name": "images",
    "number": 3,
    "other": 4,
    "to": "4",
    "member": "1.png",
    "path": "train/1.png",
    "label": "production",
    "digest": SHA256,
    "token_id": 7,
    "upload_id": "0b6f3c2e-5c35-4d0e-9a53-9d0f6d8f7a11",
}
OF_TAG: Final[dict[str, dict[str, Any]]] = {"connections": {"name": "archive"}, "jobs": {"name": "train-1"}}
OPEN: Final = {"number": 5}
OF_OPERATION: Final[dict[str, dict[str, Any]]] = {
    "preview_import": {"name": "archive"},
    "list_tree": {"path": "train"},
    "read_member": {"path": "train.zip"},
    "find_overlap": {"other": "images@4"},
    "read_output": {"path": "model.bin"},
    "plan_files": OPEN,
    "remove_paths": OPEN,
    "leave_out_files": OPEN,
    "create_bundle": OPEN,
    "seal_version": OPEN,
    "abandon_version": OPEN,
    "move_paths": OPEN,
    "undo_changes": OPEN,
    "list_changes": OPEN,
    "start_import": OPEN,
    "get_import": OPEN,
    "list_import_problems": OPEN,
    "cancel_import": OPEN,
    "retry_import": OPEN,
    "leave_out_failed": OPEN,
}


def make_example(schema: dict[str, Any], schemas: dict[str, Any]) -> Any:  # noqa: ANN401, PLR0911 - JSON, of all kinds
    """Return an example for what has none above: plain values of the right kinds."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return ANSWERS[name] if name in ANSWERS else make_example(schemas[name], schemas)
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return make_example(schema[key][0], schemas)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("type") == "object":
        return {name: make_example(part, schemas) for name, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        # Tuples name the kind of each place.
        parts = schema.get("prefixItems") or [part for part in [schema.get("items")] if part]
        return [make_example(part, schemas) for part in parts]
    return PLAIN.get(schema.get("format", ""), PLAIN.get(schema.get("type", "")))


def find_parameter(operation: str, tags: list[str], name: str) -> Any:  # noqa: ANN401 - JSON
    """Return the example of a part of an operation's address; None where there is none."""
    found = OF_OPERATION.get(operation, {})
    for tag in tags:
        found = OF_TAG.get(tag, {}) | found
    return (PARAMETERS | found).get(name)
