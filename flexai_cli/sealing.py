"""Seal a version, and wait for it."""

from __future__ import annotations

import time
from typing import Any, Final

from flexai_cli.errors import FlexaiError, Problem
from flexai_cli.target import Target

# Seconds between two looks at a version that is being sealed.
FIRST_LOOK: Final = 0.02
LONGEST_LOOK: Final = 1.0


def seal(target: Target) -> dict[str, Any]:
    """Ask for the seal; return the version once it is available."""
    try:
        target.session.post(*target.parts, "seal")
    except Problem as error:
        # 409 without files: an earlier request, whose answer was lost, has done it.
        if error.status != 409 or error.items:  # noqa: PLR2004
            raise
    version = wait_until_sealed(target)
    if version["status"] != "available":
        raise FlexaiError(
            f"{target.dataset}@{target.number} could not be sealed: {version['error'] or version['status']}"
        )
    return version


def wait_until_sealed(target: Target) -> dict[str, Any]:
    """Return the version as soon as it is no longer pending."""
    pause = FIRST_LOOK
    while True:
        version: dict[str, Any] = target.session.get(*target.parts)
        if version["status"] != "pending":
            return version
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_LOOK)
