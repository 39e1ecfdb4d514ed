"""A small uploader on the public API alone: `python -m benchmarks.client --help` tells how to run it.

A few processes share the work. Each reads a batch of small files once, hashes it, plans it, and sends what the server
needs as one bundle; a large file is hashed, planned, and sent by tus in pieces, out of the page cache.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

MIB = 2**20
LARGE_BYTES = 8 * MIB
BUNDLE_BYTES = 16 * MIB
BUNDLE_FILES = 1000
PIECE_BYTES = 64 * MIB
POLL_SECONDS = 0.02
TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = TUS | {"Content-Type": "application/offset+octet-stream"}


class LocalFile(NamedTuple):
    """A file to bring in: its path in the version, where it is on this disk, its size in bytes."""

    path: str
    source: str
    size: int


@dataclass(frozen=True)
class Target:
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


@dataclass
class Outcome:
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


class Api:
    """One kept-alive connection to the server."""

    def __init__(self, target: Target) -> None:
        parts = urlsplit(target.url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=600)
        self._headers = {"Authorization": f"Bearer {target.token}"}

    def call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:  # noqa: ANN401
        """Send JSON, return the answer's JSON, or its headers where it has no body."""
        data = b"" if body is None else json.dumps(body).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(method, path, data, self._headers | kind | (headers or {}))
            return self._answer()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # The server ends connections that were idle for half a minute, as they are while we hash.
            self._connection.close()
            self._connection.request(method, path, data, self._headers | kind | (headers or {}))
            return self._answer()

    def patch(self, path: str, offset: int, pieces: list[memoryview]) -> None:
        """Send bytes out of memory."""
        self._begin_patch(path, offset, sum(len(piece) for piece in pieces))
        for piece in pieces:
            self._connection.send(piece)
        self._answer()

    def patch_file(self, path: str, offset: int, source: Path, length: int) -> None:
        """Send a range of a file without bringing it into this process."""
        with source.open("rb") as file:
            self._begin_patch(path, offset, length)
            self._connection.sock.sendfile(file, offset, length)
        self._answer()

    def _begin_patch(self, path: str, offset: int, length: int) -> None:
        self._connection.putrequest("PATCH", path)
        about = self._headers | OCTETS | {"Upload-Offset": str(offset), "Content-Length": str(length)}
        for name, value in about.items():
            self._connection.putheader(name, value)
        self._connection.endheaders()

    def _answer(self) -> Any:  # noqa: ANN401
        response = self._connection.getresponse()
        data = response.read()
        if response.status >= 400:
            raise ApiError(f"{response.status}: {data.decode(errors='replace')[:2000]}")
        return json.loads(data) if data.startswith((b"{", b"[")) else dict(response.headers)


@dataclass
class Worker:
    """One process's part."""

    target: Target
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        """Connect once; the server keeps its running hash of a large file in the process that we talk to."""
        self.api = Api(self.target)

    def send(self, files: list[LocalFile]) -> int:
        """Bring in one batch, which is one large file or many small ones; return the bytes sent."""
        if len(files) == 1 and files[0].size >= LARGE_BYTES:
            return self._send_large(files[0])
        return self._send_bundle(files)

    def _plan(self, files: list[LocalFile], digests: list[str]) -> list[dict[str, Any]]:
        rows = [{"path": f.path, "size": f.size, "sha256": d} for f, d in zip(files, digests, strict=True)]
        planned: list[dict[str, Any]] = self.api.call("POST", f"{self.target.version}/plan", {"files": rows})["files"]
        return planned

    def _send_bundle(self, files: list[LocalFile]) -> int:
        body = memoryview(bytearray(sum(file.size for file in files)))
        slices, digests, end = [], [], 0
        for file in files:
            part = body[end : end + file.size]
            descriptor = os.open(file.source, os.O_RDONLY)
            if os.readv(descriptor, [part]) != file.size:
                raise ApiError(f"{file.source} changed while it was read")
            os.close(descriptor)
            digests.append(hashlib.sha256(part).hexdigest())
            slices.append(part)
            end += file.size
        states = [row["state"] for row in self._plan(files, digests)]
        needed = [index for index, state in enumerate(states) if state != "stored"]
        if not needed:
            return 0
        paths = [files[index].path for index in needed]
        upload = self.api.call("POST", f"{self.target.version}/bundles", {"paths": paths})["location"]
        pieces = [body] if len(needed) == len(files) else [slices[index] for index in needed]
        self.api.patch(upload, 0, pieces)
        return sum(files[index].size for index in needed)

    def _send_large(self, file: LocalFile) -> int:
        source = Path(file.source)
        with source.open("rb", buffering=0) as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        (row,) = self._plan([file], [digest])
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


_worker: Worker | None = None


def _start_worker(target: Target) -> None:
    global _worker  # noqa: PLW0603 - one for each process of the pool
    _worker = Worker(target)


def _run(batch: list[LocalFile]) -> int:
    if _worker is None:
        raise RuntimeError("the pool was not started with _start_worker")
    return _worker.send(batch)


def cpu_seconds() -> float:
    """User and system time of this process and its ended children."""
    uses = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def upload_folder(target: Target, folder: Path, *, streams: int) -> Outcome:
    """Make a new version of the dataset out of `folder`; return once it is available."""
    started = time.perf_counter()
    api = Api(target)
    number = api.call("POST", target.versions, {"message": folder.name})["number"]
    target = Target(target.url, target.token, target.team, target.dataset, number)
    files = sorted(walk(folder))
    context = multiprocessing.get_context("fork")
    with context.Pool(streams, _start_worker, (target,)) as pool:
        sent = sum(pool.imap_unordered(_run, batches(files)))
        pool.close()
        pool.join()
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
    try:
        Api(target).call("POST", f"/api/v1/teams/{target.team}/datasets", {"name": target.dataset})
    except ApiError as error:
        if not str(error).startswith("409"):
            sys.exit(str(error))
    print(json.dumps(asdict(upload_folder(target, chosen.folder, streams=chosen.streams))))


if __name__ == "__main__":
    main()
