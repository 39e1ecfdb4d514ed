"""Runs jobs on this machine, each in a bubblewrap sandbox of its own. See docs/guide/jobs.md for what a job sees.

Memory and CPU time are those of the whole process tree, measured by the supervisor several times a second: control
groups would do it in the kernel, but in a container or without systemd nobody delegates one to the server, while
RLIMIT_AS counts address space that training frameworks reserve and never touch.
"""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from typing_extensions import override

from datasets_app.runners import processes
from datasets_app.runners.base import Outcome, Run, RunError, Runner, RunSpec
from datasets_app.runners.bubblewrap import Identity, Shown, default_python, describe_sandbox, finish
from datasets_app.runners.output_log import LogPump
from datasets_app.runners.usage import Guard

_MIB: Final = 1024 * 1024
_LEAST_VERSION: Final = (0, 7)
_CHECK_LASTS_SECONDS: Final = 60
_START_SECONDS: Final = 30
_LOOK_SECONDS: Final = 0.2
_CALLBACK_SECONDS: Final = 1.0
_SHELL_SIGNAL_BASE: Final = 128

INSTALL_HINT: Final = (
    "Jobs need bubblewrap, which is not installed. Install the package `bubblewrap`: on Debian and Ubuntu "
    "`sudo apt install bubblewrap`, on Fedora `sudo dnf install bubblewrap`."
)
_NAMESPACES_HINT: Final = (
    "This machine doesn't let this user make sandboxes ({cause}). On Ubuntu 24.04 and later allow it with "
    "`sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, on older Debian with "
    "`sudo sysctl kernel.unprivileged_userns_clone=1`; in a Docker container add "
    "`--cap-add SYS_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined`."
)


