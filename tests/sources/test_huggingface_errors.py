"""What the Hub refuses is told so that the user knows what to do."""

import re

import pytest

from datasets_app.errors import Invalid
from datasets_app.sources.base import Cause, Route, Settings, Source, SourceError
from datasets_app.sources.guard import Guard
from datasets_app.sources.registry import PROVIDERS
from tests.servers import free_port
from tests.sources.contract import cause_of
from tests.sources.doubles import hub
from tests.sources.hub_double import Hub
from tests.sources.test_huggingface import TOKEN, connect

__all__ = ["hub"]


def refuse_open(source: Source, path: str, revision: str = "") -> tuple[Cause, str]:
    """Open what can't be opened; return why."""
    with pytest.raises(SourceError) as error:
        source.open(path, revision=revision)
    assert TOKEN not in error.value.detail
    return cause_of(error), error.value.detail


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("", "terms of the datasets? repository eve/cats are not accepted yet.*/datasets/eve/cats"),
        ("pending", "not approved that yet"),
        ("rejected", "rejected the request"),
    ],
)
def test_a_closed_gate_says_which_door(hub: Hub, state: str, words: str) -> None:
    repository = hub.add_repository("eve/cats", {"a": b"1"}, gated="manual")
    hub.add_token(TOKEN)
    if state:
        repository.requests["ada"] = state
    cause, detail = refuse_open(connect(hub, Route(), TOKEN), "eve/cats")
    assert cause == Cause.GATED
    assert re.search(words, detail), detail


def test_a_gate_wants_a_token(hub: Hub) -> None:
    hub.add_repository("eve/cats", {"a": b"1"}, gated="auto")
    cause, detail = refuse_open(connect(hub, Route()), "eve/cats")
    assert cause == Cause.GATED
    assert "Give this connection the access token" in detail


def test_an_accepted_gate_is_open(hub: Hub) -> None:
    repository = hub.add_repository("eve/cats", {"a": b"1"}, gated="auto")
    repository.requests["ada"] = "accepted"
    hub.add_token(TOKEN)
    tree = connect(hub, Route(), TOKEN).open("eve/cats")
    assert [tree.fetch(file) for page in tree.list_files() for file in page.files] == [b"1"]


def test_access_that_is_withdrawn_during_an_import_is_told(hub: Hub) -> None:
    repository = hub.add_repository("eve/cats", {"a": b"1"}, gated="manual")
    repository.requests["ada"] = "accepted"
    hub.add_token(TOKEN)
    tree = connect(hub, Route(), TOKEN).open("eve/cats")
    file = next(tree.list_files()).files[0]
    repository.requests["ada"] = "rejected"
    with pytest.raises(SourceError) as error:
        tree.fetch(file)
    assert cause_of(error) == Cause.GATED


def test_a_fine_grained_token_that_reads_no_gated_repositories(hub: Hub) -> None:
    repository = hub.add_repository("eve/cats", {"a": b"1"}, gated="auto")
    repository.requests["ada"] = "accepted"
    hub.add_token(TOKEN, role="fineGrained", repositories=("ada/dogs",), reads_gated=False)
    cause, detail = refuse_open(connect(hub, Route(), TOKEN), "eve/cats")
    assert cause == Cause.GATED
    assert "fine-grained" in detail


