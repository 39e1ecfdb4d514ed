"""Clients that others wrote upload a single file with metadata alone."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError

from tests.servers import ROOT, LiveApplication
from tests.store.naive import digest_of
from tests.uploads.live_sender import LiveSender

pytestmark = pytest.mark.server
BODY = random.Random(11).randbytes(3_300_000)


@pytest.fixture
def sender(application: LiveApplication, request: pytest.FixtureRequest) -> LiveSender:
    """Give a dataset of the test's own."""
    return LiveSender.for_test(application, request.node.name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "body.bin"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def stream(file: Path) -> Iterator[BinaryIO]:
    """Open the file: tuspy would leave its own open."""
    with file.open("rb") as stream:
        yield stream


def about(sender: LiveSender, number: int, path: str = "grüße/body.bin", **more: str) -> dict[str, str]:
    return {"team": "lab", "dataset": sender.name, "version": str(number), "path": path, **more}


def sealed_whole(sender: LiveSender, number: int, files: dict[str, bytes]) -> bool:
    return bool(sender.seal(number)["digest"] == digest_of(files))


def tuspy(sender: LiveSender) -> TusClient:
    application = sender.application
    return TusClient(f"{application.url}/api/v1/tus", headers={"Authorization": f"Bearer {application.token}"})


def run_node(sender: LiveSender, file: Path, metadata: dict[str, str], **options: object) -> str:
    """Run tus-js-client; return the URL of the upload."""
    program = shutil.which("node")
    if program is None:
        pytest.skip("Node.js is not installed (Debian: nodejs)")
    assert (ROOT / "node_modules" / "tus-js-client").is_dir(), "run `npm ci`, as `make test` does"
    done = subprocess.run(
        [
            program,
            str(ROOT / "tests" / "uploads" / "tus_client.cjs"),
            f"{sender.application.url}/api/v1/tus",
            sender.application.token,
            str(file),
            json.dumps(metadata),
            json.dumps(options),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("chunk", [2**30, 1_000_000])
def test_tuspy(sender: LiveSender, stream: BinaryIO, chunk: int) -> None:
    number = sender.create_version()
    tuspy(sender).uploader(file_stream=stream, chunk_size=chunk, metadata=about(sender, number)).upload()
    assert sealed_whole(sender, number, {"grüße/body.bin": BODY})


def test_tuspy_with_checksums_and_a_digest(sender: LiveSender, stream: BinaryIO) -> None:
    number = sender.create_version()
    metadata = about(sender, number, sha256=hashlib.sha256(BODY).hexdigest())
    tuspy(sender).uploader(file_stream=stream, chunk_size=1_000_000, metadata=metadata, upload_checksum=True).upload()
    assert sealed_whole(sender, number, {"grüße/body.bin": BODY})


def test_tuspy_goes_on_from_the_offset(sender: LiveSender, stream: BinaryIO) -> None:
    number = sender.create_version()
    first = tuspy(sender).uploader(file_stream=stream, chunk_size=1_000_000, metadata=about(sender, number))
    first.upload(stop_at=1_500_000)
    second = tuspy(sender).uploader(file_stream=stream, chunk_size=1_000_000, url=first.url)
    assert second.offset == 1_500_000
    second.upload()
    assert sealed_whole(sender, number, {"grüße/body.bin": BODY})


def test_tuspy_with_an_empty_file(sender: LiveSender) -> None:
    number = sender.create_version()
    tuspy(sender).uploader(file_stream=BytesIO(), metadata=about(sender, number)).upload()
    assert sealed_whole(sender, number, {"grüße/body.bin": b""})


def test_tuspy_is_told_what_is_wrong(sender: LiveSender, stream: BinaryIO) -> None:
    uploader = tuspy(sender).uploader(file_stream=stream, metadata=about(sender, 77))
    with pytest.raises(TusCommunicationError) as caught:
        uploader.upload()
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunkSize": 1_000_000},
        {"uploadDataDuringCreation": True},
        {"uploadDataDuringCreation": True, "chunkSize": 500_000},
        {"overridePatchMethod": True, "chunkSize": 1_000_000},
    ],
    ids=["whole", "pieces", "creation", "creation-pieces", "override"],
)
def test_tus_js_client(sender: LiveSender, file: Path, options: dict[str, object]) -> None:
    number = sender.create_version()
    url = run_node(sender, file, about(sender, number), **options)
    assert url.startswith(f"{sender.application.url}/api/v1/tus/")
    assert sealed_whole(sender, number, {"grüße/body.bin": BODY})


def test_tus_js_client_goes_on_after_an_interruption(sender: LiveSender, file: Path) -> None:
    number = sender.create_version()
    url = run_node(sender, file, about(sender, number), chunkSize=500_000, stopAfter=1_000_000)
    assert run_node(sender, file, {}, uploadUrl=url) == url
    assert sealed_whole(sender, number, {"grüße/body.bin": BODY})
