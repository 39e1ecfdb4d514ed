"""`flexai storage`, and pushes from a remote store, against a real S3 server."""

from __future__ import annotations

import json
import signal
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import SECONDS, Flexai, write_files
from tests.imports.bucket import Bucket
from tests.imports.front import serve_front
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
    assert "imported@2 is available: 1 file" in some
    # Without waiting, it gets there all the same.
    started = flexai.run("dataset", "push", "imported", *source, "--detach").stdout
    assert "imported@3 is being imported" in started
    assert wait_for(flexai, "imported@3")["status"]["digest"] == digest_of(files)
    again = flexai.run("dataset", "push", "imported", *source).stdout
    assert "Unchanged: imported@4 has the same content as imported@3 (3 files, 10 B)." in again
    assert flexai.json("dataset", "push", "imported", *source)["same_as"] == 4

    assert flexai.json("storage", "delete", "store") == {"name": "store", "deleted": True}
    assert flexai.json("storage", "list") == []
    flexai.run("storage", "check", "store", code=4)


def test_what_it_is_made_of(flexai: Flexai, tmp_path: Path, bucket: Bucket) -> None:
    bucket.put({"in/a.txt": b"one", "in/b\tad": b"no path"})
    flexai.run(*create(flexai, tmp_path, bucket.server, "parts"))
    source = ("--storage-provider", "parts", "--source-path", f"{bucket.name}/in")
    refused = flexai.json("dataset", "push", "parted", *source, code=8)["error"]
    assert ["ad" in row["path"] for row in refused["errors"]] == [True]
    assert [row["status"] for row in flexai.json("dataset", "versions", "parted")] != ["available"]
    done = flexai.json("dataset", "push", "parted", *source, "--skip-failed")
    assert (done["status"], done["digest"]) == ("available", digest_of({"a.txt": b"one"}))
    # Beside what another version holds.
    own = write_files(tmp_path / "own", {"mine": b"m"})
    flexai.run("dataset", "push", "based-import", "--file", own)
    based = (*source, "--exclude", "b*", "--base", "1")
    opened = flexai.json("dataset", "push", "based-import", *based, "--no-seal")
    assert (opened["number"], opened["digest"]) == (2, None)
    assert opened["status"] != "available"
    based_on = flexai.json("dataset", "push", "based-import", *based)
    assert (based_on["number"], based_on["digest"]) == (3, digest_of({"mine": b"m", "a.txt": b"one"}))
    pinned = flexai.json("dataset", "push", "parted", *source, "--exclude", "b*", "--revision", "main")
    assert pinned["source"]["revision"] == "main"
    flexai.run("storage", "delete", "parts")


def test_an_interrupted_import_is_followed_again(flexai: Flexai, tmp_path: Path, bucket: Bucket) -> None:
    files = {f"{n}.bin": bytes([n]) * 1000 for n in range(20)}
    bucket.put(files)
    # Nothing comes until the same command follows: however long that takes to start, the import has not ended.
    held = threading.Event()
    with serve_front(bucket.server) as front, serve_front(S3Server(flexai.url, "", "")) as watched:
        server = S3Server(front.url, bucket.server.access_key, bucket.server.secret_key)
        flexai.run(*create(flexai, tmp_path, server, "slow"))
        front.fail(r"GET .*\.bin", then=partial(held.wait, SECONDS), times=-1)
        push = ("dataset", "push", "followed", "--storage-provider", "slow", "--source-path", bucket.name)
        ours = replace(flexai, url=watched.url)
        following = ours.start(*push)
        deadline = time.monotonic() + SECONDS
        while not front.reads():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        following.send_signal(signal.SIGINT)
        _, err = following.communicate(timeout=SECONDS)
        assert following.returncode == 130
        assert "The import into followed@1 goes on by itself" in err
        watched.forget()
        again = ours.start(*push, "--json")
        while not watched.lines("GET .*/followed/versions/1/import$"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        held.set()
        out, err = again.communicate(timeout=SECONDS)
        assert again.returncode == 0, err
        done = json.loads(out)
        assert (done["number"], done["digest"]) == (1, digest_of(files))
        assert len(flexai.json("dataset", "versions", "followed")) == 1
        # Now that it has ended, the same command looks at the store anew.
        assert ours.json(*push)["same_as"] == 1
    flexai.run("storage", "delete", "slow")


def wait_for(flexai: Flexai, name: str) -> Any:  # noqa: ANN401 - JSON
    """Return a version once it is available."""
    deadline = time.monotonic() + SECONDS
    while (found := flexai.json("dataset", "inspect", name))["status"]["status"] != "available":
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    return found


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
