"""Source paths of the Hugging Face Hub: `org/repository`, with a folder or a file behind it."""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from datasets_app.sources.base import Cause, SourceError

PATH_HELP: Final = "org/repository or org/repository/folder of a dataset; models/org/repository of a model"
# How the Hub calls the two kinds in addresses; a source path names only the second.
DATASETS: Final = "datasets"
MODELS: Final = "models"


class Place(NamedTuple):
    """A repository, and what is meant of it: `below` is a folder's or a file's path, surely a folder's if `is_folder`.

    `name` may also be a namespace alone, or empty: the browser walks these.
    """

    kind: str
    name: str
    below: str = ""
    is_folder: bool = False

    @property
    def is_repository(self) -> bool:
        """Whether a repository is named, and not only who owns some."""
        return "/" in self.name

    @property
    def path(self) -> str:
        """The source path of the repository."""
        return f"{MODELS}/{self.name}" if self.kind == MODELS else self.name

    @property
    def shown(self) -> str:
        """The repository in words."""
        return f"the {self.kind.removesuffix('s')} repository {self.name}"

    @property
    def api(self) -> str:
        """Where the Hub's API has it, below its endpoint."""
        return f"/api/{self.kind}/{quote(self.name)}"

    @property
    def page(self) -> str:
        """Where people see it, below the Hub's endpoint."""
        return f"/{self.name}" if self.kind == MODELS else f"/{DATASETS}/{self.name}"


def read_place(path: str) -> Place:
    """Take a source path apart. Raises SourceError (INVALID) for what can't be one."""
    if "://" in path:
        raise SourceError(Cause.INVALID, f"Give the name instead of the address: {PATH_HELP}.")
    parts = path.strip("/").split("/")
    kind = DATASETS
    if parts[0] in {DATASETS, MODELS}:
        kind = parts.pop(0)
    name = "/".join(parts[:2])
    try:
        if name:
            validate_repo_id(name)
    except HFValidationError as error:
        raise SourceError(Cause.INVALID, f"{name} can't be the name of a repository. Write {PATH_HELP}.") from error
    return Place(kind, name, "/".join(parts[2:]), is_folder=path.endswith("/"))


def read_repository(path: str) -> Place:
    """Take apart a source path that has to name a repository."""
    place = read_place(path)
    if not place.is_repository:
        raise SourceError(Cause.INVALID, f"A source path names a repository: {PATH_HELP}.")
    return place


def find_problem(path: str) -> str:
    """Say why a listed path can't be asked for; empty when it can. Git has no such paths, but a server may say so."""
    if any(part in {"", ".", ".."} for part in path.split("/")):
        return 'Its path has a part that is empty, "." or "..", which gets lost on the way to the Hub.'
    return ""