def test_a_fine_grained_token_that_lacks_the_repository(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a": b"1"}, private=True)
    hub.add_token(TOKEN, role="fineGrained", repositories=("ada/dogs",))
    cause, detail = refuse_open(connect(hub, Route(), TOKEN), "ada/cats")
    assert cause == Cause.DENIED
    assert "fine-grained and does not include" in detail


def test_a_token_that_is_not_valid(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a": b"1"})
    source = connect(hub, Route(), TOKEN)
    cause, detail = refuse_open(source, "ada/cats")
    assert cause == Cause.CREDENTIALS
    assert "not valid" in detail
    for path in ("", "ada", "ada/cats"):
        with pytest.raises(SourceError) as error:
            source.browse(path)
        assert cause_of(error) == Cause.CREDENTIALS


def test_a_private_repository(hub: Hub) -> None:
    hub.add_repository("eve/cats", {"a": b"1"}, private=True)
    hub.add_token(TOKEN)
    cause, detail = refuse_open(connect(hub, Route()), "eve/cats")
    assert (cause, "needs an access token" in detail) == (Cause.MISSING, True)
    cause, detail = refuse_open(connect(hub, Route(), TOKEN), "eve/cats")
    assert (cause, "may not see it" in detail) == (Cause.MISSING, True)


def test_a_repository_of_the_other_kind_is_pointed_at(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a": b"1"}, kind="models")
    cause, detail = refuse_open(connect(hub, Route()), "ada/cats")
    assert cause == Cause.MISSING
    assert "write models/ada/cats." in detail


def test_what_is_not_there(hub: Hub) -> None:
    repository = hub.add_repository("ada/cats", {"a/b": b"1"})
    source = connect(hub, Route())
    assert refuse_open(source, "ada/cats", "v9")[0] == Cause.MISSING
    assert "no such revision" in refuse_open(source, "ada/cats", "v9")[1]
    assert "no folder b" in refuse_open(source, "ada/cats/b/")[1]
    repository.disabled = True
    assert refuse_open(source, "ada/cats")[0] == Cause.DENIED


@pytest.mark.parametrize(
    "path", ["", "cats", "https://huggingface.co/datasets/ada/cats", "ada/ca ts", "ada/..", "models/cats"]
)
def test_what_is_no_source_path(hub: Hub, path: str) -> None:
    assert refuse_open(connect(hub, Route()), path)[0] == Cause.INVALID
    assert not hub.requests


def test_a_server_that_is_no_hub(hub: Hub) -> None:
    source = connect(hub, Route())
    hub.fail("/api/", times=-1, status=200, body=b"<html>Welcome</html>")
    assert refuse_open(source, "ada/cats") == (Cause.INVALID, "127.0.0.1 does not answer as a Hugging Face Hub does.")
    hub.recover()
    hub.fail("/api/", times=-1, status=200, body=b'{"sha": 1}')
    assert refuse_open(source, "ada/cats")[0] == Cause.INVALID


@pytest.mark.parametrize(
    "body", [b"{}", b'[{"type": "file"}]', b'[{"type": "file", "path": "x", "size": "many", "oid": ""}]', b"[1]"]
)
def test_a_listing_that_is_none(hub: Hub, body: bytes) -> None:
    hub.add_repository("ada/cats", {"a": b"1"})
    tree = connect(hub, Route()).open("ada/cats")
    hub.fail("/tree/", status=200, body=body)
    with pytest.raises(SourceError) as error:
        list(tree.list_files())
    assert cause_of(error) == Cause.INVALID


def test_a_listing_with_paths_that_can_not_be(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a": b"1"})
    tree = connect(hub, Route()).open("ada/cats")
    entry = b'{"type": "file", "path": "%s", "size": 1, "oid": "' + b"0" * 40 + b'"}'
    hub.fail("/tree/", status=200, body=b"[" + b",".join(entry % name for name in (b"../x", b"a//b", b"ok")) + b"]")
    files = next(tree.list_files()).files
    assert [(file.path, bool(file.problem)) for file in files] == [("../x", True), ("a//b", True), ("ok", False)]


@pytest.mark.parametrize(("status", "cause"), [(500, Cause.UNREACHABLE), (503, Cause.BUSY), (403, Cause.DENIED)])
def test_trouble_of_the_hub(hub: Hub, status: int, cause: Cause) -> None:
    hub.add_repository("ada/cats", {"a": b"1"})
    source = connect(hub, Route())
    hub.fail("/api/datasets/ada/cats", times=-1, status=status, headers={"Retry-After": "7"})
    with pytest.raises(SourceError) as error:
        source.open("ada/cats")
    assert cause_of(error) == cause
    assert error.value.retry_after == (7 if cause == Cause.BUSY else None)


def test_no_server(hub: Hub) -> None:
    source = connect(hub, Route())
    hub.stop()
    assert refuse_open(source, "ada/cats")[0] == Cause.UNREACHABLE
    assert refuse_open(connect(hub, Route(proxy=f"http://127.0.0.1:{free_port()}")), "ada/cats")[0] == Cause.UNREACHABLE


def test_the_guard_refuses_this_machine(hub: Hub) -> None:
    guard = Guard()
    try:
        source = connect(hub, Route(proxy=guard.url), TOKEN)
        assert refuse_open(source, "ada/cats")[0] == Cause.FORBIDDEN_NETWORK
    finally:
        guard.close()
    assert not hub.requests


def test_the_guard_judges_redirects_too(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a.bin": b"1"})
    guard = Guard(["127.0.0.1/32"])
    try:
        tree = connect(hub, Route(proxy=guard.url)).open("ada/cats")
        file = next(tree.list_files()).files[0]
        hub.fail("/resolve/", status=302, headers={"Location": f"http://127.0.0.2:{hub.cdn.port}/x"})
        with pytest.raises(SourceError) as error:
            tree.fetch(file)
        assert cause_of(error) == Cause.FORBIDDEN_NETWORK
    finally:
        guard.close()


@pytest.mark.parametrize(
    ("values", "secrets", "field"),
    [
        ({"endpoint": "ftp://example.org"}, {}, "endpoint"),
        ({"endpoint": "https://user:pass@example.org"}, {}, "endpoint"),
        ({"endpoint": "https://example.org?x"}, {}, "endpoint"),
        ({"endpoint": "https://exa mple.org"}, {}, "endpoint"),
        ({"endpoint": "https://example.org:99999"}, {}, "endpoint"),
        ({}, {"token": "hf_a\r\nX-Evil: 1"}, "token"),
        ({}, {"token": "hf_ümlaut"}, "token"),
    ],
)
def test_bad_settings(values: dict[str, str], secrets: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as error:
        PROVIDERS["huggingface"].clean(Settings(values, secrets))
    assert [item["field"] for item in error.value.errors] == [field]
    assert all(secret not in str(error.value.errors) for secret in secrets.values())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", "https://huggingface.co"),
        ("hf-mirror.example", "https://hf-mirror.example"),
        ("https://Example.org/hub/", "https://example.org/hub"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_endpoints_are_put_in_order(given: str, kept: str) -> None:
    settings = PROVIDERS["huggingface"].clean(Settings({"endpoint": given}, {"token": " hf_x "}))
    assert settings == Settings({"endpoint": kept}, {"token": "hf_x"})
