"""What went wrong below HTTP, told in plain words: urllib3's errors, also inside those of requests and google-auth."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from urllib3 import exceptions

from datasets_app.sources.base import Cause, SourceError, Stage
from datasets_app.sources.guard import find_refusal

_DEPTH: Final = 12
# As http.client says that a proxy makes no connection.
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})")
_SIGN_IN: Final = "407"


def explain_network_error(error: BaseException, *, host: str, store: str) -> SourceError:
    """Return the error to raise when no whole answer came from `host`; `store` is what users call it."""
    if isinstance(error, SourceError):
        return error
    chain = list(_causes(error))
    if refusal := next((found for one in chain if (found := find_refusal(str(one)))), None):
        return refusal
    if any(isinstance(one, exceptions.IncompleteRead) for one in chain):
        detail = f"{host} broke off before the end: fewer bytes came than were promised."
        return SourceError(Cause.DAMAGED, detail, stage=Stage.SERVER)
    if sentence := _describe_proxy(chain, host, store):
        return SourceError(Cause.UNREACHABLE, sentence, stage=Stage.ROUTE)
    for one in chain:
        sentence, stage = _describe(one, host)
        if sentence:
            return SourceError(Cause.UNREACHABLE, sentence, stage=stage)
    return SourceError(Cause.UNREACHABLE, f"The connection to {host} broke off ({type(chain[-1]).__name__}).")


def read_retry_after(text: str) -> float | None:
    """Return the seconds that a Retry-After header asks to wait; it may also name a date."""
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds()) if until.tzinfo else None


def _describe_proxy(chain: list[BaseException], host: str, store: str) -> str:
    """Say what the proxy on the way has against it; empty where it is not the proxy."""
    status = next((found[1] for one in chain if (found := _TUNNEL.search(str(one)))), "")
    if status == _SIGN_IN:
        return f"The proxy that leads to {store} wants to know who asks. Its address (EGRESS_PROXY) can name a user."
    if status:
        return f"The proxy that leads to {store} makes no connection to {host} (it answers {status})."
    is_gone = any(isinstance(one, exceptions.ProxyError) for one in chain)
    return f"The proxy that leads to {store} does not answer." if is_gone else ""


def _describe(error: BaseException, host: str) -> tuple[str, Stage]:
    stage = Stage.SERVER
    match error:
        case ssl.SSLCertVerificationError():
            sentence = f"{host} shows a certificate that is not trusted: {error.verify_message}."
        case ssl.SSLError():
            sentence = f"No encrypted connection to {host} could be made: {error.reason or 'it does not speak TLS'}."
        case exceptions.NameResolutionError() | socket.gaierror():
            sentence, stage = f"There is no server of the name {host}. Check the address.", Stage.NAME
        case exceptions.ConnectTimeoutError():
            sentence = f"{host} does not answer: no connection within the time allowed."
        case exceptions.ReadTimeoutError() | TimeoutError():
            # Perhaps the proxy was: it looks names up only then.
            sentence, stage = f"{host} was silent for too long.", Stage.UNKNOWN
        case ConnectionRefusedError():
            sentence = f"{host} refuses connections on this port. Check the address."
        case _:
            sentence = ""
    return sentence, stage


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from the innermost error outwards: libraries wrap it as cause, as context, as argument or as reason."""
    found: list[BaseException] = [error]
    for one in found:
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        found += [x for x in inner if isinstance(x, BaseException) and not any(x is known for known in found)]
        if len(found) > _DEPTH:
            break
    yield from reversed(found)
