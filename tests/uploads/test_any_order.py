"""Whatever is done in whatever order: what was sealed reads back as a dict says it should."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field

import pytest

from datasets_app.models import Blob, Directory, StagedFile, Version
from datasets_app.services import content
from datasets_app.services.walking import walk_files
from tests.store.naive import digest_of
from tests.uploads.sender import TUS, Sender

pytestmark = pytest.mark.data_layer
NAMES = ["a", "a-b", "a.b", "b", "é", "deep", "Z"]
ROUNDS = 40


@dataclass
class Model:
    """What the open version will hold, and what every sealed one must hold for ever."""

    base: dict[str, bytes] = field(default_factory=dict)
    staged: dict[str, bytes] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    sealed: dict[int, dict[str, bytes]] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, bytes]:
        """The content that a seal would give now."""
        kept = {
            path: data
            for path, data in self.base.items()
            if path not in self.removed and not any(r.endswith("/") and path.startswith(r) for r in self.removed)
        }
        return kept | self.staged

    def remove(self, paths: list[str]) -> None:
        """Leave out of the base and of what was staged."""
        self.removed |= set(paths)
        for path in list(self.staged):
            if path in paths or any(p.endswith("/") and path.startswith(p) for p in paths):
                del self.staged[path]


@dataclass
class Player:
    """Does one random thing at a time, in the application and in the model."""

    sender: Sender
    model: Model
    chance: random.Random
    known: list[bytes] = field(default_factory=lambda: [b""])

    def some_bytes(self) -> bytes:
        """New bytes, or some that were there before."""
        if self.chance.random() < 0.4:
            return self.chance.choice(self.known)
        self.known.append(self.chance.randbytes(self.chance.choice([1, 10, 300, 5000])))
        return self.known[-1]

    def new_files(self, most: int) -> dict[str, bytes]:
        """Files that don't clash with each other or with what the version holds."""
        files: dict[str, bytes] = {}
        for _ in range(self.chance.randint(1, most)):
            path = "/".join(self.chance.choices(NAMES, k=self.chance.randint(1, 3)))
            taken = [*files, *self.model.files]
            if not any(other.startswith(f"{path}/") or path.startswith(f"{other}/") for other in taken):
                files[path] = self.some_bytes()
        return files

    def send_bundle(self) -> None:
        """Plan with digests and send what is needed in one bundle."""
        files = self.new_files(12)
        if files:
            self.sender.send(files)
            self.model.staged |= files

    def send_without_digests(self) -> None:
        """The same where the client has not hashed."""
        files = {path: data for path, data in self.new_files(5).items() if path not in self.model.staged}
        if not files:
            return
        needed = [p for p, item in self.sender.plan(files, hashed=False).items() if item["state"] != "stored"]
        assert self.sender.bundle({path: files[path] for path in needed}).status_code == 204
        self.model.staged |= files

    def send_by_tus(self) -> None:
        """One file by tus alone, in pieces."""
        for path, data in list(self.new_files(2).items())[:1]:
            created = self.sender.create_upload(length=len(data), path=path)
            url, offset = created["Location"], 0
            while offset < len(data):
                piece = data[offset : offset + self.chance.randint(1, 2000)]
                assert self.sender.patch(url, offset, piece).status_code == 204
                offset += len(piece)
            self.model.staged[path] = data

    def break_off(self) -> None:
        """Begin, and leave it: declared files without bytes have to be removed before the seal."""
        for path, data in list(self.new_files(2).items())[:1]:
            if len(data) < 2 or path in self.model.staged:
                continue
            url = self.sender.create_upload(length=len(data), path=path)["Location"]
            assert self.sender.patch(url, 0, data[:-1]).status_code == 204
            assert self.sender.post("seal").status_code == 409
            if self.chance.random() < 0.5:
                assert self.sender.client.delete(url, headers=TUS).status_code == 204
            self.remove_these([path])

    def send_wrong_bytes(self) -> None:
        """Another file than declared: refused, and then sent rightly."""
        for path, data in list(self.new_files(2).items())[:1]:
            wrong = data[:-1] + bytes([data[-1] ^ 1]) if data else b""
            if not data or self.sender.plan({path: data})[path]["state"] == "stored":
                self.sender.send({path: data})
            else:
                assert self.sender.bundle({path: wrong}).status_code == 460
                self.sender.send({path: data})
            self.model.staged[path] = data

    def remove_some(self) -> None:
        """Leave out files, now and then whole folders, and what never was there."""
        paths = self.chance.sample(sorted(self.model.files), min(3, len(self.model.files)))
        folders = [f"{path.rpartition('/')[0]}/" for path in paths if "/" in path and self.chance.random() < 0.3]
        self.remove_these([*paths, *folders, "never/was", "never/"])

    def remove_these(self, paths: list[str]) -> None:
        """Leave these paths out."""
        assert self.sender.post("remove", {"paths": paths}).status_code == 200
        self.model.remove(paths)

    def seal(self) -> None:
        """Seal, check nothing yet, and start the next version on one that is sealed."""
        if not self.model.files:
            return
        self.sender.seal()
        self.model.sealed[self.sender.number] = self.model.files
        base = self.chance.choice([*self.model.sealed, None])
        answer = self.sender.client.post(self.sender.base, {"base": base}, content_type="application/json")
        self.sender.number = answer.json()["number"]
        self.model.base = self.model.sealed[base] if base else {}
        self.model.staged, self.model.removed = {}, set()


def read(version: Version) -> dict[str, bytes]:
    assert version.root is not None
    blobs = {blob.pk: blob for blob in Blob.objects.select_related("pack")}
    return {file.path: b"".join(content.read_blob(blobs[file.blob_id])) for file in walk_files(version.root)}


@pytest.mark.parametrize("seed", range(3))
def test_it_works(sender: Sender, seed: int) -> None:
    chance = random.Random(seed)
    player = Player(sender, Model(), chance)
    acts = [player.send_bundle, player.send_without_digests, player.send_by_tus, player.break_off]
    acts += [player.send_wrong_bytes, player.remove_some, player.seal, player.seal]
    for _ in range(ROUNDS):
        chance.choice(acts)()
    player.send_bundle()
    player.seal()
    assert len(player.model.sealed) > 2
    for number, files in player.model.sealed.items():
        version = Version.objects.get(number=number)
        assert version.digest == digest_of(files)
        assert read(version) == files
        assert (version.file_count, version.size) == (len(files), sum(map(len, files.values())))
    assert not StagedFile.objects.filter(version__status="available").exists()
    assert not Directory.objects.filter(closed=False).exists()
    for blob in Blob.objects.select_related("pack"):
        assert hashlib.sha256(b"".join(content.read_blob(blob))).digest() == bytes(blob.sha256)
