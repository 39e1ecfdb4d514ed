"""The Hugging Face Hub as a source, against a double of it."""

from collections.abc import Mapping

import pytest

from datasets_app.sources.base import Route, Settings, Source
from datasets_app.sources.registry import PROVIDERS
from tests.sources.contract import Remote, SourceContract
from tests.sources.doubles import hub
from tests.sources.hub_double import Hub

__all__ = ["hub"]

TOKEN = "hf_test"


def connect(hub: Hub, route: Route, token: str = "") -> Source:
    """Connect as the form would."""
    provider = PROVIDERS["huggingface"]
    secrets = {"token": token} if token else {}
    return provider.connect(provider.clean(Settings({"endpoint": hub.url}, secrets)), route)


class HubRemote(Remote):
    """A repository; every change of it is a commit."""

    missing_path = "ada/there-is-no-such-repository"
    is_pinned = True

    def __init__(self, hub: Hub, source: Source, *, kind: str = "datasets") -> None:
        self.source = source
        self.repository = hub.add_repository("ada/cats", kind=kind)
        self.path = "ada/cats" if kind == "datasets" else "models/ada/cats"

    def put(self, files: Mapping[str, bytes]) -> None:
        """Commit files."""
        self.repository.commit(files)

    def remove(self, path: str) -> None:
        """Commit their removal."""
        self.repository.commit({path: None})


class TestDataset(SourceContract):
    """A public dataset without a token, directly."""

    @pytest.fixture
    def remote(self, hub: Hub) -> Remote:
        return HubRemote(hub, connect(hub, Route()))


class TestModel(SourceContract):
    """A private model with a token, through the guard."""

    @pytest.fixture
    def remote(self, hub: Hub, guarded_route: Route) -> Remote:
        hub.add_token(TOKEN)
        remote = HubRemote(hub, connect(hub, guarded_route, TOKEN), kind="models")
        remote.repository.private = True
        return remote
