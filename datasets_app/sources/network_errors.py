"""What went wrong below HTTP, told in plain words: urllib3's errors, also inside those of requests and google-auth."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from urllib3 import exceptions

from datasets_app.sources.base import Cause, SourceError
from datasets_app.sources.guard import find_refusal

_DEPTH: Final = 12


def explain_network_error(error: BaseException, *, host: str, store: str) -> SourceError:
    """Return the error to raise when no whole answer came from `host`; `store` is what users call it."""
    if isinstance(error, SourceError):
        return error
    chain = list(_causes(error))
    if refusal := next((found for one in chain if (found := find_refusal(str(one)))), None):
        return refusal
    if any(isinstance(one, exceptions.IncompleteRead) for one in chain):
        return SourceError(Cause.DAMAGED, f"{host} broke off before the end: fewer bytes came than were promised.")
    for one in chain:
        if sentence := _describe(one, host, store):
            return SourceError(Cause.UNREACHABLE, sentence)
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


def _describe(error: BaseException, host: str, store: str) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            sentence = f"{host} shows a certificate that is not trusted: {error.verify_message}."
        case ssl.SSLError():
            sentence = f"No encrypted connection to {host} could be made: {error.reason or 'it does not speak TLS'}."
        case exceptions.NameResolutionError() | socket.gaierror():
            sentence = f"There is no server of the name {host}. Check the address."
        case exceptions.ProxyError():
            sentence = f"The proxy that leads to {store} does not answer."
        case exceptions.ConnectTimeoutError():
            sentence = f"{host} does not answer: no connection within the time allowed."
        case exceptions.ReadTimeoutError() | TimeoutError():
            sentence = f"{host} was silent for too long."
        case ConnectionRefusedError():
            sentence = f"{host} refuses connections on this port. Check the address."
        case _:
            sentence = ""
    return sentence


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk from the innermost error outwards: libraries wrap it as cause, as context, as argument or as reason."""
    found: list[BaseException] = [error]
    for one in found:
        inner = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
        found += [x for x in inner if isinstance(x, BaseException) and not any(x is known for known in found)]
        if len(found) > _DEPTH:
            break
    yield from reversed(found)
