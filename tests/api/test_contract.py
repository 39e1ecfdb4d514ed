"""The API keeps what its OpenAPI document promises, whatever schemathesis sends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT, LiveApplication, serve_application

SECONDS = 300
# These would take away the run's own token, and what the examples speak of.
EXCLUDED = ("revoke_token", "purge_dataset", "delete_dataset")
# 500 is in no description, so it is a failure too.
CHECKS = "status_code_conformance,content_type_conformance,response_schema_conformance"


def fill(application: LiveApplication) -> None:
    """Make what the document's examples speak of: images@1 to images@5, a label, a connection, a job."""
    headers = {"Authorization": f"Bearer {application.token}"}
    with httpx.Client(base_url=f"{application.url}/api/v1/teams/vision", headers=headers, timeout=60) as client:

        def post(path: str, body: object) -> None:
            client.post(path, json=body).raise_for_status()

        post("/datasets", {"name": "images"})
        for number in range(1, 6):
            post("/datasets/images/versions", {})
            about = f"/datasets/images/versions/{number}"
            paths = sorted({f"train/{n}.png" for n in (1, 2, number + 1)})
            post(f"{about}/plan", {"files": [{"path": path, "size": 0} for path in paths]})
            if number == 5:
                break
            post(f"{about}/bundles", {"paths": paths})
            post(f"{about}/seal", None)
            while client.get(about).json()["status"] == "pending":
                time.sleep(0.1)
            assert client.get(about).json()["status"] == "available"
        client.put("/datasets/images/labels/production", json={"version": 3}).raise_for_status()
        # Nobody answers there.
        values = {"endpoint": "http://127.0.0.1:1", "access_key": "key", "secret_key": "secret"}
        post("/connections", {"name": "archive", "provider": "minio", "values": values})
        post("/jobs", {"name": "train-1", "kind": "training", "command": ["true"]})


def send_all_kinds(tmp_path: Path, *arguments: str) -> None:
    """Run schemathesis; nothing may come back that the document does not say."""
    with serve_application(tmp_path / "application") as application:
        application.team = "vision"
        application.bootstrap()
        fill(application)
        program = str(Path(sys.executable).with_name("st"))
        command = [program, "run", f"{application.url}/api/v1/openapi.json", "--no-color", "--checks", CHECKS]
        command += ["-H", f"Authorization: Bearer {application.token}", "--continue-on-failure"]
        command += arguments
        command += [part for name in EXCLUDED for part in ("--exclude-operation-id", name)]
        done = subprocess.run(
            command,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.api.contract_hooks", "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS + 300,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert " passed" in done.stdout
        assert "Unexpected error" not in application.log


@pytest.mark.server
def test_it_keeps_its_contract(tmp_path: Path) -> None:
    send_all_kinds(
        tmp_path, "--phases", "examples,coverage,fuzzing", "-n", "2", "--seed", "6", "--generation-deterministic"
    )


@pytest.mark.nightly
@pytest.mark.server
def test_it_keeps_its_contract_for_long(tmp_path: Path) -> None:
    send_all_kinds(
        tmp_path, "--phases", "fuzzing,stateful", "--generation-database", "none", "--max-time", str(SECONDS)
    )
