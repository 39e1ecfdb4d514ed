"""Loaded by schemathesis (SCHEMATHESIS_HOOKS): how to send bodies that it does not know."""

from __future__ import annotations

import schemathesis


@schemathesis.serializer("application/offset+octet-stream")
def serialize_octets(_context: schemathesis.SerializationContext, value: object) -> bytes:
    """Send bytes as they are; other values, which break the rules on purpose, as text."""
    return value if isinstance(value, bytes) else str(value).encode()
