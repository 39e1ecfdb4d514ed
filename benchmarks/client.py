"""A small uploader on the public API alone: `python -m benchmarks.client --help` tells how to run it.

A few processes share the work. Each reads a batch of small files once, hashes it, plans it, and sends what the server
needs as one bundle; a large file is hashed, planned, and sent by tus in pieces, out of the page cache.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import mmap
import os
import resource
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MIB = 2**20
LARGE_BYTES = 8 * MIB
BUNDLE_BYTES = 16 * MIB
BUNDLE_FILES = 1000
PIECE_BYTES = 64 * MIB
POLL_SECONDS = 0.01
RECEIVED_BYTES = 256 * 1024
NUMBER_BYTES = 8
TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = TUS | {"Content-Type": "application/offset+octet-stream"}


class LocalFile(NamedTuple):
    """A file to bring in: its path in the version, where it is on this disk, its size in bytes."""

    path: str
    source: str
    size: int


class Target(NamedTuple):
    """Where to: the server, and one version of a dataset."""

    url: str
    token: str
    team: str
    dataset: str
    number: int = 0

    @property
    def versions(self) -> str:
        """Address of the dataset's versions."""
        return f"/api/v1/teams/{self.team}/datasets/{self.dataset}/versions"

    @property
    def version(self) -> str:
        """Address of this version."""
        return f"{self.versions}/{self.number}"


class Outcome(NamedTuple):
    """What one upload took. `sent_bytes` are bytes of files; seconds are wall time, CPU those of all our processes."""

    digest: str
    files: int
    size: int
    sent_bytes: int
    seconds: float
    sealed_after: float
    cpu_seconds: float


class ApiError(Exception):
    """The server refused a request."""


class AlreadyThereError(ApiError):
    """It was refused because of what is there."""


