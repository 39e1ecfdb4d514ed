"""Processes that don't outlive the one that started them, even when that one is killed."""

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(number: signal.Signals, *, parent: int | None = None) -> None:
    """Ask Linux to send this process the signal when its parent ends; elsewhere this does nothing.

    `parent` is the process id that the parent had; without it, it is taken to be alive still.
    """
    if sys.platform == "linux":
        parent = parent or os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            # It ended before the request was in force.
            os.kill(os.getpid(), number)
