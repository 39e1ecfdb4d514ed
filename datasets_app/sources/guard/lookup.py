"""From a name to the addresses that may be connected to, in one look-up."""

from __future__ import annotations

import socket
from typing import Any, Final

from datasets_app.sources.guard.addresses import Network, find_objection
from datasets_app.sources.guard.heads import REFUSED, UNKNOWN, Answer, Target

# Of a name's addresses, so many are tried.
ADDRESSES: Final = 4

# An address as getaddrinfo gives it: family and socket address.
Address = tuple[socket.AddressFamily, Any]


def look_up(target: Target, allowed: tuple[Network, ...]) -> list[Address]:
    """Resolve a name and keep the addresses that may be reached. Raises Answer when there is none. Blocks."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Answer(502, UNKNOWN, f"The name {target.host} does not resolve.") from None
    objections = {str(info[4][0]): find_objection(str(info[4][0]), allowed) for info in found}
    good: list[Address] = [(info[0], info[4]) for info in found if not objections[str(info[4][0])]]
    if not good:
        raise refuse(target, next(iter(objections.values()), "nowhere"))
    return good[:ADDRESSES]


def refuse(target: Target, objection: str) -> Answer:
    """Make the answer for an address that may not be reached. The address itself is not told."""
    sentence = f"{target.host} leads to {objection}, which this installation does not allow as a source."
    return Answer(403, REFUSED, sentence)