class Api:
    """One kept-alive connection to the server, over a plain socket: http.client takes 20 ms to load alone."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._always = f"Host: {parts.netloc}\r\nAuthorization: Bearer {target.token}\r\n"
        self._socket = self._connect()

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:  # noqa: ANN401
        """Send JSON, return the answer's JSON, or its headers where it has no body."""
        self.ask(method, path, body, headers)
        try:
            return self.answer()
        except ConnectionError:
            # The server ends connections that were idle for half a minute, as they are while we hash.
            self._socket = self._connect()
            self.ask(method, path, body, headers)
            return self.answer()

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> None:  # noqa: ANN401
        """Send JSON; what the server says to it, `answer` tells later."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        with suppress(ConnectionError):
            self._send_head(method, path, len(data), kind | (headers or {}), data)

    def patch(self, path: str, offset: int, pieces: list[memoryview]) -> None:
        """Send bytes out of memory."""
        self._send_head("PATCH", path, sum(map(len, pieces)), OCTETS | {"Upload-Offset": str(offset)})
        for piece in pieces:
            self._socket.sendall(piece)
        self.answer()

    def patch_file(self, path: str, offset: int, source: Path, length: int) -> None:
        """Send a range of a file without bringing it into this process."""
        self._send_head("PATCH", path, length, OCTETS | {"Upload-Offset": str(offset)})
        with source.open("rb") as file:
            self._socket.sendfile(file, offset, length)
        self.answer()

    def answer(self) -> Any:  # noqa: ANN401
        """Read one answer; ApiError for a refusal, ConnectionError when the server has gone away."""
        received = bytearray()
        while (end := received.find(b"\r\n\r\n")) < 0:
            self._receive(received)
        status, *lines = received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = received[end + 4 :]
        while len(body) < int(headers.get("content-length", 0)):
            self._receive(body)
        code = int(status.split()[1])
        if code >= 400:
            kind = AlreadyThereError if code == 409 else ApiError
            raise kind(f"{code}: {body.decode(errors='replace')[:2000]}")
        return json.loads(body) if body else headers

    def _connect(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=600)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def _send_head(self, method: str, path: str, length: int, headers: dict[str, str], body: bytes = b"") -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\n{self._always}{lines}Content-Length: {length}\r\n\r\n"
        self._socket.sendall(head.encode() + body)

    def _receive(self, into: bytearray) -> None:
        data = self._socket.recv(RECEIVED_BYTES)
        if not data:
            raise ConnectionResetError("The server closed the connection")
        into += data


class Worker:
    """One process's part."""

    def __init__(self, target: Target, number: Callable[[], int | None]) -> None:
        """Connect once; the server keeps its running hash of a large file in the process that we talk to.

        `number` is asked once, when that of the version is needed.
        """
        self._target = target
        self._number = number
        self.api = Api(target)
        # Used for every bundle: fresh memory costs as much as hashing a third of it, less so in large pages.
        room = mmap.mmap(-1, BUNDLE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        room.madvise(mmap.MADV_HUGEPAGE)
        self._room = memoryview(room)

    def send(self, files: list[LocalFile]) -> int:
        """Bring in one batch, which is one large file or many small ones; return the bytes sent."""
        if len(files) == 1 and files[0].size >= LARGE_BYTES:
            return self._send_large(files[0])
        return self._send_bundle(files)

    @cached_property
    def target(self) -> Target:
        """The version that is being filled."""
        number = self._number()
        if number is None:
            raise ApiError("There is no version to fill.")
        return self._target._replace(number=number)

    def _plan(self, files: list[LocalFile], digests: list[str], *, bundle: bool = False) -> dict[str, Any]:
        rows = [{"path": f.path, "size": f.size, "sha256": d} for f, d in zip(files, digests, strict=True)]
        plan = {"files": rows, "bundle": bundle}
        planned: dict[str, Any] = self.api.call("POST", f"{self.target.version}/plan", plan)
        return planned

    def _send_bundle(self, files: list[LocalFile]) -> int:
        slices, digests, end = [], [], 0
        for file in files:
            part = self._room[end : end + file.size]
            descriptor = os.open(file.source, os.O_RDONLY)
            if os.readv(descriptor, [part]) != file.size:
                raise ApiError(f"{file.source} changed while it was read")
            os.close(descriptor)
            digests.append(hashlib.sha256(part).hexdigest())
            slices.append(part)
            end += file.size
        planned = self._plan(files, digests, bundle=True)
        if planned["bundle"] is None:
            return 0
        size: int = planned["bundle"]["size"]
        needed = [part for part, row in zip(slices, planned["files"], strict=True) if row["state"] == "needed"]
        self.api.patch(planned["bundle"]["upload"], 0, [self._room[:end]] if size == end else needed)
        return size

    def _send_large(self, file: LocalFile) -> int:
        source = Path(file.source)
        with source.open("rb", buffering=0) as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        (row,) = self._plan([file], [digest])["files"]
        if row["state"] == "stored":
            return 0
        start = row["offset"] or 0
        upload = row["upload"] or self._create(file, digest)
        for offset in range(start, file.size, PIECE_BYTES):
            self.api.patch_file(upload, offset, source, min(PIECE_BYTES, file.size - offset))
        return file.size - start

    def _create(self, file: LocalFile, digest: str) -> str:
        about = {
            "team": self.target.team,
            "dataset": self.target.dataset,
            "version": str(self.target.number),
            "path": file.path,
            "sha256": digest,
        }
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in about.items())
        headers = TUS | {"Upload-Length": str(file.size), "Upload-Metadata": metadata}
        location: str = self.api.call("POST", "/api/v1/tus", headers=headers)["location"]
        return location


