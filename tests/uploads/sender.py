"""A small uploader on Django's test client: speaks the public protocol alone."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.test import Client

from datasets_app.models import Role, Team, User, Version
from datasets_app.services.versions import run_seal
from datasets_app.services.walking import walk_files
from tests.factories import api_client, make_dataset, make_member, make_team

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Answer

TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = "application/offset+octet-stream"


def metadata(**values: object) -> str:
    """Encode an Upload-Metadata header."""
    return ",".join(f"{key} {base64.b64encode(str(value).encode()).decode()}" for key, value in values.items())


@dataclass
class Sender:
    """A writer of `team` who fills version 1 of the dataset `images`."""

    client: Client
    user: User
    team: Team
    number: int = 1

    @classmethod
    def create(cls) -> Sender:
        """Make the team, its writer, the dataset and the version."""
        team = make_team()
        user = make_member(team, Role.WRITER)
        make_dataset(team, "images")
        sender = cls(api_client(user), user, team)
        assert sender.post("", {}).status_code == 201
        return sender

    @property
    def base(self) -> str:
        """The address of the dataset's versions."""
        return f"/api/v1/teams/{self.team.name}/datasets/images/versions"

    @property
    def version(self) -> Version:
        """The row, as it is now."""
        return Version.objects.get(dataset__team=self.team, number=self.number)

    def post(self, what: str, body: Any = None) -> Answer:  # noqa: ANN401 - any JSON
        """Send JSON to one of the version's addresses; with none, start a version."""
        address = f"{self.base}/{self.number}/{what}" if what else self.base
        return self.client.post(address, body, content_type="application/json")

    def post_new(self, *, base: int) -> int:
        """Start another version on a sealed one; return its number."""
        answer = self.client.post(self.base, {"base": base}, content_type="application/json")
        assert answer.status_code == 201, answer.content
        return int(answer.json()["number"])

    def work(self) -> None:
        """Do what the worker would do after a seal was asked for."""
        run_seal(self.version.pk)

    def seal(self) -> None:
        """Seal the version and see that it has become available."""
        answer = self.post("seal")
        assert answer.status_code == 202, answer.content
        self.work()
        assert self.version.status == "available", self.version.error

    def paths(self) -> dict[str, int]:
        """Return path and size of every file of the sealed version."""
        root = self.version.root
        assert root is not None
        return {file.path: file.size for file in walk_files(root)}

    def plan(self, files: Mapping[str, bytes], *, hashed: bool = True) -> dict[str, dict[str, Any]]:
        """Declare the files; return the answer by path."""
        listed = [
            {"path": path, "size": len(data)} | ({"sha256": hashlib.sha256(data).hexdigest()} if hashed else {})
            for path, data in files.items()
        ]
        answer = self.post("plan", {"files": listed})
        assert answer.status_code == 200, answer.content
        return {item["path"]: item for item in answer.json()["files"]}

    def bundle(self, files: Mapping[str, bytes]) -> Answer:
        """Send planned files in one bundle; return the answer to its last byte."""
        created = self.post("bundles", {"paths": list(files)})
        assert created.status_code == 201, created.content
        return self.patch(created["Location"], 0, b"".join(files.values()))

    def create_upload(self, *, length: int, headers: Mapping[str, str] | None = None, **about: object) -> Answer:
        """Start a tus upload; `about` is its metadata besides team, dataset and version."""
        named = {"team": self.team.name, "dataset": "images", "version": self.number} | about
        return self.client.post(
            "/api/v1/tus",
            headers=TUS | {"Upload-Length": str(length), "Upload-Metadata": metadata(**named)} | dict(headers or {}),
        )

    def patch(self, url: str, offset: int, data: bytes, **headers: str) -> Answer:
        """Append to an upload; further headers as keywords, with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        # Django's client leaves out the type of an empty body, unless it is a header like others.
        about = TUS | {"Upload-Offset": str(offset), "Content-Type": OCTETS}
        return self.client.generic("PATCH", url, data, content_type=OCTETS, headers=about | named)

    def head(self, url: str) -> Answer:
        """Ask for an upload's offset."""
        return self.client.head(url, headers=TUS)

    def send(self, files: Mapping[str, bytes]) -> None:
        """Plan, and send what is needed in one bundle."""
        needed = {path: files[path] for path, item in self.plan(files).items() if item["state"] != "stored"}
        if needed:
            assert self.bundle(needed).status_code == 204
