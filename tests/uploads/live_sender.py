"""A client of a real server that never gives up: it goes on from the offset that HEAD reports, as the protocol asks."""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.servers import LiveApplication
from tests.uploads.sender import OCTETS, TUS, metadata

SMALL_BYTES = 200_000
PIECE_BYTES = 150_000
# Without a start of the application in between: where it is killed again and again, each start begins anew.
PATIENCE_SECONDS = 90
# Gateway trouble, another request that is not known to be dead yet, and a database that is busy.
TRY_AGAIN = {423, 502, 503, 504}


@dataclass
class LiveSender:
    """Sends versions of the dataset `name`; remembers what the server has acknowledged, and holds it to that."""

    application: LiveApplication
    name: str
    chance: random.Random
    acknowledged: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    on_trouble: Callable[[], None] = lambda: None

    @classmethod
    def for_test(cls, application: LiveApplication, name: str) -> LiveSender:
        """Make a dataset of the test's own on a server that several share."""
        sender = cls(application, re.sub("[^a-z0-9]+", "-", name)[-60:].strip("-"), random.Random(1))
        sender.create_dataset()
        return sender

    def __post_init__(self) -> None:
        """Open a connection that is kept."""
        self._http = requests.Session()
        self._http.headers["Authorization"] = f"Bearer {self.application.token}"

    @property
    def datasets(self) -> str:
        """The address of the team's datasets."""
        return f"/api/v1/teams/{self.application.team}/datasets"

    @property
    def versions(self) -> str:
        """The address of the dataset's versions."""
        return f"{self.datasets}/{self.name}/versions"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request again and again until the server answers; no answer may be a server error."""
        began = time.monotonic()
        while True:
            try:
                answer = self.once(method, path, **options)
            except requests.RequestException:
                if self.is_late(began):
                    raise
                self.retries += 1
                self.on_trouble()
                time.sleep(0.05)
                continue
            if answer.status_code not in TRY_AGAIN or self.is_late(began):
                assert answer.status_code < 500, f"{method} {path}: {answer.text}"
                return answer
            time.sleep(0.05)

    def is_late(self, began: float) -> bool:
        """Tell whether something that began then should have come to its end, if it ever does."""
        return time.monotonic() > max(began, self.application.ready_at) + PATIENCE_SECONDS

    def once(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request once."""
        return self._http.request(method, self.application.url + path, timeout=60, **options)

    def create_dataset(self) -> None:
        """Make the dataset."""
        assert self.call("POST", self.datasets, json={"name": self.name}).status_code in {201, 409}

    def create_version(self, base: int | None = None) -> int:
        """Start a version; one whose answer was lost stays behind, empty."""
        answer = self.call("POST", self.versions, json={"base": base})
        assert answer.status_code == 201, answer.text
        return int(answer.json()["number"])

    def fill(self, number: int, files: Mapping[str, bytes]) -> None:
        """Send the files until a plan says that all are stored."""
        listed = [
            {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in files.items()
        ]
        began = time.monotonic()
        while True:
            assert not self.is_late(began), f"{self.name}@{number} is not filled"
            answer = self.call("POST", f"{self.versions}/{number}/plan", json={"files": listed})
            assert answer.status_code == 200, answer.text
            missing = [item for item in answer.json()["files"] if item["state"] != "stored"]
            if not missing:
                return
            small = [item["path"] for item in missing if len(files[item["path"]]) < SMALL_BYTES]
            if small:
                self._send_bundle(number, {path: files[path] for path in small})
            for item in missing:
                if item["path"] not in small:
                    self._send_file(number, item["path"], files[item["path"]], item["upload"])

    def seal(self, number: int) -> dict[str, Any]:
        """Ask for the seal until it is under way; return the version once it is available."""
        began = time.monotonic()
        while True:
            version: dict[str, Any] = self.call("GET", f"{self.versions}/{number}").json()
            assert version["status"] != "error", version["error"]
            if version["status"] == "available":
                return version
            if version["status"] == "uploading":
                answer = self.call("POST", f"{self.versions}/{number}/seal")
                assert answer.status_code in {202, 409}, answer.text
            assert not self.is_late(began), f"{self.name}@{number} is {version['status']} for too long"
            time.sleep(0.05)

    def bring(self, number: int, connection: str, source_path: str) -> dict[str, Any]:
        """Import into an open version; return it once it is available."""
        began = time.monotonic()
        asked = {"connection": connection, "source_path": source_path}
        # 409: it is under way, or over, but its answer was lost.
        answer = self.call("POST", f"{self.versions}/{number}/import", json=asked)
        assert answer.status_code in {202, 409}, answer.text
        while True:
            version: dict[str, Any] = self.call("GET", f"{self.versions}/{number}").json()
            if version["status"] == "available":
                return version
            assert version["status"] in {"syncing", "pending"}, version
            assert not self.is_late(began), f"{self.name}@{number} is {version['status']} for too long"
            time.sleep(0.1)

    def _send_bundle(self, number: int, files: Mapping[str, bytes]) -> None:
        created = self.call("POST", f"{self.versions}/{number}/bundles", json={"paths": list(files)})
        # 409: a bundle whose last answer was lost has stored some of them.
        if created.status_code == 201:
            self._append(created.headers["Location"], b"".join(files.values()))
        else:
            assert created.status_code == 409, created.text

    def _send_file(self, number: int, path: str, data: bytes, url: str | None) -> None:
        if url is None:
            about = metadata(
                team=self.application.team,
                dataset=self.name,
                version=number,
                path=path,
                sha256=hashlib.sha256(data).hexdigest(),
            )
            headers = TUS | {"Upload-Length": str(len(data)), "Upload-Metadata": about}
            created = self.call("POST", "/api/v1/tus", headers=headers)
            assert created.status_code == 201, created.text
            url = created.headers["Location"]
        self._append(url, data)

    def _append(self, url: str, data: bytes) -> None:
        began = time.monotonic()
        while True:
            assert not self.is_late(began), f"{url} does not come to its end"
            asked = self.call("HEAD", url, headers=TUS)
            # 410 would be a loss too: nobody ended it.
            assert asked.status_code == 200, asked.status_code
            offset = int(asked.headers["Upload-Offset"])
            before = self.acknowledged.get(url, 0)
            assert offset >= before, f"{before} bytes were acknowledged, {offset} are left"
            if offset == len(data):
                return
            while offset < len(data):
                try:
                    offset = self._patch(url, offset, data)
                except requests.RequestException:
                    self.retries += 1
                    self.on_trouble()
                    time.sleep(0.05)
                    break
                if offset < 0:
                    break
            else:
                return

    def _patch(self, url: str, offset: int, data: bytes) -> int:
        """Send one piece; return the new offset, or -1 where the server's has to be asked for."""
        piece = data[offset : offset + self.chance.randint(1, PIECE_BYTES)]
        answer = self.once(
            "PATCH", url, data=piece, headers=TUS | {"Upload-Offset": str(offset), "Content-Type": OCTETS}
        )
        if answer.status_code != 204:
            # 409: bytes of a request that died arrived after HEAD was answered.
            assert answer.status_code in {409, *TRY_AGAIN}, answer.text
            time.sleep(0.02)
            return -1
        reached = int(answer.headers["Upload-Offset"])
        assert offset < reached <= offset + len(piece)
        self.acknowledged[url] = reached
        return reached
