"""What the web server does before it forks its processes."""

import os
import select
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flexai_site.web import ListenError, open_listeners
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
SCRIPT = (
    "from flexai_site.web import prepare_application; prepare_application(); "
    "from django.db import connection; assert connection.connection is None"
)


@pytest.mark.parametrize("database", ["", "postgresql://nobody@127.0.0.1:1/none"])
def test_no_connection_is_open_when_the_processes_are_forked(database: str, tmp_path: Path) -> None:
    # They would share it, and mix up their answers.
    environment = os.environ | {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "flexai_site.settings"}
    environment.pop("DATABASE_URL", None)
    if database:
        environment["DATABASE_URL"] = database

    subprocess.run([sys.executable, "-c", SCRIPT], env=environment, cwd=ROOT, check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux deals connections out")
def test_each_process_has_connections_of_its_own() -> None:
    port = free_port()
    listeners = open_listeners("127.0.0.1", port, 2)
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(64)]
    try:
        for listener in listeners:
            assert select.select([listener], [], [], 0)[0]
        with pytest.raises(ListenError, match=f"port {port}: address already in use"):
            open_listeners("127.0.0.1", port, 2)
    finally:
        for opened in clients + listeners:
            opened.close()
    # And all of it is free again.
    open_listeners("127.0.0.1", port, 1)[0].close()