def walk(folder: Path, prefix: str = "") -> Iterator[LocalFile]:
    """Every file below `folder`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from walk(Path(entry.path), f"{prefix}{entry.name}/")
            else:
                yield LocalFile(prefix + entry.name, entry.path, entry.stat().st_size)


def batches(files: list[LocalFile]) -> Iterator[list[LocalFile]]:
    """Cut the work: large files alone, small ones up to what a bundle takes."""
    batch: list[LocalFile] = []
    size = 0
    for file in files:
        if file.size >= LARGE_BYTES:
            yield [file]
            continue
        if batch and (len(batch) == BUNDLE_FILES or size + file.size > BUNDLE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


class Crew:
    """Processes that share the batches: each takes the next when it is done with one.

    They read and hash their first one while the version is being made; `go` tells them its number.
    """

    def __init__(self, target: Target, work: list[list[LocalFile]], processes: int) -> None:
        self._later = range(min(processes, len(work)), len(work))
        # The version's number for each of them, numbers of batches for whoever is ready, and the bytes that each sent.
        self._version, self._todo, self._sent = os.pipe(), os.pipe(), os.pipe()
        self._children = [self._fork(target, work, first) for first in range(self._later.start)]
        for unused in self._version[0], self._todo[0], self._sent[1]:
            os.close(unused)

    def go(self, number: int) -> int:
        """Let them send; return the bytes sent."""
        # A pipe gives each number to one reader, and whole: it is that short.
        for pipe, some in (self._version, (number for _ in self._children)), (self._todo, self._later):
            with suppress(BrokenPipeError), os.fdopen(pipe[1], "wb", buffering=0) as numbers:
                for each in some:
                    numbers.write(each.to_bytes(NUMBER_BYTES))
        failed = [child for child in self._children if os.waitpid(child, 0)[1]]
        with os.fdopen(self._sent[0], "rb") as sums:
            sent = sum(int.from_bytes(sums.read(NUMBER_BYTES)) for _ in range(len(self._children) - len(failed)))
        if failed:
            raise ApiError(f"{len(failed)} of {len(self._children)} processes failed; what they said stands above")
        return sent

    def _fork(self, target: Target, work: list[list[LocalFile]], first: int) -> int:
        child = os.fork()
        if child:
            return child
        try:
            for ours in self._version[1], self._todo[1]:
                os.close(ours)
            worker = Worker(target, lambda: _read_number(self._version[0]))
            sent = worker.send(work[first])
            while (number := _read_number(self._todo[0])) is not None:
                sent += worker.send(work[number])
            os.write(self._sent[1], sent.to_bytes(NUMBER_BYTES))
        except (ApiError, OSError):
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


def _read_number(pipe: int) -> int | None:
    data = os.read(pipe, NUMBER_BYTES)
    return int.from_bytes(data) if data else None


def cpu_seconds() -> float:
    """User and system time of this process and its ended children."""
    uses = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def upload_folder(target: Target, folder: Path, *, streams: int) -> Outcome:
    """Make a new version of the dataset out of `folder`, and the dataset if need be; return once it is available."""
    started = time.perf_counter()
    api = Api(target)
    # Answered while we look around in the folder.
    api.ask("POST", f"/api/v1/teams/{target.team}/datasets", {"name": target.dataset})
    crew = Crew(target, list(batches(sorted(walk(folder)))), streams)
    with suppress(AlreadyThereError):
        api.answer()
    target = target._replace(number=api.call("POST", target.versions, {"message": folder.name})["number"])
    sent = crew.go(target.number)
    sealing = time.perf_counter()
    version = api.call("POST", f"{target.version}/seal")
    while version["status"] == "pending":
        time.sleep(POLL_SECONDS)
        version = api.call("GET", target.version)
    if version["status"] != "available":
        raise ApiError(f"{version['status']}: {version['error']}")
    ended = time.perf_counter()
    return Outcome(
        digest=version["digest"],
        files=version["file_count"],
        size=version["size"],
        sent_bytes=sent,
        seconds=ended - started,
        sealed_after=ended - sealing,
        cpu_seconds=cpu_seconds(),
    )


def main() -> None:
    """Upload one folder and print the outcome as a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--team", required=True)
    parser.add_argument("--dataset", required=True, help="made when it is not there")
    parser.add_argument("--streams", type=int, default=4, help="processes, each with one connection")
    chosen = parser.parse_args()
    target = Target(chosen.url, chosen.token, chosen.team, chosen.dataset)
    print(json.dumps(upload_folder(target, chosen.folder, streams=chosen.streams)._asdict()))


if __name__ == "__main__":
    main()
