"""The Python client: what the command does, for programs.

from flexai_cli import Client

client = Client()                                  # as `flexai auth login` saved it, or by FLEXAI_URL, FLEXAI_TOKEN
client.push("images", "data/train")
client.pull("images@3", "/tmp/images")
with client.open("images@3", "labels.csv") as file:
    ...
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from flexai_cli.labels import Label, parse_dataset, parse_label
from flexai_cli.manifest import Listed, read_manifest
from flexai_cli.progress import Progress
from flexai_cli.pull import Pull, PullOptions, PullResult, find_version
from flexai_cli.push import Push, PushOptions, PushResult
from flexai_cli.session import Session
from flexai_cli.settings import Login, find_login
from flexai_cli.teams import only_team

if TYPE_CHECKING:
    from flexai_cli.filesystem import FlexaiFile

StrPath = str | PathLike[str]
Json = dict[str, Any]


class Client:
    """A connection to one server, in one team. Threads may share it; close it, or use it as a context.

    Arguments win over FLEXAI_URL, FLEXAI_TOKEN and FLEXAI_TEAM, and these over what `flexai auth login` saved. Without
    a team, the only one that the token knows is taken. Errors are `flexai_cli.FlexaiError` and its children.
    """

    def __init__(self, url: str = "", token: str = "", team: str = "") -> None:
        login = find_login(url, token, team)
        self.session = Session(login)
        if not login.team:
            try:
                team = only_team(self.session, "Give team=, or set FLEXAI_TEAM")
            except BaseException:
                # Nobody else could.
                self.session.close()
                raise
            self.session.login = Login(login.url, login.token, team)
        self.datasets = Datasets(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections."""
        self.session.close()

    @property
    def team(self) -> str:
        """The team that names without one belong to."""
        return self.session.login.team

    def push(
        self,
        name: str,
        files: StrPath | Sequence[StrPath] | Mapping[str, StrPath],
        *,
        progress: Progress | None = None,
        **options: Any,
    ) -> PushResult:
        """Make a version of the dataset `name` out of files and folders; a mapping says where each one goes.

        `options` are those of `PushOptions`: exclude, message, base, seal, skip_failed, use_cache. Raises Incomplete,
        whose `items` name files, where some could not be taken.
        """
        label = parse_dataset(name)
        mappings: list[tuple[str, str | None]]
        if isinstance(files, Mapping):
            mappings = [(fspath(source), destination) for destination, source in files.items()]
        elif isinstance(files, str | PathLike):
            mappings = [(fspath(files), None)]
        else:
            mappings = [(fspath(source), None) for source in files]
        arguments = (mappings, PushOptions(**options), progress or Progress())
        return Push(self.session, self.team_of(label), label.dataset, *arguments).run()

    def pull(self, name: str, directory: StrPath, *, progress: Progress | None = None, **options: Any) -> PullResult:
        """Fetch `NAME[@VERSION]` into a folder. `options` are those of `PullOptions`: include, exclude, use_cache."""
        label = parse_label(name)
        arguments = (label, Path(directory), PullOptions(**options), progress or Progress())
        return Pull(self.session, self.team_of(label), *arguments).run()

    def versions(self, name: str) -> Iterator[Json]:
        """Every version of a dataset, the newest first, as the API describes it."""
        label = parse_dataset(name)
        return self.session.pages("teams", self.team_of(label), "datasets", label.dataset, "versions", limit=200)

    def version(self, name: str) -> Json:
        """Return `NAME[@VERSION]`, by default the latest that is available, as the API describes it."""
        label = parse_label(name)
        return find_version(self.session, self.team_of(label), label)

    def files(self, name: str) -> Iterator[Listed]:
        """Every file of `NAME[@VERSION]` (path, sha256, size), in tree order."""
        label, version = parse_label(name), self.version(name)
        return read_manifest(self.session, self.team_of(label), label.dataset, version["number"])

    def open(self, name: str, path: str, *, block_size: int | None = None) -> FlexaiFile:
        """Open a file of `NAME[@VERSION]` for reading bytes; it can seek, and fetches blocks as they are needed."""
        from flexai_cli.filesystem import FlexaiFileSystem

        label = parse_label(name)
        system = FlexaiFileSystem(client=self, skip_instance_cache=True)
        opened: FlexaiFile = system.open(f"{self.team_of(label)}/{label}/{path}", "rb", block_size=block_size)
        return opened

    def team_of(self, label: Label) -> str:
        """Return the team that a name means."""
        return label.team or self.team


class Datasets:
    """The datasets of the client's team, as the API describes them."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self, **filters: Any) -> Iterator[Json]:
        """Every dataset. Filters: search, status, tag, archived, sort."""
        return self._client.session.pages("teams", self._client.team, "datasets", **filters, limit=200)

    def get(self, name: str) -> Json:
        """Return one dataset."""
        found: Json = self._client.session.get(*self._parts(name))
        return found

    def create(self, name: str, *, description: str = "", tags: Sequence[str] = ()) -> Json:
        """Make an empty dataset."""
        label = parse_dataset(name)
        body = {"name": label.dataset, "description": description, "tags": list(tags)}
        made: Json = self._client.session.create("teams", self._client.team_of(label), "datasets", body=body)
        return made

    def update(self, name: str, *, description: str | None = None, tags: Sequence[str] | None = None) -> Json:
        """Change the description or the tags."""
        body = {"description": description, "tags": None if tags is None else [*tags]}
        changed: Json = self._client.session.send("PATCH", self._path(name), body=body).json()
        return changed

    def archive(self, name: str) -> None:
        """Set a dataset aside."""
        self._client.session.post(*self._parts(name), "archive")

    def unarchive(self, name: str) -> None:
        """Bring an archived dataset back."""
        self._client.session.post(*self._parts(name), "unarchive")

    def delete(self, name: str) -> None:
        """Move a dataset to the trash."""
        self._client.session.send("DELETE", self._path(name))

    def restore(self, name: str) -> None:
        """Bring a dataset back from the trash."""
        self._client.session.post(*self._parts(name), "restore")

    def _parts(self, name: str) -> tuple[str, ...]:
        label = parse_dataset(name)
        return ("teams", self._client.team_of(label), "datasets", label.dataset)

    def _path(self, name: str) -> str:
        return self._client.session.path(*self._parts(name))
