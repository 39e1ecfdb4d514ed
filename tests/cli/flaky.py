"""A line to the server that is slow, or that breaks again and again."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

PIECE: Final = 65536
WAIT_SECONDS: Final = 60


class FlakyLine:
    """Passes bytes on between clients and the server at `url`.

    All that clients send goes at `bytes_per_second` (0: as fast as it can), what comes back at `back_per_second`; each
    connection breaks after `cut` of the clients' bytes (0: never).
    """

    def __init__(self, url: str, *, bytes_per_second: int = 0, back_per_second: int = 0, cut: int = 0) -> None:
        parts = urlsplit(url)
        self._server = (str(parts.hostname), int(parts.port or 80))
        self._rate, self._back_rate, self._cut = bytes_per_second, back_per_second, cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = 0
        self.cuts = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def wait_for_bytes(self, count: int) -> None:
        """Wait until clients have sent so many bytes."""
        end = time.monotonic() + WAIT_SECONDS
        while self.sent < count:
            assert time.monotonic() < end, f"{self.sent} bytes were sent, not {count}"
            time.sleep(0.02)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            threading.Thread(target=self._send, args=(client, server), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client), daemon=True).start()

    def _send(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while block := client.recv(PIECE):
                if self._rate:
                    with self._lock:
                        time.sleep(len(block) / self._rate)
                server.sendall(block)
                passed += len(block)
                self.sent += len(block)
                if self._cut and passed >= self._cut:
                    self.cuts += 1
                    break
        _end(client, server)

    def _pass(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while block := server.recv(PIECE):
                if self._back_rate:
                    time.sleep(len(block) / self._back_rate)
                client.sendall(block)
        _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
