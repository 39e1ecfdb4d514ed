"""The one way to the server: requests with the token, tried again where that is safe, errors as `Problem`.

Each thread has a connection of its own: the server keeps the running hash of a large upload in the process that the
connection leads to.
"""

from __future__ import annotations

import json
import os
import random
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import quote, urlsplit

import httpx

from flexai_cli.errors import Problem, Unreachable
from flexai_cli.settings import Login
from flexai_cli.version import USER_AGENT

# Seconds.
CONNECT_TIMEOUT: Final = 15
ANSWER_TIMEOUT: Final = 120
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 10.0
# A server that has not answered yet may have another address altogether.
FIRST_PATIENCE: Final = 10.0
# Too many requests, locked by a request of ours that broke off, and what proxies say of a server that restarts.
TRY_AGAIN: Final = frozenset({423, 429, 502, 503, 504})
FIRST_ERROR: Final = 400
PROBLEM_PREFIX: Final = "urn:flexai:problem:"


def patience() -> float:
    """Seconds for which a server that does not answer is asked again: `FLEXAI_PATIENCE`, by default two minutes."""
    try:
        return float(os.environ.get("FLEXAI_PATIENCE", ""))
    except ValueError:
        return 120.0


class Session:
    """Requests to one server. May be used by many threads; close it, or use it as a context."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self.patience = patience()
        self._has_answered = False
        self._local = threading.local()
        self._clients: list[httpx.Client] = []
        self._lock = threading.Lock()
        self._verify: ssl.SSLContext | bool = login.url.startswith("https:") and ssl.create_default_context()
        parts = urlsplit(login.url)
        # Addresses that the server hands out begin with the prefix below which it runs.
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._prefix = parts.path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        with self._lock:
            clients, self._clients = self._clients, []
        self._local = threading.local()
        for client in clients:
            client.close()

    def client(self) -> httpx.Client:
        """Return this thread's connection."""
        found: httpx.Client | None = getattr(self._local, "client", None)
        if found is not None and self._local.process != os.getpid():
            # Forked, as data loaders do: the connection belongs to the parent.
            found = None
        if found is None:
            found = httpx.Client(
                base_url=self._origin,
                headers={"Authorization": f"Bearer {self.login.token}", "User-Agent": USER_AGENT},
                verify=self._verify,
                timeout=httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
            )
            self._local.client, self._local.process = found, os.getpid()
            with self._lock:
                self._clients.append(found)
        return found

    def path(self, *parts: str | int, query: Mapping[str, Any] | None = None) -> str:
        """Return the address of `/api/v1/<parts>`; a part's slashes stay, as those of a path in a version must."""
        address = self._prefix + "/api/v1/" + "/".join(quote(str(part)) for part in parts)
        wanted = {key: value for key, value in (query or {}).items() if value not in {None, "", False}}
        return f"{address}?{httpx.QueryParams(wanted)}" if wanted else address

    def get(self, *parts: str | int, **query: Any) -> Any:  # noqa: ANN401 - JSON
        """Read JSON."""
        return self.send("GET", self.path(*parts, query=query)).json()

    def post(self, *parts: str | int, body: Any = None, key: str = "") -> Any:  # noqa: ANN401 - JSON
        """Send JSON; return the answer's JSON, or None. The same `key` makes sure that a repeated call acts once."""
        headers = {"Idempotency-Key": key} if key else {}
        answer = self.send("POST", self.path(*parts), body=body, headers=headers)
        return answer.json() if answer.content else None

    def create(self, *parts: str | int, body: Any = None) -> Any:  # noqa: ANN401 - JSON
        """`post` what makes something, once, however often the connection breaks."""
        return self.post(*parts, body=body, key=str(uuid.uuid4()))

    def pages(self, *parts: str | int, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor = None
        while True:
            page = self.get(*parts, **query, cursor=cursor)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def send(
        self, method: str, address: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Send a request until the server answers it; raise Problem for a refusal."""
        sent = dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
            sent["Content-Type"] = "application/json"
        for pause in self.pauses():
            try:
                answer = self.client().request(method, address, content=data, headers=sent)
            except httpx.TransportError as error:
                pause.after(error)
                continue
            self._has_answered = True
            if answer.status_code in TRY_AGAIN and not pause.is_last:
                pause.after(answer)
                continue
            return check(answer)
        raise AssertionError("pauses() raises in the end")

    @contextmanager
    def stream(
        self, method: str, address: str, *, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Open an answer whose body is read as it comes; reading it may raise httpx.TransportError. Tried once."""
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        sent = dict(headers or {}) | ({"Content-Type": "application/json"} if data is not None else {})
        with self.client().stream(method, address, content=data, headers=sent) as answer:
            if answer.status_code >= FIRST_ERROR:
                answer.read()
                check(answer)
            yield answer

    def blocks(self, address: str, block_bytes: int) -> Iterator[bytes]:
        """Every byte of a file that does not change; where a connection breaks, the rest is asked for."""
        done = 0
        for attempt in self.attempts():
            with attempt, self.stream("GET", address, headers={"Range": f"bytes={done}-"} if done else {}) as answer:
                if done and answer.status_code != httpx.codes.PARTIAL_CONTENT:
                    raise httpx.RemoteProtocolError("the rest of the file was asked for, and all of it came")
                for block in answer.iter_raw(block_bytes):
                    done += len(block)
                    attempt.has_moved = True
                    yield block
                return

    def attempts(self) -> Iterator[Attempt]:
        """Give tries of what goes on where it broke off, each to be used as a context, until the caller has all of it.

        On a line that breaks again and again, patience begins anew with what got through. Raises Unreachable, or the
        Problem, when it is over.
        """
        pauses = self.pauses()
        while True:
            attempt = Attempt(next(pauses))
            yield attempt
            if attempt.has_moved:
                pauses = self.pauses()

    def pauses(self) -> Iterator[Pause]:
        """Give tries with growing pauses in between, until the patience is over; each is told why it failed."""
        end = time.monotonic() + (self.patience if self._has_answered else min(self.patience, FIRST_PATIENCE))
        wait = FIRST_PAUSE
        while True:
            pause = Pause(self.login.url, is_last=time.monotonic() >= end)
            yield pause
            # Some randomness keeps many clients of one restarted server apart.
            time.sleep(max(pause.wanted, min(wait, LONGEST_PAUSE) * random.uniform(0.5, 1)))  # noqa: S311
            wait *= 2


class Pause:
    """One try of a request."""

    def __init__(self, url: str, *, is_last: bool) -> None:
        self._url = url
        self.is_last = is_last
        self.wanted = 0.0

    def after(self, trouble: httpx.TransportError | httpx.Response | Problem) -> None:
        """Note what went wrong. Raise Unreachable, or the Problem, when that was the last try."""
        if isinstance(trouble, httpx.Response):
            self.wanted = retry_after(trouble)
        elif isinstance(trouble, Problem):
            self.wanted = trouble.retry_after
            if self.is_last:
                raise trouble
        elif not self.is_last:
            return
        else:
            raise Unreachable(f"{self._url} does not answer: {describe(trouble)}") from trouble


class Attempt:
    """One try of what goes on where it broke off. As a context, it keeps to itself what the next try may mend.

    Set `has_moved` once it has got further.
    """

    def __init__(self, pause: Pause) -> None:
        self._pause = pause
        self.has_moved = False

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        """Note what went wrong; raise it, or Unreachable, when that was the last try."""
        if isinstance(error, httpx.TransportError):
            if not self.has_moved:
                self._pause.after(error)
            return True
        if isinstance(error, Problem) and error.status in TRY_AGAIN:
            self._pause.after(error)
            return True
        return False


def describe(error: Exception) -> str:
    """Say what broke; some errors of the network have no text."""
    return str(error) or type(error).__name__


def retry_after(answer: httpx.Response) -> float:
    """Seconds for which the server asks to be left alone."""
    after = answer.headers.get("Retry-After", "")
    return float(after) if after.isdigit() else 0.0


def check(answer: httpx.Response) -> httpx.Response:
    """Return a good answer; raise a Problem for any other."""
    if answer.is_success:
        return answer
    if answer.is_redirect:
        where = answer.headers.get("Location", "")
        raise Problem(answer.status_code, "redirect", f"The server sends us to {where}: sign in with that address.")
    if answer.request.method == "HEAD":
        # It has no body, and so no reason.
        told = f"{answer.status_code} {answer.reason_phrase}".strip()
        text = f"{answer.request.url} was answered with {told}."
        raise Problem(answer.status_code, "unknown", text, retry_after=retry_after(answer))
    try:
        found = answer.json()
        code = str(found["type"]).removeprefix(PROBLEM_PREFIX)
        detail, items = str(found["detail"]), found.get("errors") or []
        raise Problem(answer.status_code, code, detail, items=items, retry_after=retry_after(answer))
    except (ValueError, KeyError, TypeError):
        text = f"{answer.request.method} {answer.request.url}: the answer is {answer.status_code}, and not of this API."
        if answer.status_code == httpx.codes.NOT_FOUND:
            text += " Is the address of the server right?"
        raise Problem(answer.status_code, "unknown", text, retry_after=retry_after(answer)) from None
