"""Whether this server can serve: database, broker and content store."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from uuid import uuid4

from celery import current_app
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

logger = logging.getLogger(__name__)

# Seconds that a good answer is kept, so that probes cost nothing; a bad one is looked into again.
KEPT_SECONDS = 5.0

_lock = Lock()
_good_until: dict[str, float] = {}


def check_readiness() -> dict[str, str]:
    """Return `ok`, or a sentence on what is wrong, for each of `database`, `broker` and `store`."""
    checks: dict[str, Callable[[], str]] = {
        "database": _check_database,
        "broker": _check_broker,
        "store": _check_store,
    }
    with _lock:
        return {name: _run(name, check) for name, check in checks.items()}


def forget() -> None:
    """Look into everything again at the next check."""
    with _lock:
        _good_until.clear()


def _run(name: str, check: Callable[[], str]) -> str:
    if _good_until.get(name, 0.0) > time.monotonic():
        return "ok"
    try:
        problem = check()
    except Exception as error:  # any library below may fail in its own way
        logger.warning("Not ready: the %s failed", name, exc_info=True)
        # The page is open to all, so the error's text, which may name hosts and users, stays in the log.
        return f"failed with {type(error).__name__}"
    if not problem:
        _good_until[name] = time.monotonic() + KEPT_SECONDS
    return problem or "ok"


def _check_database() -> str:
    executor = MigrationExecutor(connection)
    waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(waiting)} migrations are not applied: run manage.py migrate" if waiting else ""


def _check_broker() -> str:
    if settings.CELERY_BROKER_URL == "filesystem://":
        probe = Path(settings.BROKER_DIR) / "queue" / f"probe-{uuid4().hex}"
        probe.write_bytes(b"")
        probe.unlink()
        return ""
    with current_app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=2)
    return ""


def _check_store() -> str:
    store = storages["packs"]
    key = store.save(f"probe/{uuid4().hex}", ContentFile(b"probe"))
    store.delete(key)
    return ""
