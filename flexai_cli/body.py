"""The body of a large answer, by the shortest way from the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import httpcore
import httpx

BLOCK_BYTES: Final = 256 * 1024
_TROUBLE: Final = {
    httpcore.ReadTimeout: httpx.ReadTimeout,
    httpcore.ReadError: httpx.ReadError,
}


def read_body(answer: httpx.Response, seconds: float) -> Iterator[bytes]:
    """Give a body in blocks of at most 256 KiB, each within `seconds`; raises httpx.TransportError as `iter_raw` does.

    Where its length was told, what follows the first block is read straight from the connection, which then ends:
    h11 copies every byte twice, in pieces of 64 KiB, and takes as much processor time as SHA-256 does.
    """
    told = answer.headers.get("Content-Length", "")
    network = answer.extensions.get("network_stream")
    if not told.isdigit() or network is None:
        yield from answer.iter_raw()
        return
    left = int(told)
    # Holds all that came together with the head: h11 keeps nothing back of a body whose length it knows.
    blocks = answer.iter_raw()
    block = next(blocks, b"")
    while block:
        yield block
        left -= len(block)
        block = _read(network, min(left, BLOCK_BYTES), seconds, answer) if left else b""
    if left:
        raise httpx.RemoteProtocolError(f"{left} bytes of the answer are missing", request=answer.request)


def _read(network: httpcore.NetworkStream, size: int, seconds: float, answer: httpx.Response) -> bytes:
    try:
        return network.read(size, timeout=seconds)
    except (httpcore.ReadTimeout, httpcore.ReadError) as error:
        raise _TROUBLE[type(error)](str(error), request=answer.request) from error
