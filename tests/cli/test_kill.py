"""Kill the command and the server at random moments: the same command continues, and digests agree."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import SECONDS, Flexai, make_flexai, read_files, write_files
from tests.killing import Killer
from tests.servers import serve_with_account
from tests.store.naive import digest_of

pytestmark = pytest.mark.server

# One command, with all of its kills: the slowest took 40 s.
DRILL_SECONDS = 240


# -2: interrupted before Python had begun to run the command.
KILLED = frozenset({-9, -15, -2, 130})


def until_done(
    flexai: Flexai, chance: random.Random, killer: Killer, kills: int, *arguments: str | Path
) -> tuple[dict[str, object], int]:
    """Run a command, kill it up to `kills` times, and let it end at last; return what it printed, and how many hit."""
    hits = 0
    deadline = time.monotonic() + DRILL_SECONDS
    while True:
        killer.check()
        process = flexai.start(*arguments, "--json")
        if kills:
            kills -= 1
            time.sleep(chance.uniform(0.3, 1.5))
            process.send_signal(chance.choice((signal.SIGKILL, signal.SIGINT, signal.SIGTERM)))
        out, err = process.communicate(timeout=SECONDS)
        if process.returncode == 0:
            found: dict[str, object] = json.loads(out)
            return found, hits
        hits += process.returncode in KILLED
        # Killed, interrupted, or the server was away for longer than a first request waits.
        assert process.returncode in KILLED | {7}, f"{process.returncode}\n{out}{err}"
        assert time.monotonic() < deadline, f"not done within {DRILL_SECONDS} s\n{out}{err}"


def drill(tmp_path: Path, *, seed: int, rounds: int, kills: int) -> None:
    chance = random.Random(seed)
    with serve_with_account(tmp_path / "application", LEASE_SECONDS="5", REAP_SECONDS="1") as application:
        flexai = make_flexai(application, tmp_path)
        files: dict[str, bytes] = {}
        hits = 0
        for number in range(1, rounds + 1):
            files |= {f"s/{chance.randrange(20)}/{n}": chance.randbytes(chance.randint(0, 9_000)) for n in range(400)}
            files |= {f"large/{number}.bin": chance.randbytes(chance.randint(9, 20) * 2**20)}
            folder = write_files(tmp_path / "data", files)
            out = tmp_path / "out"
            with Killer(application, chance, kills) as killer:
                pushed, push_hits = until_done(
                    flexai, chance, killer, kills, "dataset", "push", "killed", "--file", folder
                )
                pulled, pull_hits = until_done(flexai, chance, killer, kills, "dataset", "pull", "killed", out)
                killer.join()
            killer.check()
            hits += push_hits + pull_hits
            assert pushed["digest"] == pulled["digest"] == digest_of(files)
            assert read_files(out) == files
        # A drill in which every command was quicker than its killer would prove nothing.
        assert hits >= 1
        # No push was begun anew: there is a version for each round, and none that lies open.
        versions = flexai.json("dataset", "versions", "killed")
        assert [(row["number"], row["status"]) for row in versions] == [
            (number, "available") for number in range(rounds, 0, -1)
        ]


def test_killed_on_both_sides(tmp_path: Path) -> None:
    drill(tmp_path, seed=6, rounds=1, kills=2)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(5))
def test_killed_again_and_again(tmp_path: Path, seed: int) -> None:
    drill(tmp_path, seed=seed, rounds=3, kills=5)


def test_an_interrupted_push_sends_nothing_twice(flexai: Flexai, tmp_path: Path) -> None:
    files = {f"{n}.bin": os.urandom(12 * 2**20) for n in range(4)}
    folder = write_files(tmp_path / "data", files)
    process = flexai.start("dataset", "push", "interrupted", "--file", folder)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            staged = flexai.json("dataset", "inspect", "interrupted@1")["status"]["staged"]
        except (AssertionError, json.JSONDecodeError):
            continue
        if staged and staged["stored_count"] >= 1:
            break
    process.kill()
    process.communicate()
    # A file that is gone by now must not come back with the rest.
    (folder / "3.bin").unlink()
    done = flexai.json("dataset", "push", "interrupted", "--file", folder)
    del files["3.bin"]
    assert done["digest"] == digest_of(files)
    assert done["status"] in {"created", "unchanged"}
    assert done["sent_size"] < sum(map(len, files.values()))


def test_the_same_push_does_not_run_twice_at_once(flexai: Flexai, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "data", {f"{n}": os.urandom(20 * 2**20) for n in range(3)})
    running = [flexai.start("dataset", "push", "at-once", "--file", folder) for _ in range(2)]
    outs = [process.communicate(timeout=SECONDS) for process in running]
    codes = sorted(process.returncode for process in running)
    assert codes in ([0, 0], [0, 1]), outs
    assert [row["status"] for row in flexai.json("dataset", "versions", "at-once")] == ["available"]


def test_help(flexai: Flexai) -> None:
    for arguments in (["--help"], ["dataset", "--help"], ["job", "--help"], ["training", "run", "--help"]):
        assert "Usage" in flexai.run(*arguments).stdout
