"""The Hub's double answers as the Hub does: huggingface_hub itself understands it."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile

from tests.sources.doubles import hub
from tests.sources.hub_double import Hub

__all__ = ["hub"]


def test_it_works(hub: Hub, tmp_path: Path) -> None:
    files = {"README.md": b"# Cats", "data/one.bin": b"x" * 1000, "data/two three.txt": b"yy"}
    repository = hub.add_repository("ada/cats", files)
    api = HfApi(endpoint=hub.url, token=False)
    assert api.dataset_info("ada/cats").sha == repository.branches["main"]
    hub.page_files = 2
    listed = api.list_repo_tree("ada/cats", recursive=True, repo_type="dataset")
    found = {entry.path: entry for entry in listed if isinstance(entry, RepoFile)}
    assert {path: entry.size for path, entry in found.items()} == {path: len(data) for path, data in files.items()}
    assert found["data/one.bin"].lfs is not None
    for path, data in files.items():
        local = api.hf_hub_download("ada/cats", path, repo_type="dataset", local_dir=tmp_path)
        assert Path(local).read_bytes() == data
    assert [info.path for info in api.get_paths_info("ada/cats", ["data", "none"], repo_type="dataset")] == ["data"]
    assert [info.id for info in api.list_datasets(author="ada")] == ["ada/cats"]
    assert not any(request.authorization for request in hub.cdn.requests)


def test_every_commit_stays(hub: Hub) -> None:
    repository = hub.add_repository("ada/cats", {"a": b"1"})
    first = repository.branches["main"]
    repository.commit({"a": None, "b": b"2"})
    repository.tags["v1"] = first
    api = HfApi(endpoint=hub.url, token=False)
    assert api.list_repo_files("ada/cats", repo_type="dataset") == ["b"]
    assert api.list_repo_files("ada/cats", repo_type="dataset", revision="v1") == ["a"]
    refs = api.list_repo_refs("ada/cats", repo_type="dataset")
    assert [(ref.name, ref.target_commit) for ref in refs.tags] == [("v1", first)]


def test_errors_are_those_of_the_hub(hub: Hub) -> None:
    hub.add_repository("eve/secret", {"a": b"1"}, private=True)
    gated = hub.add_repository("eve/gated", {"a": b"1"}, gated="manual")
    hub.add_token("hf_ada")
    ada, nobody, bad = (HfApi(endpoint=hub.url, token=token) for token in ("hf_ada", False, "hf_wrong"))
    for api in (ada, nobody):
        with pytest.raises(RepositoryNotFoundError):
            api.dataset_info("eve/secret")
        with pytest.raises(GatedRepoError):
            api.auth_check("eve/gated", repo_type="dataset")
        assert api.dataset_info("eve/gated").gated == "manual"
    gated.requests["ada"] = "accepted"
    ada.auth_check("eve/gated", repo_type="dataset")
    with pytest.raises(RevisionNotFoundError):
        ada.dataset_info("eve/gated", revision="none")
    with pytest.raises(RemoteEntryNotFoundError):
        list(ada.list_repo_tree("eve/gated", "none", repo_type="dataset"))
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        bad.whoami()
    assert ada.whoami()["name"] == "ada"
