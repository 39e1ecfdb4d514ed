"""What a worker does about its import while it waits for bytes: keeps its leases, and finds out that it is to stop."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any, Final, TypeVar

from django.conf import settings

from datasets_app.models import Import
from datasets_app.sources.patience import Patience, StoppedError

if TYPE_CHECKING:
    import uuid
    from concurrent.futures import Future

    from datasets_app.models.lease import LeasedQuerySet

T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.25


class Watch:
    """Belongs to one worker's turn at one import. Its methods are for the thread that may use the database."""

    def __init__(self, run_id: int, *, seconds: float) -> None:
        """Say that the turn should end `seconds` after `begin`."""
        self.run_id = run_id
        self.stop = threading.Event()
        self.patience = Patience(self.stop)
        self._seconds = seconds
        self._ends_at = time.monotonic() + seconds
        self._leases: dict[uuid.UUID, LeasedQuerySet[Any]] = {}
        self._looked_at = self._renewed_at = time.monotonic()

    def begin(self) -> None:
        """Let the turn's time run from now on: a store that is slow to open must not use it up."""
        self._ends_at = time.monotonic() + self._seconds

    @property
    def is_over(self) -> bool:
        """Whether it is time to let others have their turn."""
        return time.monotonic() >= self._ends_at

    def hold(self, rows: LeasedQuerySet[Any], token: uuid.UUID) -> None:
        """Renew this lease from now on."""
        self._leases[token] = rows

    def let_go(self, token: uuid.UUID) -> None:
        """Renew it no more."""
        self._leases.pop(token, None)

    def tick(self) -> None:
        """Call often. Raises StoppedError when the import was cancelled, or a lease was lost."""
        now = time.monotonic()
        if now - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = now
        if not Import.objects.running().filter(pk=self.run_id).exists():
            raise StoppedError
        if now - self._renewed_at < settings.LEASE_SECONDS / 4:
            return
        self._renewed_at = now
        for token, rows in self._leases.items():
            if not rows.renew(token, seconds=settings.LEASE_SECONDS):
                raise StoppedError

    def wait(self, future: Future[T]) -> T:
        """Return the future's result; ticks until it is there."""
        while not ends_soon(future):
            self.tick()
        return future.result()


def ends_soon(future: Future[Any]) -> bool:
    """Wait a moment for its end, whatever that is: `futures.wait` takes three times as long for the same."""
    try:
        future.exception(POLL_SECONDS)
    except TimeoutError:
        return future.done()
    except CancelledError:
        pass
    return True
