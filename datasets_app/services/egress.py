"""How this process reaches remote stores: by the operator's proxy, else by a guard of its own."""

from __future__ import annotations

import threading

from django.conf import settings
from django.core.signals import setting_changed

from datasets_app.sources.base import Route
from datasets_app.sources.guard import Guard

_lock = threading.Lock()
_guard: Guard | None = None


def source_route() -> Route:
    """Return the way that every source of this process must take.

    The guard starts when it is first needed and ends with this process; a forked worker gets one of its own.
    """
    global _guard  # noqa: PLW0603 - one for each process
    if settings.EGRESS_PROXY:
        return Route(proxy=settings.EGRESS_PROXY, is_foreign=True, allows_machine_role=settings.ALLOW_MACHINE_ROLE)
    with _lock:
        if _guard is None:
            _guard = Guard(settings.ALLOWED_SOURCE_NETWORKS)
        guard = _guard
    return Route(proxy=guard.url, allows_machine_role=settings.ALLOW_MACHINE_ROLE, needs_no_proxy=guard.allows)


def _forget(*, setting: str, **_kwargs: object) -> None:
    global _guard  # noqa: PLW0603 - as above
    if setting == "ALLOWED_SOURCE_NETWORKS" and _guard is not None:
        _guard.close()
        _guard = None


setting_changed.connect(_forget)
