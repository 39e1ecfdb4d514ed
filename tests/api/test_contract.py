"""The API keeps what its OpenAPI document promises, whatever schemathesis sends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import pytest

from flexai_cli import Client
from tests.api.workshop import NOBODY
from tests.imports.bucket import Bucket
from tests.servers import ROOT, LiveApplication, S3Server, serve_application

SECONDS = 300
# 500 is in no description, so it is a failure too.
CHECKS = "status_code_conformance,content_type_conformance,response_schema_conformance"
FIRST_ERROR = 300


def fill(application: LiveApplication, bucket: Bucket, tmp_path: Path) -> None:
    """Make what the document's examples speak of: images@1 to images@5, a label, two connections, a job."""
    folder = tmp_path / "images"
    (folder / "train").mkdir(parents=True)
    (folder / "train/1.png").write_bytes(b"one")
    with zipfile.ZipFile(folder / "train.zip", "w") as packed:
        packed.writestr("1.png", b"one")
    (folder / "labels.csv").write_text("file,label\n1.png,street\n")
    with pytest.MonkeyPatch.context() as patch, Client(application.url, application.token, "vision") as client:
        patch.setenv("FLEXAI_CACHE_DIR", str(tmp_path / "cache"))

        def post(path: str, body: object) -> None:
            client.session.post("teams", "vision", *path.split("/"), body=body)

        for number in range(1, 5):
            (folder / f"train/{number + 1}.png").write_bytes(b"another")
            assert client.push("images", folder, use_cache=False).version == number
        post("datasets/images/versions", {})
        address = client.session.path("teams", "vision", "datasets", "images", "labels", "production")
        client.session.send("PUT", address, body={"version": 3})
        # Nobody answers at the first two.
        server = bucket.server
        shelf = {"endpoint": server.endpoint, "access_key": server.access_key, "secret_key": server.secret_key}
        for name, values in (("archive", NOBODY), ("nowhere", NOBODY), ("shelf", shelf)):
            post("connections", {"name": name, "provider": "minio", "values": values})
        leaves = ["bash", "-c", "echo weights > /output/model.bin"]
        post("jobs", {"name": "train-1", "kind": "training", "command": leaves})
        while client.session.get("teams", "vision", "jobs", "train-1")["status"] in {"pending", "running"}:
            time.sleep(0.1)
    # The second can't be a file.
    bucket.put({"a.png": b"one", "b\tad": b"no path"})


def send_all_kinds(tmp_path: Path, server: S3Server, *arguments: str) -> dict[str, set[int]]:
    """Run schemathesis; nothing may come back that the document does not say. Return what was answered."""
    bucket = Bucket(server)
    with serve_application(tmp_path / "application", ALLOWED_SOURCE_NETWORKS="127.0.0.0/8") as application:
        application.team = "vision"
        application.bootstrap()
        fill(application, bucket, tmp_path)
        program = str(Path(sys.executable).with_name("st"))
        command = [program, "run", f"{application.url}/api/v1/openapi.json", "--no-color", "--checks", CHECKS]
        command += ["-H", f"Authorization: Bearer {application.token}", "--continue-on-failure"]
        command += arguments
        about = {"URL": application.url, "TOKEN": application.token, "SOURCE": bucket.name}
        about |= {"RECORD": str(tmp_path / "record")}
        ours = {"SCHEMATHESIS_HOOKS": "tests.api.contract_hooks", "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            command,
            env={**os.environ, **ours, **{f"CONTRACT_{name}": value for name, value in about.items()}},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS + 300,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert " passed" in done.stdout
        assert "Unexpected error" not in application.log
        document = httpx.get(f"{application.url}/api/v1/openapi.json").json()
    answered: dict[str, set[int]] = {
        operation["operationId"]: set() for verbs in document["paths"].values() for operation in verbs.values()
    }
    for line in (tmp_path / "record").read_text().splitlines():
        name, status = line.split()
        answered[name].add(int(status))
    return answered


@pytest.mark.server
def test_it_keeps_its_contract(tmp_path: Path, s3_server: S3Server) -> None:
    fixed = ("--seed", "6", "--generation-deterministic")
    answered = send_all_kinds(tmp_path, s3_server, "--phases", "examples,coverage", *fixed)
    # What is only ever refused has been looked at from outside.
    assert [name for name, statuses in answered.items() if min(statuses, default=FIRST_ERROR) >= FIRST_ERROR] == []


@pytest.mark.nightly
@pytest.mark.server
def test_it_keeps_its_contract_for_long(tmp_path: Path, s3_server: S3Server) -> None:
    phases = ("--phases", "fuzzing,stateful", "--generation-database", "none")
    send_all_kinds(tmp_path, s3_server, *phases, "--max-time", str(SECONDS))
