"""One client of the guard: reads its requests, opens what they ask for, and moves bytes both ways."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Final

from datasets_app.sources.guard.addresses import is_named
from datasets_app.sources.guard.heads import (
    ESTABLISHED,
    FAILED,
    HEAD_BYTES,
    REFUSED,
    Answer,
    Request,
    Target,
    read_head,
)
from datasets_app.sources.guard.lookup import Address, look_up, refuse

if TYPE_CHECKING:
    from datasets_app.sources.guard.pipes import Pipe
    from datasets_app.sources.guard.proxy import Loop

BLOCK: Final = 64 * 1024
HEAD_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 300.0
IN, OUT = select.POLLIN, select.POLLOUT

HEAD, OPENING, BODY, TUNNEL = range(4)
IN_PROGRESS: Final = (115, 36, 11, 35)  # EINPROGRESS and EAGAIN, Linux and macOS


class Connection:
    """A client, and the server that it is joined to at the moment."""

    def __init__(self, loop: Loop, client: socket.socket) -> None:
        self.loop = loop
        self.client = client
        self.server: socket.socket | None = None
        self.state = HEAD
        self.is_closed = False
        self.touched = self.since = loop.now
        self._request: Request | None = None
        self._target: Target | None = None
        self._addresses: list[Address] = []
        # From the client, not yet understood; for the server, not yet taken; of a body, not yet come.
        self._received = self._upward = b""
        self._body_left = 0
        self._pipe: Pipe | None = None
        self._client_ended = self._server_ended = False

    # What happens

    def on_client(self, mask: int) -> None:
        """Go on after the poller saw something on the client's side."""
        if mask & OUT:
            self._drain()
        if mask & ~OUT and not self.is_closed:
            self._read_client()
        self._watch()

    def on_server(self, mask: int) -> None:
        """Go on after the poller saw something on the server's side."""
        if self.state == OPENING:
            self._on_connected()
        else:
            if mask & OUT and self._upward:
                self._send(self._upward)
                self._advance()
            if mask & ~OUT and not self.is_closed:
                self._read_server()
        self._watch()

    def on_resolved(self, result: list[Address] | Answer) -> None:
        """Go on with the addresses, or tell the client why there are none."""
        if isinstance(result, Answer):
            self.end_with(result)
        elif not self.is_closed:
            self._addresses = result
            self._connect(Answer(502, FAILED, "No address."))
            self._watch()

    def on_time(self) -> None:
        """Give up what takes too long."""
        if self.state == OPENING:
            if self.server is not None and self.loop.now - self.since > CONNECT_SECONDS:
                self._connect(self._failure("did not answer in time"))
                self._watch()
        elif self.state == HEAD and self._received:
            if self.loop.now - self.since > HEAD_SECONDS:
                self.end_with(Answer(408, FAILED, "The request did not come in time."))
        elif self.loop.now - self.touched > IDLE_SECONDS:
            self.close()

    # Upward

    def _read_client(self) -> None:
        try:
            data = self.client.recv(BLOCK)
        except BlockingIOError:
            return
        self.touched = self.loop.now
        if not data:
            self._client_ended = True
            self._finish()
            return
        if not self._received:
            self.since = self.loop.now
        self._received += data
        self._advance()

    def _advance(self) -> None:
        """Understand what the client sent, as far as the server takes it."""
        while self._received and not self._upward and self.state != OPENING and not self.is_closed:
            if self.state == TUNNEL:
                data, self._received = self._received, b""
                self._send(data)
            elif self.state == BODY:
                data, self._received = self._received[: self._body_left], self._received[self._body_left :]
                self._body_left -= len(data)
                self.state = BODY if self._body_left else HEAD
                self._send(data)
            elif not self._read_head():
                return
        self._finish()

    def _read_head(self) -> bool:
        end = self._received.find(b"\r\n\r\n")
        if end > HEAD_BYTES or (end < 0 and len(self._received) > HEAD_BYTES):
            raise Answer(431, FAILED, "The head of the request is too long.")
        if end < 0:
            return False
        request = read_head(self._received[: end + 2])
        self._received = self._received[end + 4 :]
        self.since = self.loop.now
        if self.server is None or request.is_tunnel or request.target != self._target:
            self._open(request)
        else:
            self._start(request)
        return True

    def _start(self, request: Request) -> None:
        """Send the head on; the body follows."""
        self._body_left = request.body_length
        self.state = BODY if request.body_length else HEAD
        self._send(request.head)

    def _send(self, data: bytes) -> None:
        try:
            self._upward = data[self._joined().send(data) :]
        except BlockingIOError:
            self._upward = data

    # Opening

    def _open(self, request: Request) -> None:
        """Leave the server of the request before, and find the addresses of this one."""
        if self._pipe is not None:
            raise Answer(400, FAILED, "A request must wait for the answer to the one before.")
        self._leave_server()
        self.state, self._request, self._target = OPENING, request, request.target
        threading.Thread(target=self._resolve, args=(request.target,), daemon=True).start()

    def _resolve(self, target: Target) -> None:
        try:
            result: list[Address] | Answer = look_up(target, self.loop.allowed)
        except Answer as answer:
            result = answer
        self.loop.call_soon(self, result)

    def _connect(self, failure: Answer) -> None:
        """Try the next address; when there is none any more, `failure` is the answer."""
        self._leave_server()
        if not self._addresses:
            self.end_with(failure)
            return
        family, address = self._addresses.pop(0)
        self.since = self.loop.now
        try:
            self.server = socket.socket(family, socket.SOCK_STREAM)
            self.server.setblocking(False)
            self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            error = self.server.connect_ex(address)
        except OSError as problem:
            error = problem.errno or 1
        if error and error not in IN_PROGRESS:
            self._connect(self._failure(os.strerror(error).lower()))

    def _on_connected(self) -> None:
        server, request = self._joined(), self._request
        if request is None:
            raise RuntimeError("connected for no request")
        if error := server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._connect(self._failure(os.strerror(error).lower()))
            return
        # This server under its public address: a firewall would not be asked.
        own, peer = server.getsockname()[0], server.getpeername()[0]
        if own == peer and not is_named(str(peer), self.loop.allowed):
            raise refuse(request.target, "this server itself")
        self._addresses, self._request = [], None
        self.touched = self.loop.now
        if request.is_tunnel:
            self.state = TUNNEL
            self.client.send(ESTABLISHED)
        else:
            self._start(request)
        self._advance()

    def _failure(self, reason: str) -> Answer:
        target = self._target
        return Answer(502, FAILED, f"{target.host} port {target.port}: {reason}." if target else reason)

    # Downward

    def _read_server(self) -> None:
        pipe = self._pipe or self.loop.pipes.take()
        self._pipe = pipe
        try:
            if not pipe.fill(self._joined()):
                self._server_ended = True
        except BlockingIOError:
            pass
        self.touched = self.loop.now
        self._drain()

    def _drain(self) -> None:
        pipe = self._pipe
        if pipe is None:
            return
        with contextlib.suppress(BlockingIOError):
            if pipe.held:
                pipe.drain(self.client)
        if not pipe.held:
            self._pipe = None
            self.loop.pipes.give_back(pipe)
            self._finish()

    # The end

    def _finish(self) -> None:
        """Pass the end of a stream on, when all that came before it has been passed on."""
        if self.is_closed or self.state == OPENING or not (self._client_ended or self._server_ended):
            return
        down_is_over = self._server_ended and self._pipe is None
        up_is_over = self._client_ended and not self._upward
        if self.state != TUNNEL:
            # Who asks for nothing more hangs up; an answer may end with the connection.
            if down_is_over or self._client_ended:
                self.close()
        elif down_is_over and up_is_over:
            self.close()
        elif down_is_over:
            self.client.shutdown(socket.SHUT_WR)
        elif up_is_over and self.server is not None:
            self.server.shutdown(socket.SHUT_WR)

    def end_with(self, answer: Answer) -> None:
        """Give an answer of our own, and hang up."""
        if self.is_closed:
            return
        if answer.marker == REFUSED:
            self.loop.report(answer.sentence)
        with contextlib.suppress(OSError):
            if self._pipe is None:
                self.client.send(answer.encode())
            self.client.shutdown(socket.SHUT_WR)
        self.close()

    def close(self) -> None:
        """Hang up on both sides."""
        if self.is_closed:
            return
        self.is_closed = True
        self._leave_server()
        if self._pipe is not None:
            self.loop.pipes.give_back(self._pipe)
            self._pipe = None
        self.loop.watch(self, self.client, 0, is_server=False)
        self.client.close()
        self.loop.forget(self)

    def _joined(self) -> socket.socket:
        if self.server is None:
            raise RuntimeError("no server is joined to this connection")
        return self.server

    def _leave_server(self) -> None:
        if self.server is not None:
            self.loop.watch(self, self.server, 0, is_server=True)
            self.server.close()
            self.server = None
        self._server_ended = False

    def _watch(self) -> None:
        """Ask the poller for what this connection waits for."""
        if self.is_closed:
            return
        reads = self.state != OPENING and not self._upward and not self._client_ended
        self.loop.watch(self, self.client, (IN if reads else 0) | (OUT if self._pipe else 0), is_server=False)
        if self.server is not None:
            writes = self.state == OPENING or self._upward
            reads = self.state != OPENING and self._pipe is None and not self._server_ended
            self.loop.watch(self, self.server, (IN if reads else 0) | (OUT if writes else 0), is_server=True)
