"""Ctrl-C ends the command at once, and it says what becomes of the work."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, Flexai, write_files
from tests.cli.flaky import FlakyLine
from tests.store.naive import digest_of

pytestmark = pytest.mark.server


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_push(flexai: Flexai, tmp_path: Path, more: list[str]) -> None:
    name = f"stopped{len(more)}"
    files = {f"{n}.bin": os.urandom(9 * 2**20) for n in range(6)}
    folder = write_files(tmp_path / "data", files)
    with FlakyLine(flexai.url, bytes_per_second=2 * 2**20) as line:
        slow = Flexai(flexai.home, line.url, flexai.token)
        process = slow.start("dataset", "push", name, "--file", folder, *more)
        line.wait_for_bytes(3 * 2**20)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        out, err = process.communicate(timeout=SECONDS)
        took = time.monotonic() - asked
        assert process.returncode == 130, out + err
        # No thread goes on with the rest, which would take half a minute.
        assert took < 3
        sent = line.sent
    told = json.loads(out)["error"]["detail"] if more else err
    assert "Interrupted. The same command goes on where this one stopped." in told
    assert "Traceback" not in err
    assert sent < 30 * 2**20
    # The address is another, so it is another push; the bytes that are there need not travel again.
    assert flexai.json("dataset", "push", name, "--file", folder)["digest"] == digest_of(files)


def test_a_job_goes_on(flexai: Flexai) -> None:
    flexai.run("training", "run", "goes-on", "--", "bash", "-c", "echo begun; sleep 1000")
    for arguments, readable in ((("job", "logs", "-f", "goes-on"), "begun\n"),):
        process = flexai.start(*arguments)
        assert process.stdout is not None
        assert process.stdout.readline() == readable
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == 130
        assert "The job goes-on goes on by itself. To end it: flexai job stop goes-on" in err
    assert flexai.json("job", "inspect", "goes-on")["status"] == "running"
    flexai.run("job", "stop", "goes-on")
