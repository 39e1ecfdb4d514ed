"""What a push and a pull show in a terminal while they go on."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, Flexai, write_files
from tests.cli.flaky import FlakyLine

pytestmark = pytest.mark.server


def shown_by(flexai: Flexai, *arguments: str | Path) -> str:
    """Run the command in a terminal; return all that it showed."""
    ours, theirs = pty.openpty()
    shown: list[bytes] = []

    def read() -> None:
        while True:
            try:
                block = os.read(ours, 65536)
            except OSError:
                return
            if not block:
                return
            shown.append(block)

    command = [sys.executable, "-m", "flexai_cli", *map(str, arguments)]
    environment = flexai.environment | {"TERM": "xterm"}
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        reader = threading.Thread(target=read)
        reader.start()
        code = process.wait(SECONDS)
        reader.join(SECONDS)
    os.close(ours)
    text = b"".join(shown).decode()
    assert code == 0, text
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def amounts(text: str, stage: str) -> list[float]:
    """Return the megabytes that a stage had done, of 21.0 in all, as they were shown."""
    return [float(found) for found in re.findall(rf"{stage}[^\n\r]*?([\d.]+) MB of 21.0 MB", text)]


def test_one_large_file_is_counted_while_it_travels(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"one.bin": os.urandom(21 * 10**6)})
    with FlakyLine(flexai.url, bytes_per_second=6 * 10**6) as line:
        slow = Flexai(flexai.home, line.url, flexai.token)
        text = shown_by(slow, "dataset", "push", "bars", "--file", folder)
    steps = amounts(text, "sending")
    between = [step for step in steps if 0.5 < step < 20.5]
    assert len(between) >= 5, text
    assert steps == sorted(steps)
    assert re.search(r"0 of 1 files .* [\d.]+ MB/s .* left", text)
    assert "bars@1 is available" in text
    with FlakyLine(flexai.url, back_per_second=6 * 10**6) as line:
        slow = Flexai(flexai.home, line.url, flexai.token)
        text = shown_by(slow, "dataset", "pull", "bars", tmp_path / "out")
    between = [step for step in amounts(text, "fetching") if 0.5 < step < 20.5]
    assert len(between) >= 5, text


def test_nothing_is_shown_with_json(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {"one.bin": b"1"})
    text = shown_by(flexai, "dataset", "push", "no-bars", "--file", folder, "--json")
    assert text.lstrip().startswith("{")
    assert "sending" not in text
