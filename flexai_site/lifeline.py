"""Processes that don't outlive the one that started them, even when that one is killed."""

import ctypes
import os
import select
import signal
import sys
import threading
import time
from typing import Final

GRACE_SECONDS: Final = 5
_PR_SET_PDEATHSIG: Final = 1


def end_with_parent(number: signal.Signals) -> None:
    """Ask Linux to send the signal when the parent process ends; elsewhere this does nothing."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            # It ended before the request was in force.
            os.kill(os.getpid(), number)


def end_with_process(pid: int) -> None:
    """End once the process with that id, which need not be the parent, is gone: by SIGTERM, later by force.

    Force ends the whole process group, which this process must lead.
    """
    if sys.platform != "linux":
        return
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        os.kill(os.getpid(), signal.SIGTERM)
        return

    def wait() -> None:
        select.select([handle], [], [])
        os.close(handle)
        os.kill(os.getpid(), signal.SIGTERM)
        # A worker that waits for its running tasks would outlive the server by hours.
        time.sleep(GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()
