"""The processes of one installation on one machine: the web server, and a worker that also runs the clock (beat).

They end together: when a signal comes, when one of them ends, and (see `lifeline`) when this process is killed.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "web": (sys.executable, "-m", "flexai_site.web"),
    "worker": (
        *(sys.executable, "-m", "celery", "--quiet", "--app=flexai_site.celery", "worker", "--beat"),
        # Workers need not know of each other: the rows tell who does what.
        *("--pool=prefork", "--loglevel=INFO", "--without-gossip", "--without-mingle", "--without-heartbeat"),
    ),
}
TITLES: Final[Mapping[str, str]] = {"web": "web server", "worker": "worker"}
# Between asking and killing. A task that is cut off is taken up again by its row.
STOP_SECONDS: Final = 10


def run_processes(folder: Path) -> str:
    """Run all of them from that folder until a signal comes or one ends; return what went wrong, or an empty text."""
    with _signals() as stop:
        running: dict[str, subprocess.Popen[bytes]] = {}
        try:
            for name, command in COMMANDS.items():
                environment = {**os.environ, "SERVE_PID": str(os.getpid()), "SERVE_ROLE": name}
                running[name] = subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True)
            while not stop.wait(0.1):
                for name, process in running.items():
                    if (code := process.poll()) is not None:
                        return f"The {TITLES[name]} {_how(code)}, so everything was stopped."
            return ""
        finally:
            stop.clear()
            _end(list(running.values()), hurry=stop)


@contextmanager
def _signals() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into an event."""
    event = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        event.set()

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _end(processes: list["subprocess.Popen[bytes]"], *, hurry: threading.Event) -> None:
    """Ask each process to end, wait STOP_SECONDS or until `hurry` is set (a second Ctrl-C), then kill their groups."""
    for process in processes:
        process.terminate()
    end = time.monotonic() + STOP_SECONDS
    while any(process.poll() is None for process in processes) and time.monotonic() < end:
        if hurry.wait(0.05):
            break
    for process in processes:
        # Its group may hold children, even when it ended by itself.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
