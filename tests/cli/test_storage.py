"""`flexai storage`, and pushes from a remote store, against a real S3 server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Flexai
from tests.imports.bucket import Bucket
from tests.servers import S3Server
from tests.store.naive import digest_of

pytestmark = pytest.mark.server


@pytest.fixture
def bucket(s3_server: S3Server) -> Bucket:
    """Make an empty bucket."""
    return Bucket(s3_server)


def create(flexai: Flexai, tmp_path: Path, server: S3Server, name: str) -> list[str | Path]:
    """Return the command that makes a connection; its secret comes from a file."""
    secret = tmp_path / "secret.txt"
    secret.write_text(f"{server.secret_key}\n")
    command: list[str | Path] = ["storage", "create", name, "--provider", "minio"]
    command += ["--set", f"endpoint={server.endpoint}", "--set", f"access_key={server.access_key}"]
    return [*command, "--set", f"secret_key=@{secret}"]


def test_it_works(flexai: Flexai, tmp_path: Path, bucket: Bucket) -> None:
    files = {"a/1.txt": b"one", "a/2.txt": b"two", "b.csv": b"x,y\n"}
    bucket.put(files)
    assert {"s3", "gcs", "minio"} <= {row["name"] for row in flexai.json("storage", "providers")}
    made = flexai.run(*create(flexai, tmp_path, bucket.server, "store")).stdout
    assert "FAIL" not in made
    assert "ok" in made
    assert [row["name"] for row in flexai.json("storage", "list")] == ["store"]
    assert "yes" in flexai.run("storage", "list").stdout
    assert flexai.json("storage", "check", "store", bucket.name)["ok"] is True

    source = ("--storage-provider", "store", "--source-path", bucket.name)
    pushed = flexai.json("dataset", "push", "imported", *source)
    assert (pushed["status"], pushed["digest"]) == ("available", digest_of(files))
    some = flexai.run("dataset", "push", "imported", *source, "--include", "*.txt", "--exclude", "2.txt").stdout
    assert "imported@2 is available: 1 files" in some
    # Without waiting, it gets there all the same.
    started = flexai.run("dataset", "push", "imported", *source, "--detach").stdout
    assert "imported@3 is being imported" in started

    assert flexai.json("storage", "delete", "store") == {"name": "store", "deleted": True}
    assert flexai.json("storage", "list") == []
    flexai.run("storage", "check", "store", code=4)


def test_what_does_not_work_is_said(flexai: Flexai, tmp_path: Path, s3_server: S3Server) -> None:
    wrong = S3Server(s3_server.endpoint, s3_server.access_key, "wrong")
    # One JSON document, though the command fails.
    found = json.loads(flexai.run(*create(flexai, tmp_path, wrong, "wrong"), "--json", code=1).stdout)
    assert found["ok"] is False
    assert "FAIL" in flexai.run("storage", "check", "wrong", code=1).stdout
    assert "no" in flexai.run("storage", "list").stdout
    command = create(flexai, tmp_path, s3_server, "untried")
    assert "was not tried" in flexai.run(*command, "--no-check").stdout
    assert flexai.json(*command, code=5)["error"]["exit_code"] == 5
    flexai.run("storage", "create", "odd", "--provider", "ftp", code=1)
    flexai.run("storage", "create", "odd", "--provider", "s3", "--set", "region", code=2)
    lost = ("dataset", "push", "lost", "--storage-provider", "untried", "--source-path", "no-such-bucket")
    assert "no-such-bucket" in flexai.run(*lost, code=1).stderr
    for name in ("wrong", "untried"):
        flexai.run("storage", "delete", name)
