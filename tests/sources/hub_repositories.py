"""What the Hub's double holds: repositories with commits, and tokens."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import Final

LFS_PATTERNS: Final = ("*.bin", "*.parquet", "*.safetensors", "*.jpg")


def git_sha1(data: bytes) -> str:
    """Return the object id that git gives to these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()  # noqa: S324


@dataclass(frozen=True)
class HubFile:
    """A file of a commit. `lfs` is its SHA-256 where its bytes lie outside of git."""

    data: bytes
    oid: str
    lfs: str = ""

    @property
    def entry(self) -> dict[str, object]:
        """The entry of the tree listing, without its path."""
        entry: dict[str, object] = {"type": "file", "oid": self.oid, "size": len(self.data)}
        if self.lfs:
            entry["lfs"] = {"oid": self.lfs, "size": len(self.data), "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class HubToken:
    """An access token. `repositories` (names, or namespaces) limits a fine-grained one; `reads_gated` is its switch."""

    value: str
    user: str
    role: str = "read"
    orgs: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    reads_gated: bool = True

    def covers(self, name: str) -> bool:
        """Whether a fine-grained token was made for this repository."""
        return self.role != "fineGrained" or bool({name, name.partition("/")[0]} & set(self.repositories))

    @property
    def whoami(self) -> dict[str, object]:
        """What `/api/whoami-v2` says."""
        access: dict[str, object] = {"displayName": "test", "role": self.role, "createdAt": "2025-01-01T00:00:00.000Z"}
        if self.role == "fineGrained":
            access["fineGrained"] = {
                "canReadGatedRepos": self.reads_gated,
                "global": [],
                "scoped": [
                    {
                        "entity": {"_id": "1", "type": "dataset" if "/" in name else "user", "name": name},
                        "permissions": ["repo.content.read"],
                    }
                    for name in self.repositories
                ],
            }
        return {
            "type": "user",
            "id": "1",
            "name": self.user,
            "fullname": self.user.title(),
            "orgs": [{"type": "org", "id": org, "name": org, "roleInOrg": "read"} for org in self.orgs],
            "auth": {"type": "access_token", "accessToken": access},
        }


@dataclass
class HubRepository:
    """A dataset or model repository (`kind` is "datasets" or "models"). Every commit stays readable.

    `gated` is False, "auto" or "manual"; `requests` holds who asked for access: "accepted", "pending" or "rejected".
    """

    kind: str
    name: str
    private: bool = False
    gated: bool | str = False
    disabled: bool = False
    lfs: tuple[str, ...] = LFS_PATTERNS
    requests: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, HubFile]] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes | None], *, branch: str = "main") -> str:
        """Add, replace or (None) remove files; return the commit. A new branch begins where main is."""
        start = self.branches.get(branch) or self.branches.get("main")
        tree = dict(self.commits[start]) if start else {}
        for path, data in files.items():
            if data is None:
                tree.pop(path, None)
            else:
                tree[path] = self._file(path, data)
        text = f"{self.name} {len(self.commits)} " + " ".join(f"{path} {file.oid}" for path, file in tree.items())
        sha = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324
        self.commits[sha] = tree
        self.branches[branch] = sha
        return sha

    def _file(self, path: str, data: bytes) -> HubFile:
        if not any(fnmatch(path, pattern) for pattern in self.lfs):
            return HubFile(data, git_sha1(data))
        digest = hashlib.sha256(data).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(data)}\n"
        return HubFile(data, git_sha1(pointer.encode()), digest)

    def resolve(self, revision: str) -> str | None:
        """Return the commit that a branch, tag, pull request's ref or commit stands for."""
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)

    def entries(self, sha: str, below: str = "", *, recursive: bool = True) -> list[dict[str, object]] | None:
        """Return the tree listing of a folder, sorted by path; None when there is no such folder."""
        prefix = f"{below}/" if below else ""
        found: dict[str, dict[str, object]] = {}
        for path, file in self.commits[sha].items():
            if not path.startswith(prefix):
                continue
            parts = path[len(prefix) :].split("/")
            for depth in range(1, len(parts) if recursive else min(len(parts), 2)):
                folder = prefix + "/".join(parts[:depth])
                found[folder] = {"type": "directory", "oid": git_sha1(folder.encode()), "size": 0, "path": folder}
            if recursive or len(parts) == 1:
                found[path] = {**file.entry, "path": path}
        if not found and below:
            return None
        return [found[path] for path in sorted(found)]

    def describe(self, sha: str, only: Iterable[str] = ()) -> dict[str, object]:
        """Return the repository's information at a commit, all of it or `only` some properties."""
        everything: dict[str, object] = {
            "author": self.name.split("/")[0],
            "sha": sha,
            "lastModified": "2025-01-01T00:00:00.000Z",
            "createdAt": "2025-01-01T00:00:00.000Z",
            "private": self.private,
            "gated": self.gated,
            "disabled": self.disabled,
            "downloads": 0,
            "likes": 0,
            "tags": [],
            "cardData": {},
            "siblings": [{"rfilename": path} for path in sorted(self.commits.get(sha, {}))],
        }
        wanted = list(only) or list(everything)
        return {"_id": "1", "id": self.name, **{name: everything[name] for name in wanted if name in everything}}
