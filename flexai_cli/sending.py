"""Bring the bytes of one batch to the server: ask what it needs, and send that by tus.

Every step may be done again: whatever broke off, asking tells how much has arrived.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import httpx

from flexai_cli.errors import Problem
from flexai_cli.pipeline import MIB, Batch, Item
from flexai_cli.progress import Progress
from flexai_cli.reading import CHANGED, Unread, hash_file, read_range, read_whole
from flexai_cli.scan import Report
from flexai_cli.session import TRY_AGAIN, Session, check

# Large enough to be rare, small enough to be sent again; halved where a proxy refuses it.
PIECE_BYTES: Final = 64 * MIB
LEAST_PIECE: Final = MIB
BLOCK_BYTES: Final = MIB
# Plans of the same files, while every one of them finds something that is still needed.
MOST_ROUNDS: Final = 5
TUS: Final = {"Tus-Resumable": "1.0.0"}
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
        files = [{"path": i.path, "size": i.size, "sha256": i.digest.hex()} for i in items if i.digest is not None]
        planned: list[dict[str, Any]] = self.session.post(*self.parts, "plan", body={"files": files})["files"]
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
            headers = OCTETS | {"Upload-Offset": str(offset), "Content-Length": str(length)}
            trouble: httpx.TransportError | httpx.Response
            try:
                answer = self.session.client().patch(upload, content=_blocks(body(offset, length)), headers=headers)
            except httpx.TransportError as error:
                trouble = error
            else:
                if answer.status_code == httpx.codes.NO_CONTENT:
                    offset, pauses = int(answer.headers["Upload-Offset"]), self.session.pauses()
                    continue
                if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE and length > LEAST_PIECE:
                    # A proxy's limit: what it lets through is found by trying.
                    self._piece_bytes = max(length // 2, LEAST_PIECE)
                    continue
                if answer.status_code in {404, 410}:
                    raise Vanished
                # 409: bytes of a request that broke off arrived after we had asked.
                if answer.status_code not in TRY_AGAIN | {409}:
                    check(answer)
                trouble = answer
            reached = self.offset(upload)
            if reached > offset:
                # On a line that breaks again and again, patience begins anew with what got through.
                offset, pauses = reached, self.session.pauses()
            elif isinstance(trouble, httpx.Response) and pause.is_last:
                check(trouble)
            else:
                pause.after(trouble)

    def offset(self, upload: str) -> int:
        """How many bytes of an upload the server has."""
        try:
            return int(self.session.send("HEAD", upload, headers=TUS).headers["Upload-Offset"])
        except Problem as error:
            if error.status in {404, 410}:
                raise Vanished from None
            raise

    def remove(self, paths: list[str]) -> None:
        """Leave paths out of the version."""
        for start in range(0, len(paths), 1000):
            self.session.post(*self.parts, "remove", body={"paths": paths[start : start + 1000]})


class Sender:
    """Sends batches to one version; may be used by many threads."""

    def __init__(self, target: Target, progress: Progress, report: Report) -> None:
        self._target = target
        self._progress = progress
        self._report = report

    def send(self, batch: Batch) -> None:
        """Bring one batch in; files that can't be taken lose their digest and are reported."""
        if batch.is_large:
            with self._progress.begun() as reach:
                self._send_large(batch.items[0], reach)
                self._progress.handled(1, batch.size)
        else:
            self._send_small(batch.items)
            self._progress.handled(len(batch.items), batch.size)

    def _send_large(self, item: Item, reach: Callable[[int], None]) -> None:
        source, about = item.chunk.source(item.place), item.chunk.stats[item.place]
        hashed = 0
        try:
            if item.digest is None:
                # It is read twice: each time counts a half.
                hashed = item.size // 2
                item.chunk.digests[item.place] = hash_file(source, about, lambda length: reach(length // 2))
            for _round in range(MOST_ROUNDS):
                (planned,) = self._target.plan([item])
                if planned["state"] == "stored":
                    self._progress.saved(item.size)
                    return
                offset = planned["offset"] or 0
                upload = planned["upload"] or self._target.create_upload(item)

                def body(start: int, length: int) -> Iterator[bytes]:
                    done = start
                    for block in read_range(source, about, start, length):
                        yield block
                        self._progress.moved(len(block))
                        done += len(block)
                        reach(hashed + done * (item.size - hashed) // item.size)

                try:
                    self._target.append(upload, item.size, body, offset)
                except Vanished:
                    continue
                self._progress.saved(offset)
                return
            self._fail(item, "The server loses this upload again and again.")
        except Unread as error:
            self._fail(item, str(error))
        except Problem as error:
            self._refused(error, [item])

    def _send_small(self, items: list[Item]) -> None:
        """Read what has no digest yet, and of the rest only what the server needs."""
        held: dict[Item, memoryview] = {}
        whole = self._read([item for item in items if item.digest is None], held)
        waiting = items
        for number in range(MOST_ROUNDS):
            waiting = [item for item in waiting if item.digest is not None]
            needed = self._ask(waiting)
            if number == 0:
                self._progress.saved(sum(item.size for item in waiting) - sum(item.size for item in needed))
            if not needed:
                return
            self._read([item for item in needed if item not in held], held)
            waiting = [item for item in needed if item.digest is not None]
            if not waiting:
                return
            size = sum(item.size for item in waiting)
            is_whole = whole is not None and len(held) == len(waiting) and len(whole) == size
            body = whole if is_whole and whole is not None else memoryview(b"".join(held[item] for item in waiting))
            if self._send_bundle(waiting, body):
                return
        for item in waiting:
            self._fail(item, "The server still asks for this file after it was sent several times.")

    def _ask(self, items: list[Item]) -> list[Item]:
        """Plan; return what has to be sent."""
        if not items:
            return []
        try:
            planned = self._target.plan(items)
        except Problem as error:
            self._refused(error, items)
            return self._ask([item for item in items if item.digest is not None])
        return [item for item, row in zip(items, planned, strict=True) if row["state"] != "stored"]

    def _read(self, items: list[Item], held: dict[Item, memoryview]) -> memoryview | None:
        """Read and hash files, into one piece of memory; return it when all of them could be read."""
        buffer = memoryview(bytearray(sum(item.size for item in items)))
        end = 0
        is_whole = True
        for item in items:
            part = buffer[end : end + item.size]
            end += item.size
            try:
                digest = read_whole(item.chunk.source(item.place), item.chunk.stats[item.place], part)
            except Unread as error:
                self._fail(item, str(error))
                is_whole = False
                continue
            if item.digest not in {None, digest}:
                self._fail(item, CHANGED)
                is_whole = False
                continue
            item.chunk.digests[item.place] = digest
            held[item] = part
        return buffer if is_whole else None

    def _send_bundle(self, items: list[Item], body: memoryview) -> bool:
        """Send small files back to back; False when they have to be planned again."""
        try:
            upload = self._target.create_bundle(items)
        except Problem as error:
            if error.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE and len(items) > 1:
                # This server's packs are smaller than usual.
                middle = len(items) // 2
                size = sum(item.size for item in items[:middle])
                first = self._send_bundle(items[:middle], body[:size])
                return self._send_bundle(items[middle:], body[size:]) and first
            if error.status == httpx.codes.CONFLICT:
                # Some are stored already: the answer to an earlier request was lost.
                return False
            raise
        try:
            self._target.append(upload, len(body), lambda start, length: [body[start : start + length]], 0)
        except Vanished:
            return False
        except Problem as error:
            return not self._refused(error, items)
        self._progress.moved(len(body))
        return True

    def _refused(self, problem: Problem, items: list[Item]) -> list[Item]:
        """Report the files that a refusal names, and return them; raise what names none of them."""
        reasons = {str(found["path"]): str(found.get("detail", "")) for found in problem.items if "path" in found}
        refused = [item for item in items if item.path in reasons]
        if not refused:
            raise problem
        for item in refused:
            self._fail(item, reasons[item.path])
        return refused

    def _fail(self, item: Item, reason: str) -> None:
        item.chunk.digests[item.place] = None
        self._report(item.chunk.source(item.place), reason, item.path)


def _blocks(parts: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """Cut large parts, so that none of them is copied whole on its way."""
    for part in parts:
        if len(part) <= BLOCK_BYTES:
            yield part  # type: ignore[misc]
            continue
        for start in range(0, len(part), BLOCK_BYTES):
            yield part[start : start + BLOCK_BYTES]  # type: ignore[misc]
