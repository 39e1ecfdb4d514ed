"""A version that takes files: what is asked of the server about it, and the tus uploads into it.

Every step may be done again: whatever broke off, asking tells how much has arrived.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import httpx

from flexai_cli.errors import Problem
from flexai_cli.pipeline import MIB, Item
from flexai_cli.session import TRY_AGAIN, Pause, Session, check

# Large enough to be rare, small enough to be sent again; halved where a proxy refuses it.
PIECE_BYTES: Final = 64 * MIB
LEAST_PIECE: Final = MIB
BLOCK_BYTES: Final = MIB
TUS: Final = {"Tus-Resumable": "1.0.0"}
PLAIN: Final = {"Accept-Encoding": "identity"}
OCTETS: Final = TUS | {"Content-Type": "application/offset+octet-stream"}

# Gives the bytes from an offset, of a length.
Body = Callable[[int, int], Iterable[bytes | memoryview]]


class Vanished(Exception):
    """The server no longer knows an upload: plan again."""


class Target:
    """One version that takes files."""

    def __init__(self, session: Session, team: str, dataset: str, number: int) -> None:
        self.session = session
        self.team = team
        self.dataset = dataset
        self.number = number
        self._piece_bytes = PIECE_BYTES

    @property
    def parts(self) -> tuple[str | int, ...]:
        """The parts of the version's address."""
        return ("teams", self.team, "datasets", self.dataset, "versions", self.number)

    def plan(self, items: list[Item]) -> list[dict[str, Any]]:
        """Declare files with their digests; return what is to be done for each."""
        planned: list[dict[str, Any]] = self._plan(items, bundle=False)["files"]
        return planned

    def plan_bundle(self, items: list[Item]) -> tuple[list[Item], str | None]:
        """Declare small files; return those that are needed, and the address of an upload that takes just these.

        None where there is no such upload: then one is made by `create_bundle`.
        """
        try:
            planned = self._plan(items, bundle=True)
        except Problem as error:
            if error.status != httpx.codes.REQUEST_ENTITY_TOO_LARGE:
                raise
            # This server's packs are smaller than usual.
            planned = self._plan(items, bundle=False)
        states = [row["state"] for row in planned["files"]]
        needed = [item for item, state in zip(items, states, strict=True) if state != "stored"]
        bundle = planned["bundle"]
        # One that was begun by itself, earlier, is not in the bundle.
        return needed, bundle["upload"] if bundle and "partial" not in states else None

    def _plan(self, items: list[Item], *, bundle: bool) -> dict[str, Any]:
        files = [{"path": i.path, "size": i.size, "sha256": i.digest.hex()} for i in items if i.digest is not None]
        address = self.session.path(*self.parts, "plan")
        # A thousandth of the bytes that follow: not worth compressing.
        answer = self.session.send("POST", address, body={"files": files, "bundle": bundle}, headers=PLAIN)
        planned: dict[str, Any] = answer.json()
        return planned

    def create_bundle(self, items: list[Item]) -> str:
        """Start an upload of many small files; return its address."""
        address = self.session.path(*self.parts, "bundles")
        answer = self.session.send("POST", address, body={"paths": [item.path for item in items]})
        return str(answer.headers["Location"])

    def create_upload(self, item: Item) -> str:
        """Start an upload of one large file; return its address."""
        assert item.digest is not None  # noqa: S101 - for the type checker
        about = {
            "team": self.team,
            "dataset": self.dataset,
            "version": str(self.number),
            "path": item.path,
            "sha256": item.digest.hex(),
        }
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in about.items())
        headers = TUS | {"Upload-Length": str(item.size), "Upload-Metadata": metadata}
        return str(self.session.send("POST", self.session.path("tus"), headers=headers).headers["Location"])

    def append(self, upload: str, size: int, body: Body, offset: int) -> None:
        """Send the bytes of an upload from `offset` to its end. Raise Vanished, or Problem where it is refused."""
        pauses = self.session.pauses()
        while offset < size:
            pause = next(pauses)
            length = min(self._piece_bytes, size - offset)
            trouble: httpx.TransportError | httpx.Response
            try:
                answer = self._patch(upload, offset, length, body)
                if answer.status_code == httpx.codes.NO_CONTENT:
                    offset, pauses = _offset_of(answer), self.session.pauses()
                    continue
                if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE and length > LEAST_PIECE:
                    # A proxy's limit: what it lets through is found by trying.
                    self._piece_bytes = max(length // 2, LEAST_PIECE)
                    continue
                _refuse_more(answer)
                trouble = answer
            except httpx.TransportError as error:
                trouble = error
            reached = self._find_out(upload, pause)
            if reached is None:
                # Where these bytes go is not told now: offered again, they are taken, or refused with 409.
                continue
            if reached > offset:
                # On a line that breaks again and again, patience begins anew with what got through.
                offset, pauses = reached, self.session.pauses()
            elif isinstance(trouble, httpx.Response) and pause.is_last:
                check(trouble)
            else:
                pause.after(trouble)

    def _patch(self, upload: str, offset: int, length: int, body: Body) -> httpx.Response:
        headers = OCTETS | {"Upload-Offset": str(offset), "Content-Length": str(length)}
        return self.session.client().patch(upload, content=_blocks(body(offset, length)), headers=headers)

    def _find_out(self, upload: str, pause: Pause) -> int | None:
        """As `offset`; None where the server, or what is before it, has trouble that may pass."""
        try:
            return self.offset(upload)
        except Problem as error:
            if error.status < httpx.codes.INTERNAL_SERVER_ERROR and error.status not in TRY_AGAIN:
                raise
            pause.after(error)
            return None

    def offset(self, upload: str) -> int:
        """How many bytes of an upload the server has. Raise Vanished, or Problem where it can't tell."""
        try:
            return _offset_of(self.session.send("HEAD", upload, headers=TUS))
        except Problem as error:
            if error.status in {404, 410}:
                raise Vanished from None
            told = f"How much of an upload has arrived could not be found out: {error.detail}"
            raise Problem(error.status, error.code, f"{told} The same command goes on with it.") from None

    def remove(self, paths: list[str]) -> None:
        """Leave paths out of the version."""
        for start in range(0, len(paths), 1000):
            self.session.post(*self.parts, "remove", body={"paths": paths[start : start + 1000]})


def _refuse_more(answer: httpx.Response) -> None:
    """Raise Vanished or Problem for an answer to sent bytes after which it makes no sense to offer them again."""
    if answer.status_code in {404, 410}:
        raise Vanished
    # 409: bytes of a request that broke off arrived after we had asked.
    if answer.status_code not in TRY_AGAIN | {409}:
        check(answer)


def _offset_of(answer: httpx.Response) -> int:
    """Read how far an upload is; whoever answers without that is not the server."""
    try:
        return int(answer.headers["Upload-Offset"])
    except (KeyError, ValueError):
        text = f"{answer.request.url} was answered with {answer.status_code}, but without an Upload-Offset."
        raise Problem(answer.status_code, "unknown", text) from None


def _blocks(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Cut large parts, so that none of them is copied whole on its way."""
    for part in parts:
        if len(part) <= BLOCK_BYTES:
            yield part  # type: ignore[misc]
            continue
        for start in range(0, len(part), BLOCK_BYTES):
            yield part[start : start + BLOCK_BYTES]  # type: ignore[misc]
