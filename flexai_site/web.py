"""The web server: granian, serving WSGI from a few processes with many threads. `python -m flexai_site.web` runs it.

docs/decisions/0003-web-server.md tells why.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from django.conf import settings
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import MPServer
from granian.server.mp import WorkerProcess
from typing_extensions import override

from flexai_site.celery import app as tasks
from flexai_site.heap import freeze_heap
from flexai_site.lifeline import end_with_parent

BACKLOG: Final = 2048
# A client that vanished without a word is noticed after IDLE + COUNT * INTERVAL seconds; else it would keep a thread,
# and the lock of its upload, for ever.
KEEPALIVE_IDLE: Final = 60
KEEPALIVE_INTERVAL: Final = 15
KEEPALIVE_COUNT: Final = 4


class ListenError(Exception):
    """The address can't be listened on; the message says which one, why, and what to do."""


def open_listener(host: str, port: int, *, is_one_of_many: bool = False) -> socket.socket:
    """Listen on the address; accepted connections inherit its options on Linux.

    With `is_one_of_many`, others of this user may listen on the same address, and the kernel shares out connections.
    """
    place = f"{host} port {port}"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=is_one_of_many)
    except socket.gaierror as error:
        raise ListenError(f"HOST is {host!r}, which is no address of this machine: {error.strerror}.") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise ListenError(f"Can't listen on {place}: {reason}. Choose another with PORT and HOST.") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if sys.platform == "linux":
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)
        seconds = KEEPALIVE_IDLE + KEEPALIVE_INTERVAL * KEEPALIVE_COUNT
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)
    return listener


def open_listeners(host: str, port: int, count: int) -> list[socket.socket]:
    """Listen on the address with a socket for each of `count` processes; ListenError where somebody else does.

    Of processes that share one socket, the one that wakes first takes all connections that come at that moment: the
    streams of an upload then met in one process, while the other had nothing to do. With sockets of their own, the
    kernel deals connections out by chance. They stay open here, so that those of a process that died wait for the next.
    """
    # Also finds one that would share the address.
    single = open_listener(host, port)
    if sys.platform != "linux":
        # There, all go to one of the sockets.
        return [single] * count
    single.close()
    return [open_listener(host, port, is_one_of_many=True) for _ in range(count)]


class Server(MPServer):
    """granian on listening sockets of our own, whose options we choose."""

    @override
    def _init_shared_socket(self) -> None:
        self._listeners = open_listeners(self.bind_addr, self.bind_port, self.workers)
        for listener in self._listeners:
            listener.set_inheritable(True)
        self._ssp = None

    @override
    def _drop_shared_socket(self) -> None:
        for listener in self._listeners:
            listener.close()

    @override
    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> WorkerProcess:  # type: ignore[override]  # as MPServer has it, unlike its base
        from granian._granian import SocketHolder

        self._sso = self._listeners[idx]
        # None in the eyes of mypy, and the stub of SocketHolder leaves out its arguments.
        self._shd = SocketHolder(self._sso.fileno(), False, BACKLOG)  # type: ignore[assignment,call-arg]
        return super()._spawn_worker(idx, target, callback_loader)


def prepare_application() -> None:
    """Load and warm up all that requests need, before the processes are forked: they share it, and start at once."""
    import_module("flexai_site.wsgi")
    # Not loaded until somebody asks for it: the patterns of all addresses, some queries, and what wakes a worker.
    from django.urls import reverse

    from datasets_app.models.prepared import prepare_all

    reverse("home")
    reverse("api:api-root")
    prepare_all()
    import_module("datasets_app.tasks")
    tasks.finalize()
    for part in (tasks, "backend"), (tasks, "producer_pool"), (tasks.amqp, "send_task_message"):
        getattr(*part)
    # What is there now stays. A full collection would walk all of it, for 100 ms amid a request, and copy its pages.
    gc.collect()
    freeze_heap()


def load_application() -> Callable[..., Any]:
    """Load the application in a process of the server, and bind that process's life to the server's."""
    end_with_parent(signal.SIGKILL)
    # Threads that hash or write let go of the interpreter and want it back for a moment; by default each waits for
    # 5 ms while another computes.
    sys.setswitchinterval(0.0005)
    from flexai_site.wsgi import application

    return application


def main() -> None:
    """Serve until a signal ends it."""
    if "SERVE_PID" in os.environ:
        end_with_parent(signal.SIGTERM, parent=int(os.environ["SERVE_PID"]))
    prepare_application()
    server = Server(
        "flexai_site.wsgi:application",
        address=settings.HOST,
        port=settings.PORT,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        workers=settings.WEB_PROCESSES,
        blocking_threads=settings.WEB_THREADS,
        backlog=BACKLOG,
        respawn_failed_workers=True,
        # Seconds that requests have to end in once the server is told to stop.
        workers_kill_timeout=5,
        # It would warn about the number of threads, which wait for clients more than they compute.
        log_level=LogLevels.error,
    )
    try:
        server.serve(target_loader=load_application, wrap_loader=False)
    except ListenError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flexai_site.settings")
    main()
