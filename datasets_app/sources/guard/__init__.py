"""The source guard: what users connect to can't be the private network behind this server.

A `Guard` is a forward proxy in a process of its own. Every client library of a source is given its URL (`Route.proxy`);
the proxy looks names up, judges the addresses, and connects to exactly what it judged. So the rule holds for redirects,
for names that change their address, and for libraries that know nothing of it. docs/decisions/0004-source-guard.md
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from datasets_app.sources.base import Cause, SourceError, Stage
from datasets_app.sources.guard.addresses import is_named, parse_networks
from datasets_app.sources.guard.heads import FAILED, REFUSED, UNKNOWN

ROOT: Final = Path(__file__).resolve().parents[3]
BACKLOG: Final = 256
# Between two starts of a process that ends by itself.
RESTART_SECONDS: Final = 1.0
_MARKED: Final = re.compile(rf"({REFUSED}|{FAILED}|{UNKNOWN}): ([^<>'\"()\r\n\\]+)")


def find_refusal(text: str) -> SourceError | None:
    """Find the guard's own answer in a client library's error or response, and return what to raise."""
    found = _MARKED.search(text)
    if found is None:
        return None
    if found[1] == REFUSED:
        hint = "The operator of this installation can allow the network (ALLOWED_SOURCE_NETWORKS)."
        return SourceError(Cause.FORBIDDEN_NETWORK, f"{found[2].strip()} {hint}", stage=Stage.SERVER)
    stage = Stage.NAME if found[1] == UNKNOWN else Stage.SERVER
    return SourceError(Cause.UNREACHABLE, found[2].strip(), stage=stage)


class Guard:
    """The guard of this process. Starts when `url` is first asked for, again when it died, and anew after a fork.

    `allowed`: networks that may be reached though they are not public. Raises ValueError when one is none.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._networks = parse_networks(allowed)
        self._lock = threading.Lock()
        self._pause = threading.Event()
        self._listener: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        _guards.add(self)

    @property
    def url(self) -> str:
        """The proxy's address; it stays the same for the life of this process."""
        with self._lock:
            if self._listener is None:
                self._listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
            if self._process is None:
                self._process = self._start(self._listener)
                threading.Thread(target=self._keep, args=(self._process,), daemon=True).start()
            return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def allows(self, host: str) -> bool:
        """Tell whether a host is an address that the operator has named: there is no name to look up, or to change.

        The guard would let it through, so its bytes need not pass another process.
        """
        try:
            return is_named(host, self._networks)
        except ValueError:
            return False

    def close(self) -> None:
        """End the process. The guard can be used again after."""
        with self._lock:
            process, self._process = self._process, None
            if self._listener is not None:
                self._listener.close()
                self._listener = None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait()

    def _start(self, listener: socket.socket) -> subprocess.Popen[bytes]:
        number = listener.fileno()
        # The listener stays ours: its port outlives the process, and calls wait in it until the next one is up.
        arguments = [str(number), *map(str, self._networks)]
        return subprocess.Popen(
            [sys.executable, "-S", "-E", "-m", "datasets_app.sources.guard.proxy", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
            pass_fds=[number],
            start_new_session=True,
        )

    def _keep(self, process: subprocess.Popen[bytes]) -> None:
        """Start the process again whenever it ends though it was not closed."""
        while True:
            process.wait()
            with self._lock:
                if self._process is not process or self._listener is None:
                    return
                if process.stdin is not None:
                    process.stdin.close()
                self._process = process = self._start(self._listener)
            self._pause.wait(RESTART_SECONDS)

    def leave_to_parent(self) -> None:
        """Begin anew in a forked child: what it inherited must not keep the parent's guard alive."""
        listener, process = self._listener, self._process
        # Another thread of the parent may have held the lock at the fork.
        self._lock, self._listener, self._process = threading.Lock(), None, None
        if listener is not None:
            listener.close()
        if process is not None and process.stdin is not None:
            process.stdin.close()
            # Not a child of this process: nothing to wait for, nothing to warn about.
            process.returncode = 0


_guards: weakref.WeakSet[Guard] = weakref.WeakSet()


def _after_fork() -> None:
    for guard in list(_guards):
        guard.leave_to_parent()


os.register_at_fork(after_in_child=_after_fork)
