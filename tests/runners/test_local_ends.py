"""How a run ends, and that nothing of it stays."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets_app.runners.base import RunError
from tests.runners.conftest import Bench, living, supervise_elsewhere


def until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    ("command", "exit_code", "cause"),
    [
        (("true",), 0, ""),
        (("sh", "-c", "exit 3"), 3, "The command ended with exit code 3."),
        (("no-such-program", "x"), 127, "Command not found: no-such-program (exit code 127)."),
        (("/etc/passwd",), 126, "/etc/passwd can't be executed: Permission denied (exit code 126)."),
        (("sh", "-c", "kill -SEGV $$"), 139, "Ended by signal 11 (SIGSEGV), exit code 139."),
        (
            ("sh", "-c", "kill -KILL $$"),
            137,
            "Killed by signal 9 (SIGKILL): most likely the machine ran out of memory.",
        ),
        (("printf", "%s", "ü 日本 'quoted' \\ \"", "a b"), 0, ""),
    ],
)
def test_exit_code_and_cause(bench: Bench, command: tuple[str, ...], exit_code: int, cause: str) -> None:
    outcome = bench.run(*command)
    assert (outcome.exit_code, outcome.cause, outcome.stopped) == (exit_code, cause, False)
    assert outcome.succeeded == (exit_code == 0)


def test_a_missing_mount_is_the_sandbox_s_fault(bench: Bench) -> None:
    outcome = bench.run("true", mounts={"images": bench.folder / "gone"})
    assert outcome.exit_code is None
    assert outcome.cause.startswith("The sandbox could not be set up: bwrap: ")


def test_an_empty_command_is_refused(bench: Bench) -> None:
    with pytest.raises(RunError):
        bench.runner.start(bench.spec())


def test_descriptors_are_closed(bench: Bench) -> None:
    bench.run("true")
    before = len(list(Path("/proc/self/fd").iterdir()))
    bench.run("true")
    bench.run("true", mounts={"images": bench.folder / "gone"})
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_stop_ends_children_and_daemons(bench: Bench) -> None:
    script = "(setsid sh -c 'sleep 71.1 & sleep 71.2' >/dev/null 2>&1 &) ; sleep 71.3 & sleep 71.4"
    outcome = bench.shell(script, should_stop=lambda: len(living("sleep\x0071.")) == 4)
    assert outcome.stopped
    assert not outcome.succeeded
    assert not living("sleep\x0071.")


def test_stop_is_polite_first(bench: Bench) -> None:
    script = "trap 'echo saved > checkpoint; exit 0' TERM; echo ready > ready; while true; do sleep 0.1; done"
    outcome = bench.shell(script, should_stop=(bench.output / "ready").exists)
    assert outcome.stopped
    assert (bench.output / "checkpoint").read_text() == "saved\n"


def test_stop_is_final_then(bench: Bench) -> None:
    script = "trap '' TERM; echo ready > /output/ready; while true; do sleep 0.1; done"
    outcome = bench.shell(script, should_stop=(bench.output / "ready").exists)
    assert outcome.stopped
    assert outcome.exit_code == 137


def test_daemons_end_with_the_command(bench: Bench) -> None:
    began = time.monotonic()
    assert bench.shell("setsid sleep 72.1 >/dev/null 2>&1 & sleep 0.3; echo done").succeeded
    assert not living("sleep\x0072.")
    assert time.monotonic() - began < 5


def test_a_failing_callback_ends_the_run(bench: Bench) -> None:
    def fail() -> bool:
        raise RuntimeError("the lease is lost")

    with pytest.raises(RuntimeError, match="the lease is lost"):
        bench.run("sleep", "73.1", should_stop=fail)
    assert not living("sleep\x0073.")


def test_killing_the_supervisor_leaves_no_orphan(bench: Bench) -> None:
    script = "(setsid sh -c 'sleep 74.1' >/dev/null 2>&1 &); sleep 74.2"
    supervisor = supervise_elsewhere(bench.spec("sh", "-c", script))
    assert until(lambda: len(living("sleep\x0074.")) == 2)
    with supervisor:
        supervisor.send_signal(signal.SIGKILL)
    assert until(lambda: not living("sleep\x0074."))


def test_a_run_can_be_ended_by_its_state(bench: Bench) -> None:
    with supervise_elsewhere(bench.spec("sleep", "75.1")) as supervisor:
        assert supervisor.stdout is not None
        state = json.loads(supervisor.stdout.readline())
        assert until(lambda: bool(living("sleep\x0075.")))
        bench.runner.end(state | {"start": state["start"] - 1})
        bench.runner.end(state | {"host": "another"})
        bench.runner.end({})
        time.sleep(0.3)
        assert living("sleep\x0075.")
        bench.runner.end(state)
        assert until(lambda: not living("sleep\x0075."))
        assert supervisor.wait(10) == 0
        bench.runner.end(state)
