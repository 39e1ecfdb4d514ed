"""Whose fault it is that nothing comes: the store's, or that of what was asked for."""

import threading
from collections.abc import Callable

import pytest

from datasets_app.sources import patience as patience_module
from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.patience import OutageError, Patience


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience_module, "FIRST_PAUSE", 0.001)


def failing(patience: Patience, *, answered_before: int) -> Callable[[], None]:
    """Fail each time; others get an answer before these first tries fail."""
    tries = []

    def work() -> None:
        tries.append(1)
        if len(tries) <= answered_before:
            patience.call(str)
        raise SourceError(Cause.UNREACHABLE, "silent")

    return work


@pytest.mark.parametrize("answered_before", [0, 1, 2])
def test_a_store_that_falls_silent_meanwhile_is_at_fault(answered_before: int) -> None:
    patience = Patience(threading.Event())
    with pytest.raises(OutageError):
        patience.call(failing(patience, answered_before=answered_before))


def test_what_alone_does_not_come_is_at_fault() -> None:
    patience = Patience(threading.Event())
    with pytest.raises(SourceError):
        patience.call(failing(patience, answered_before=5))
