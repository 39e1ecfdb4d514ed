"""`manage.py serve`: one command starts everything, one signal ends everything."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.servers import (
    ROOT,
    answers,
    application_environment,
    free_port,
    serve_application,
    serve_with_account,
    wait_until,
)

pytestmark = pytest.mark.server


def run_to_failure(folder: Path, **variables: str) -> str:
    """Run the command, which must fail; return all that it printed."""
    done = subprocess.run(
        [sys.executable, "manage.py", "serve"],
        cwd=ROOT,
        env=application_environment(folder, free_port()) | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    return done.stdout + done.stderr


def gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def is_connected(pid: int) -> bool:
    return any(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process(pid).net_connections())


def test_it_works(tmp_path: Path) -> None:
    with serve_application(tmp_path / "data") as application:
        status, body = application.request("GET", "/readyz")
        assert (status, b'"store": "ok"' in body) == (200, True)
        assert application.request("GET", "/healthz") == (200, b"ok\n")
        everything = application.pids("web") + application.pids("worker")
        assert len(everything) > 2
        # Connections are dealt out to all web processes.
        with ExitStack() as opened:
            for _ in range(40):
                opened.enter_context(socket.create_connection(("127.0.0.1", application.port)))
            for child in application.pids("web")[1:]:
                wait_until(
                    partial(is_connected, child),
                    seconds=5,
                    what="A web process has no connection",
                    process=application.process,
                )
        wait_until(
            lambda: f"runs on http://127.0.0.1:{application.port}/" in application.log,
            seconds=5,
            what="It was not announced",
            process=application.process,
        )
        application.stop()
        assert application.process.returncode == 0
        assert gone(everything)
        assert "Traceback" not in application.log

        # Again, on the same data.
        application.start()
        assert answers(f"{application.url}/readyz")


def test_children_end_when_the_manager_is_killed(tmp_path: Path) -> None:
    with serve_with_account(tmp_path / "data") as application:
        everything = application.pids("web") + application.pids("worker")
        application.process.kill()
        application.process.wait()
        end = time.monotonic() + 40
        while not gone(everything) and time.monotonic() < end:
            time.sleep(0.1)
        assert gone(everything)
        application.start()


def test_a_worker_that_dies_ends_everything(tmp_path: Path) -> None:
    with serve_with_account(tmp_path / "data") as application:
        everything = application.pids("web") + application.pids("worker")
        os.kill(application.pids("worker")[0], signal.SIGKILL)
        assert application.process.wait(30) == 1
        assert "The worker was ended by SIGKILL, so everything was stopped." in application.log
        assert gone(everything)


def test_a_web_process_that_dies_is_replaced(tmp_path: Path) -> None:
    with serve_with_account(tmp_path / "data", WEB_PROCESSES="1") as application:
        _, child = application.pids("web")
        os.kill(child, signal.SIGKILL)
        wait_until(
            lambda: len(application.pids("web")) == 2 and child not in application.pids("web"),
            seconds=20,
            what="No new web process",
            process=application.process,
        )
        wait_until(
            lambda: answers(f"{application.url}/readyz"), seconds=20, what="Not ready", process=application.process
        )


def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        printed = run_to_failure(tmp_path, PORT=str(port))
    reason = f"Can't listen on 127.0.0.1 port {port}: address already in use."
    assert printed.strip() == f"CommandError: {reason} Choose another with PORT and HOST."


def test_a_missing_address_is_one_line(tmp_path: Path) -> None:
    printed = run_to_failure(tmp_path, HOST="192.0.2.1")
    assert printed.startswith("CommandError: Can't listen on 192.0.2.1")
    assert len(printed.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("PORT", "web", "Setting PORT is 'web': it must be a whole number from 1 to 65535."),
        ("FLEXAI_PORTS", "8000", "Setting FLEXAI_PORTS is unknown. Did you mean FLEXAI_PORT?"),
        (
            "DATA_DIR",
            "/proc/nowhere",
            "Setting DATA_DIR is '/proc/nowhere', which can't be made: No such file or directory.",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(tmp_path: Path, name: str, value: str, line: str) -> None:
    assert run_to_failure(tmp_path, **{name: value}).strip() == line


def test_an_unreachable_database_is_one_line(tmp_path: Path) -> None:
    printed = run_to_failure(tmp_path, DATABASE_URL=f"postgresql://u:secret@127.0.0.1:{free_port()}/x")
    assert printed.startswith("CommandError: The database of DATABASE_URL can't be used:")
    assert "secret" not in printed
    assert "Traceback" not in printed


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with serve_with_account(tmp_path / "data"):
        printed = run_to_failure(tmp_path / "data")
    assert "Another server already runs on DATA_DIR" in printed


def test_a_missing_sandbox_is_named_and_forgiven(tmp_path: Path) -> None:
    # A folder with Python alone: no bwrap on the path.
    programs = tmp_path / "bin"
    programs.mkdir()
    with serve_with_account(tmp_path / "data", PATH=str(programs)) as application:
        assert "Install the package bubblewrap" in application.log


def test_a_sandbox_that_does_not_work_is_named_and_forgiven(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "bwrap").write_text("#!/bin/sh\necho bubblewrap 0.4.1\n")
    (programs / "bwrap").chmod(0o755)
    with serve_with_account(tmp_path / "data", PATH=f"{programs}:{os.environ['PATH']}") as application:
        assert "No job can run on this machine. Jobs need bubblewrap 0.7 or later" in application.log
