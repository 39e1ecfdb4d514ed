"""The guard's process: a forward proxy that judges every address at the moment it connects. Standard library only.

`python -m datasets_app.sources.guard.proxy LISTENER [NETWORK...]`: LISTENER is the number of an inherited listening
socket, a NETWORK one that the operator allows. It ends when its standard input does: with the process that started it.

One thread and one poller. CONNECT opens a tunnel; a request in absolute form (`GET http://host/path`) is sent on in
origin form. Heads of requests are read one by one, bodies of requests are counted, and everything that comes back is
moved raw. A name is looked up once, in a thread of its own; the addresses that were judged are those connected to.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Final

from datasets_app.sources.guard.addresses import Network, parse_networks
from datasets_app.sources.guard.connection import Connection
from datasets_app.sources.guard.heads import Answer
from datasets_app.sources.guard.lookup import Address
from datasets_app.sources.guard.pipes import CAN_SPLICE, Pipes

CONNECTIONS: Final = 512
ACCEPT_AT_ONCE: Final = 32
SWEEP_SECONDS: Final = 1.0


class Poller:
    """epoll where there is one, else poll; both by file descriptor and level."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._poller = self._epoll or select.poll()
        self._masks: dict[int, int] = {}

    def watch(self, descriptor: int, mask: int) -> None:
        """Report these events from now on; with none of them, not even errors."""
        before = self._masks.get(descriptor, 0)
        if mask == before:
            return
        if not mask:
            del self._masks[descriptor]
            self._poller.unregister(descriptor)
            return
        self._masks[descriptor] = mask
        if before:
            self._poller.modify(descriptor, mask)
        else:
            self._poller.register(descriptor, mask)

    def close(self) -> None:
        """Let go of everything."""
        if self._epoll:
            self._epoll.close()

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """Return what happened, after so many seconds at most."""
        return self._epoll.poll(seconds) if self._epoll else self._poller.poll(seconds * 1000)


class Loop:
    """All connections of the guard."""

    def __init__(self, listener: socket.socket, allowed: tuple[Network, ...], *, splice: bool = CAN_SPLICE) -> None:
        self.allowed = allowed
        self.pipes = Pipes(splice=splice)
        self.now = time.monotonic()
        self._listener = listener
        self._poller = Poller()
        self._connections: set[Connection] = set()
        self._clients: dict[int, Connection] = {}
        self._servers: dict[int, Connection] = {}
        self._resolved: deque[tuple[Connection, list[Address] | Answer]] = deque()
        self._bell, self._ringer = socket.socketpair()
        listener.setblocking(False)
        self._bell.setblocking(False)

    def run(self, life: int) -> None:
        """Serve until the descriptor `life` ends."""
        for descriptor in (life, self._bell.fileno(), self._listener.fileno()):
            self._poller.watch(descriptor, select.POLLIN)
        try:
            self._serve(life)
        finally:
            self._close()

    def _serve(self, life: int) -> None:
        swept = self.now
        while True:
            events = self._poller.wait(SWEEP_SECONDS if self._connections else 3600)
            self.now = time.monotonic()
            for descriptor, mask in events:
                if descriptor in self._servers:
                    self._guarded(self._servers[descriptor], Connection.on_server, mask)
                elif descriptor in self._clients:
                    self._guarded(self._clients[descriptor], Connection.on_client, mask)
                elif descriptor == life:
                    if not os.read(life, 4096):
                        return
                else:
                    self._on_own(descriptor)
            if self.now - swept > SWEEP_SECONDS:
                swept = self.now
                for connection in list(self._connections):
                    self._guarded(connection, Connection.on_time)

    def watch(self, connection: Connection, end: socket.socket, mask: int, *, is_server: bool) -> None:
        """Tell the connection of these events on one of its ends; 0 for none any more."""
        descriptor = end.fileno()
        self._poller.watch(descriptor, mask)
        ends = self._servers if is_server else self._clients
        if mask:
            ends[descriptor] = connection
        else:
            ends.pop(descriptor, None)

    def call_soon(self, connection: Connection, result: list[Address] | Answer) -> None:
        """Hand over a resolved name; the one thing that other threads may call."""
        self._resolved.append((connection, result))
        self._ringer.send(b"!")

    def forget(self, connection: Connection) -> None:
        """Let go of a closed connection; there is room for another one."""
        self._connections.discard(connection)
        self._poller.watch(self._listener.fileno(), select.POLLIN)

    @staticmethod
    def report(sentence: str) -> None:
        """Tell the operator's log what was refused."""
        sys.stderr.write(f"source guard: refused: {sentence!a}\n")
        sys.stderr.flush()

    def _on_own(self, descriptor: int) -> None:
        # Anything else belonged to a connection that an event before this one has closed.
        if descriptor == self._listener.fileno():
            self._accept()
        elif descriptor == self._bell.fileno():
            self._take_resolved()

    def _accept(self) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            if len(self._connections) >= CONNECTIONS:
                # The rest waits in the kernel's queue.
                self._poller.watch(self._listener.fileno(), 0)
                return
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(self, client)
            self._connections.add(connection)
            self._guarded(connection, Connection.on_client, select.POLLIN)

    def _take_resolved(self) -> None:
        self._bell.recv(4096)
        while self._resolved:
            connection, result = self._resolved.popleft()
            self._guarded(connection, Connection.on_resolved, result)

    def _close(self) -> None:
        for connection in list(self._connections):
            connection.close()
        for end in (self._bell, self._ringer, self._listener):
            end.close()
        self.pipes.close()
        self._poller.close()

    @staticmethod
    def _guarded(connection: Connection, step: Callable[..., None], *arguments: object) -> None:
        """Take a step of one connection; whatever goes wrong with it ends this connection only."""
        try:
            step(connection, *arguments)
        except Answer as answer:
            connection.end_with(answer)
        except OSError:
            connection.close()
        except Exception:  # noqa: BLE001 (a bug in one connection must not end the others)
            traceback.print_exc()
            connection.close()


def main() -> None:
    """Serve on the inherited listener."""
    # Ctrl-C is for the parent, which may want to finish something first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    number, *networks = sys.argv[1:]
    Loop(socket.socket(fileno=int(number)), parse_networks(networks)).run(sys.stdin.fileno())
    # Threads that wait for a name server would hold up an orderly exit.
    os._exit(0)


if __name__ == "__main__":
    main()
