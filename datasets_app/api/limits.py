"""How many requests one caller may make: a bucket of tokens for each, in the memory of each web process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from django.conf import settings

from datasets_app.errors import TooManyRequests

if TYPE_CHECKING:
    from datasets_app.models import User

MOST_BUCKETS = 10_000


class Limiter:
    """Lets a caller make `per_minute` requests at once, and as many in every minute; 0 is no limit."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str, per_minute: int) -> float:
        """Count one request; return 0, or the seconds until the next one is welcome."""
        if not per_minute:
            return 0.0
        now = time.monotonic()
        with self._lock:
            left, since = self._buckets.get(caller, (float(per_minute), now))
            left = min(left + (now - since) * per_minute / 60, float(per_minute))
            is_free = left >= 1
            if len(self._buckets) > MOST_BUCKETS:
                # Those who were quiet longest have full buckets anyway.
                for name in list(self._buckets)[: MOST_BUCKETS // 2]:
                    del self._buckets[name]
            self._buckets.pop(caller, None)
            self._buckets[caller] = (left - is_free, now)
        return 0.0 if is_free else (1 - left) * 60 / per_minute


limiter = Limiter()


def limit_requests(user: User) -> None:
    """Raise TooManyRequests, with Retry-After, for a token or a session that asks too often."""
    caller = f"token {user.access_token.pk}" if user.access_token is not None else f"user {user.pk}"
    wait = limiter.take(caller, settings.API_REQUESTS_PER_MINUTE)
    if wait:
        error = TooManyRequests(f"More than {settings.API_REQUESTS_PER_MINUTE} requests in a minute. Slow down.")
        error.headers = {"Retry-After": str(max(1, round(wait + 0.5)))}
        raise error
