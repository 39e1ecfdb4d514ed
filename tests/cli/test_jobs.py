"""`flexai training run`, `fine-tuning run` and `job`, with jobs that really run."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, Flexai, read_files, write_files

pytestmark = pytest.mark.server

SCRIPT = """
cat /input/data/greeting.txt
echo "EPOCHS=$EPOCHS FROM_HERE=$FROM_HERE"
mkdir -p /output/deep/er
cp /input/data/greeting.txt /output/deep/er/copy.txt
head -c 3000000 /dev/zero > /output/model.bin
ln -s model.bin /output/link
"""


def wait_for(flexai: Flexai, name: str, *statuses: str) -> None:
    """Wait until a job has a status."""
    deadline = time.monotonic() + SECONDS
    while (status := flexai.json("job", "inspect", name)["status"]) not in statuses:
        assert time.monotonic() < deadline, f"{name} is {status}"
        time.sleep(0.2)


def test_it_works(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"greeting.txt": "grüezi\n".encode()})
    flexai.run("dataset", "push", "job-data", "--file", folder)
    here = Flexai(flexai.home, flexai.url, flexai.token, flexai.team, {"FROM_HERE": "yes"})
    options = ("--dataset", "job-data@1=data", "--env", "EPOCHS=3", "--env", "FROM_HERE")
    made = json.loads(here.run("training", "run", "train-1", "--json", *options, "--", "bash", "-c", SCRIPT).stdout)
    assert (made["kind"], made["datasets"][0]["path"]) == ("training", "/input/data")

    # Follows until the job has ended.
    log = flexai.run("job", "logs", "-f", "train-1").stdout
    assert log == "grüezi\nEPOCHS=3 FROM_HERE=yes\n"
    lines = [json.loads(line) for line in flexai.run("job", "logs", "train-1", "--json").stdout.splitlines()]
    assert "".join(line["text"] for line in lines) == log
    wait_for(flexai, "train-1", "succeeded")
    assert "train-1" in flexai.run("job", "list").stdout
    assert "train-1" in {row["name"] for row in flexai.json("job", "list", "--status", "succeeded")}
    assert "job-data@1 at /input/data" in flexai.run("job", "inspect", "train-1").stdout

    fetched = flexai.json("job", "fetch", "train-1", tmp_path / "out")
    assert fetched == {"fetched": 2, "left_out": 1}
    assert read_files(tmp_path / "out") == {
        "deep/er/copy.txt": "grüezi\n".encode(),
        "model.bin": bytes(3_000_000),
    }
    flexai.run("job", "fetch", "train-1", tmp_path / "part", "--path", "deep")
    assert set(read_files(tmp_path / "part")) == {"deep/er/copy.txt"}


def test_it_fails(flexai: Flexai) -> None:
    done = flexai.run("fine-tuning", "run", "tune-1", "--follow", "--", "bash", "-c", "echo before; exit 3", code=1)
    assert done.stdout.startswith("before\n")
    assert "The job tune-1 has failed" in done.stderr
    # One JSON document, though the command fails; the log is beside it.
    again = flexai.run("training", "run", "train-2", "-f", "--json", "--", "bash", "-c", "echo before; exit 3", code=1)
    job = json.loads(again.stdout)
    assert (job["status"], job["exit_code"], again.stderr) == ("failed", 3, "before\n")
    # The name is taken; there is no such dataset, job or variable.
    flexai.run("training", "run", "train-2", "--", "true", code=5)
    flexai.run("training", "run", "train-3", "--dataset", "nothing-here", "--", "true", code=4)
    flexai.run("job", "logs", "-f", "nothing-here", code=4)
    flexai.run("training", "run", "train-3", "--env", "NO_SUCH_VARIABLE", "--", "true", code=2)


def test_stop(flexai: Flexai) -> None:
    flexai.run("training", "run", "endless", "--", "bash", "-c", "echo begun; sleep 1000")
    wait_for(flexai, "endless", "running")
    following = flexai.start("job", "logs", "-f", "endless")
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    assert flexai.json("job", "stop", "endless")["status"] in {"stopping", "stopped"}
    out, err = following.communicate(timeout=SECONDS)
    assert (following.returncode, err) == (0, ""), out
    wait_for(flexai, "endless", "stopped")
    # Twice is the same as once; what has ended by itself can't be stopped.
    flexai.run("job", "stop", "endless")
    flexai.run("training", "run", "short", "-f", "--", "true")
    flexai.run("job", "stop", "short", code=5)
