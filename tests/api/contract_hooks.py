"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): bodies that it does not know, things to act on, and a record of all."""

from __future__ import annotations

import os
import threading
from functools import cache
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase

from tests.api.workshop import Workshop

_lock = threading.Lock()


@schemathesis.serializer("application/offset+octet-stream")
def serialize_octets(_context: schemathesis.SerializationContext, value: object) -> bytes:
    """Send bytes as they are; other values, which break the rules on purpose, as text."""
    return value if isinstance(value, bytes) else str(value).encode()


@cache
def workshop() -> Workshop:
    """Return the workshop of this run."""
    return Workshop(os.environ["CONTRACT_URL"], os.environ["CONTRACT_TOKEN"], os.environ["CONTRACT_SOURCE"])


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """Let operations that change something act on what was made for this call, not on what the others need.

    Parts of an address that break the rules stay, and so do bodies, but for those of the document's examples.
    """
    meta = case.meta
    if meta is None or case.method.upper() != case.operation.method.upper():
        return
    name, address = operation_of(case), case.path_parameters
    if meta.is_negative_at(ParameterLocation.PATH) and workshop().spares(name, address):
        return
    with _lock:
        # What breaks the rules is refused, and uses nothing up.
        made = workshop().make(name, anew=not meta.generation.mode.is_negative)
    if made is None:
        return
    address.update(made.address)
    if meta.phase.name is TestPhase.EXAMPLES:
        case.headers.update(made.headers or {})
        if made.body is not None:
            case.body = made.body


@schemathesis.hook
def after_call(_about: schemathesis.HookContext, case: schemathesis.Case[Any], response: schemathesis.Response) -> None:
    """Write down what was answered."""
    with _lock, Path(os.environ["CONTRACT_RECORD"]).open("a") as record:
        record.write(f"{operation_of(case)} {response.status_code}\n")


def operation_of(case: schemathesis.Case[Any]) -> str:
    """Return the operation's id."""
    return str(case.operation.definition.raw["operationId"])
