"""The check of a Hub connection, and its browser."""

from datasets_app.sources.base import Route, Source
from tests.sources.doubles import hub
from tests.sources.hub_double import Hub
from tests.sources.test_huggingface import TOKEN, connect

__all__ = ["hub"]


def run_check(source: Source, path: str = "") -> dict[str, tuple[bool | None, str]]:
    """Return result and detail by step."""
    return {step.name: (step.ok, step.detail) for step in source.check(path)}


def test_it_works(hub: Hub) -> None:
    hub.add_token(TOKEN, role="write")
    repository = hub.add_repository("eve/cats", {"a.bin": b"123"}, gated="manual")
    repository.requests["ada"] = "accepted"
    found = run_check(connect(hub, Route(), TOKEN), "eve/cats")
    assert all(ok for ok, _ in found.values()), found
    assert found["Sign in"][1] == "The token is that of ada. Its role is write. Reading would be enough."
    assert found["Pass its gate"][1].startswith("It is open")
    assert found["Read one byte"][1] == "Read from a.bin."
    assert not any(TOKEN in detail for _, detail in found.values())
    # The first question is asked without it.
    assert [bool(request.authorization) for request in hub.requests][:2] == [False, True]


def test_without_a_token(hub: Hub) -> None:
    hub.add_repository("eve/cats", {"a.bin": b"123"})
    found = run_check(connect(hub, Route()), "eve/cats")
    assert all(ok for ok, _ in found.values()), found
    assert "only public" in found["Sign in"][1]
    assert found["Pass its gate"][1] == "It has none."


def test_a_fine_grained_token_is_described(hub: Hub) -> None:
    hub.add_token(TOKEN, role="fineGrained", repositories=("ada/cats", "lab"), reads_gated=False)
    detail = run_check(connect(hub, Route(), TOKEN))["Sign in"][1]
    assert "includes ada/cats, lab, and may not read public gated repositories" in detail


def test_each_failure_is_found_at_its_step(hub: Hub) -> None:
    hub.add_token(TOKEN)
    hub.add_repository("eve/gated", {"a.bin": b"123"}, gated="manual")
    hub.add_repository("eve/cats", {"a.bin": b"123"})

    def first_failure(source: Source, path: str) -> str:
        found = run_check(source, path)
        failed = [name for name, (ok, _) in found.items() if ok is False]
        assert len(failed) == 1, found
        later = list(found)[list(found).index(failed[0]) + 1 :]
        assert all(found[name][0] is None for name in later)
        return failed[0]

    assert first_failure(connect(hub, Route(), "hf_wrong"), "eve/cats") == "Sign in"
    assert first_failure(connect(hub, Route(), TOKEN), "eve/none") == "Find the repository"
    assert first_failure(connect(hub, Route(), TOKEN), "eve/gated") == "Pass its gate"
    assert first_failure(connect(hub, Route(), TOKEN), "eve/cats/none") == "List"
    hub.cdn.fail("", times=-1, status=403)
    assert first_failure(connect(hub, Route(), TOKEN), "eve/cats") == "Read one byte"
    hub.stop()
    assert first_failure(connect(hub, Route(), TOKEN), "eve/cats") == "Connect"


def test_the_browser_begins_with_the_namespaces_of_the_token(hub: Hub) -> None:
    hub.add_token(TOKEN, orgs=("lab",))
    for name in ("ada/cats", "lab/birds", "lab/dogs", "eve/fish"):
        hub.add_repository(name, {"a": b"1"})
    hub.add_repository("ada/net", {"a": b"1"}, kind="models", private=True)
    source = connect(hub, Route(), TOKEN)
    hub.page_files = 1
    seen: list[tuple[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        walk = source.browse("", cursor=cursor)
        seen += [(entry.path, entry.detail) for entry in walk.entries]
        cursor = walk.cursor
    assert seen == [
        ("ada/cats", "dataset"),
        ("models/ada/net", "model, private"),
        ("lab/birds", "dataset"),
        ("lab/dogs", "dataset"),
    ]
    assert [entry.path for entry in source.browse(seen[1][0]).entries] == ["models/ada/net/a"]
    assert [entry.path for entry in source.browse("eve").entries] == ["eve/fish"]
    assert connect(hub, Route()).browse("").entries == []


def test_the_browser_shows_a_revision(hub: Hub) -> None:
    repository = hub.add_repository("ada/cats", {"old/a": b"1"})
    repository.tags["v1"] = repository.branches["main"]
    repository.commit({"old/a": None, "new/b c": b"22"})
    source = connect(hub, Route())
    assert [entry.path for entry in source.browse("ada/cats").entries] == ["ada/cats/new"]
    assert [entry.path for entry in source.browse("ada/cats", revision="v1").entries] == ["ada/cats/old"]
    walk = source.browse("ada/cats/new/b c")
    assert [(entry.name, entry.path, entry.size) for entry in walk.entries] == [("b c", "ada/cats/new/b c", 2)]