class LocalRunner(Runner):
    """Executes runs in sandboxes on this machine.

    `python` is the interpreter that jobs find first on their PATH; `host_paths` are further folders that they may read
    (say, CUDA under /opt), `devices` those that they may use (say, /dev/nvidia0); `hidden_paths` hold the server's
    data and are covered should they lie inside of what is shown. Sizes are bytes, `stop_seconds` the time between the
    polite signal and the final one. A run is ended before the disk of its output has less than `disk_reserve_bytes`.
    """

    def __init__(  # noqa: PLR0913 - each has a default that fits
        self,
        *,
        python: Path | None = None,
        host_paths: Sequence[Path] = (),
        hidden_paths: Sequence[Path] = (),
        devices: Sequence[Path] = (),
        log_limit_bytes: int = 64 * _MIB,
        disk_reserve_bytes: int = 256 * _MIB,
        stop_seconds: float = 10,
    ) -> None:
        self._shown = Shown(python or default_python(), tuple(host_paths), tuple(hidden_paths), tuple(devices))
        self._log_limit_bytes = log_limit_bytes
        self._disk_reserve_bytes = disk_reserve_bytes
        self._stop_seconds = stop_seconds
        self._good_until = 0.0

    @override
    def check(self) -> str | None:
        """Look for the programs, then run `true` in a sandbox as jobs get it."""
        if shutil.which("bwrap") is None:
            return INSTALL_HINT
        if os.geteuid() == 0 and shutil.which("setpriv") is None:
            return "Jobs need setpriv, which is not installed. Install the package `util-linux`."
        if time.monotonic() < self._good_until:
            return None
        version = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False).stdout
        found = tuple(map(int, re.findall(r"\d+", version)[:2]))
        if found < _LEAST_VERSION:
            return f"Jobs need bubblewrap 0.7 or later, and this is {version.strip() or 'none that answers'}."
        cause = self._try_sandbox()
        if cause is None:
            self._good_until = time.monotonic() + _CHECK_LASTS_SECONDS
            return None
        denied = re.search("namespace|uid map|Operation not permitted|Permission denied", cause) and "bwrap:" in cause
        return _NAMESPACES_HINT.format(cause=cause) if denied else f"A trial run of the jobs' sandbox failed: {cause}"

    def _try_sandbox(self) -> str | None:
        with TemporaryDirectory(prefix="flexai-check-") as folder:
            output = Path(folder, "output")
            output.mkdir()
            spec = RunSpec(name="check", command=("true",), output_dir=output, log_path=Path(folder, "log"))
            try:
                outcome = self.start(spec).wait(should_stop=lambda: False, heartbeat=lambda: None)
            except RunError as error:
                return str(error)
            return (
                None if outcome.succeeded else Path(folder, "log").read_text(errors="replace").strip() or outcome.cause
            )

    @override
    def start(self, spec: RunSpec) -> LocalRun:
        """Start bubblewrap and wait for the sandbox to be there. Its death is tied to the calling thread's."""
        program = shutil.which("bwrap")
        if program is None:
            raise RunError(INSTALL_HINT)
        if not spec.command:
            raise RunError("The command is empty.")
        identity = Identity.choose()
        if identity.is_root:
            os.chown(spec.output_dir, identity.uid, identity.uid, follow_symlinks=False)
        args = describe_sandbox(spec, identity, self._shown)
        with ExitStack() as files:
            descriptors = []
            for path, content in args.files.items():
                descriptors.append(files.enter_context(_memory_file(content)))
                args.add_dir(Path(path).parent)
                args.add("--perms", "0444", "--ro-bind-data", str(descriptors[-1].fileno()), path)
            finish(args, identity, self._shown.python)
            status, status_end = os.pipe()
            output, output_end = os.pipe()
            split = args.words.index("--")
            options = files.enter_context(_memory_file("".join(f"{word}\0" for word in args.words[:split]).encode()))
            try:
                pump = LogPump(output, spec.log_path, limit=self._log_limit_bytes)
                # The options go through a file, since a process list shows arguments, and their number is limited.
                process = subprocess.Popen(
                    [
                        program,
                        "--json-status-fd",
                        str(status_end),
                        "--args",
                        str(options.fileno()),
                        *args.words[split:],
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=output_end,
                    stderr=output_end,
                    pass_fds=[status_end, options.fileno(), *(file.fileno() for file in descriptors)],
                    env={"PATH": os.defpath, "LANG": "C.UTF-8"},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                os.close(status)
                os.close(output)
                raise RunError(f"The sandbox could not be started: {error.strerror}.") from error
            finally:
                os.close(status_end)
                os.close(output_end)
        pump.start()
        guard = Guard(spec.limits, spec.output_dir, disk_reserve_bytes=self._disk_reserve_bytes)
        return LocalRun(process, status, pump, guard, stop_seconds=self._stop_seconds)

    @override
    def end(self, state: Mapping[str, Any]) -> None:
        """Kill the sandbox's outer process; the kernel then ends everything inside."""
        processes.kill_identified(state)


class LocalRun(Run):
    """One sandbox: bubblewrap's outer process, whose only child is the first process of the run's own tree."""

    def __init__(
        self, process: subprocess.Popen[bytes], status: int, pump: LogPump, guard: Guard, *, stop_seconds: float
    ) -> None:
        self.state = processes.identify(process.pid)
        self._process = process
        self._status = os.fdopen(status, "rb", buffering=0)
        self._pump = pump
        self._guard = guard
        self._stop_seconds = stop_seconds
        self._told = ""
        self._ended = os.pidfd_open(process.pid)
        self._root = self._read_root()
        self._root_ended = _open_process(self._root)

    def _read_root(self) -> int | None:
        """Return the number, outside, of the first process inside; None when the sandbox did not come about."""
        told = b""
        # One line, written piece by piece.
        while not told.endswith(b"\n") and select.select([self._status], [], [], _START_SECONDS)[0]:
            piece = self._status.read(1)
            if not piece:
                break
            told += piece
        with suppress(ValueError, KeyError):
            return int(json.loads(told)["child-pid"])
        return None

    @override
    def wait(self, *, should_stop: Callable[[], bool], heartbeat: Callable[[], None]) -> Outcome:
        """Supervise until the sandbox is empty."""
        stopped = False
        cause = ""
        next_call = 0.0
        pause = _LOOK_SECONDS
        try:
            while not self._has_ended(pause):
                if time.monotonic() >= next_call:
                    next_call = time.monotonic() + _CALLBACK_SECONDS
                    heartbeat()
                    stopped = should_stop()
                began = time.monotonic()
                cause = "" if stopped else self._guard.look(self._process.pid, self._root)
                if cause or stopped:
                    self._terminate(heartbeat)
                    break
                # Looking at very many processes must not itself take the machine's time.
                pause = max(_LOOK_SECONDS, 10 * (time.monotonic() - began))
        finally:
            self._kill()
        return self._outcome(cause=cause, stopped=stopped)

    def _has_ended(self, seconds: float) -> bool:
        return bool(select.select([self._ended], [], [], seconds)[0])

    def _terminate(self, heartbeat: Callable[[], None]) -> None:
        """Ask every process to end, and give them time."""
        if self._root is None:
            return
        processes.terminate_below(self._root)
        until = time.monotonic() + self._stop_seconds
        while time.monotonic() < until and not self._has_ended(min(_CALLBACK_SECONDS, self._stop_seconds)):
            heartbeat()

    def _kill(self) -> None:
        """End all that is left, and return when it is gone."""
        if self._root_ended is not None:
            # The kernel ends a process namespace with its first process, and reports that one dead last of all.
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._root_ended, signal.SIGKILL)
        self._has_ended(2)
        self._process.kill()
        self._process.wait()
        if self._root_ended is not None:
            select.select([self._root_ended], [], [], _START_SECONDS)
            os.close(self._root_ended)
            self._root_ended = None
        os.close(self._ended)
        self._pump.join(_START_SECONDS)
        with self._status:
            self._told = self._status.read().decode()

    def _outcome(self, *, cause: str, stopped: bool) -> Outcome:
        exit_code = None
        for line in self._told.splitlines():
            exit_code = json.loads(line).get("exit-code", exit_code)
        if stopped:
            return Outcome(exit_code, "", stopped=True)
        if not cause and exit_code is None:
            cause = f"The sandbox could not be set up: {self._last_line('bwrap:') or 'it was killed from outside'}"
        return Outcome(exit_code, cause or (self._explain(exit_code) if exit_code else ""))

    def _explain(self, exit_code: int) -> str:
        if said := self._last_line("flexai:"):
            said = said.removeprefix("flexai: ")
            return f"{said[0].upper()}{said[1:]} (exit code {exit_code})."
        number = exit_code - _SHELL_SIGNAL_BASE
        if number == signal.SIGXCPU:
            return self._guard.cpu_cause
        if number == signal.SIGXFSZ:
            return self._guard.output_cause
        if number == signal.SIGKILL:
            return "Killed by signal 9 (SIGKILL): most likely the machine ran out of memory."
        if number in set(signal.Signals):
            return f"Ended by signal {number} ({signal.Signals(number).name}), exit code {exit_code}."
        return f"The command ended with exit code {exit_code}."

    def _last_line(self, start: str) -> str:
        lines = self._pump.tail.rstrip().splitlines()
        return lines[-1] if lines and lines[-1].startswith(start) else ""


def _memory_file(content: bytes) -> Any:  # noqa: ANN401 - a binary file
    file = os.fdopen(os.memfd_create("flexai"), "wb+")
    file.write(content)
    file.seek(0)
    return file


def _open_process(pid: int | None) -> int | None:
    with suppress(OSError):
        return os.pidfd_open(pid) if pid is not None else None
    return None
