"""What can go wrong, and the exit code that each kind ends the command with."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """Exit codes; docs/guide/command-line.md lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SIGN_IN = 3
    NOT_FOUND = 4
    CONFLICT = 5
    DIFFERENT = 6
    UNREACHABLE = 7
    INCOMPLETE = 8
    INTERRUPTED = 130


class FlexaiError(Exception):
    """Something that the user can understand and mend. `items` names single paths or fields: {path | field, detail}."""

    exit_code = Exit.FAILED

    def __init__(self, detail: str, *, items: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.items = list(items)


class UsageError(FlexaiError):
    """The command or the call was not understood, or its arguments contradict each other."""

    exit_code = Exit.USAGE


class SignInNeeded(FlexaiError):
    """There is no token, or the server does not take it."""

    exit_code = Exit.SIGN_IN


class Unreachable(FlexaiError):
    """The server did not answer for as long as we were ready to wait."""

    exit_code = Exit.UNREACHABLE


class Different(FlexaiError):
    """Bytes are not those that they should be."""

    exit_code = Exit.DIFFERENT


class Incomplete(FlexaiError):
    """Some files could not be taken or fetched; `items` names them."""

    exit_code = Exit.INCOMPLETE


class InTheWay(FlexaiError):
    """The present state does not allow it."""

    exit_code = Exit.CONFLICT


class Interrupted(FlexaiError):
    """Somebody pressed Ctrl-C."""

    exit_code = Exit.INTERRUPTED


class Problem(FlexaiError):
    """The server's refusal (RFC 9457). `code` is the stable end of its type, for instance "not-found".

    `retry_after` is in seconds.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, items: Sequence[dict[str, Any]] = (), retry_after: float = 0.0
    ) -> None:
        super().__init__(detail, items=items)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.exit_code = _EXITS.get(status, Exit.FAILED)


_EXITS = {401: Exit.SIGN_IN, 403: Exit.SIGN_IN, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT, 410: Exit.NOT_FOUND}
