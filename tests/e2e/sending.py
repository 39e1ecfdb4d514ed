"""Makes versions by the public API, for tests that only look at them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping

from tests.servers import LiveApplication


def call(application: LiveApplication, path: str, body: object = None, **headers: str) -> None:
    """POST to the API; it must succeed."""
    status, answer = application.request("POST", f"/api/v1{path}", body=body, headers=headers)
    assert status < 300, answer


def make_dataset(application: LiveApplication, name: str) -> None:
    """Make a dataset of the application's team."""
    call(application, f"/teams/{application.team}/datasets", {"name": name})


def send_version(application: LiveApplication, dataset: str, number: int, files: Mapping[str, bytes]) -> str:
    """Open the dataset's next version, which must be `number`; send files as tus clients do; return its path."""
    versions = f"/teams/{application.team}/datasets/{dataset}/versions"
    call(application, versions, {})
    for path, data in files.items():
        fields = {"team": application.team, "dataset": dataset, "version": str(number), "path": path}
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(data)), "Upload-Metadata": metadata}
        call(application, "/tus", data, **headers, **{"Content-Type": "application/offset+octet-stream"})
    return f"{versions}/{number}"


def seal_version(application: LiveApplication, version: str) -> None:
    """Seal what `send_version` returned, and wait until it is available."""
    call(application, f"{version}/seal")
    wait_for_status(application, version, "available")


def wait_for_status(application: LiveApplication, path: str, status: str) -> None:
    """Wait until a version or a job has the status."""
    end = time.monotonic() + 60
    while json.loads(application.request("GET", f"/api/v1{path}")[1])["status"] != status:
        assert time.monotonic() < end, application.log
        time.sleep(0.2)
