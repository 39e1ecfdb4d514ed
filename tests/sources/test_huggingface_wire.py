"""What goes over the wire to the Hub and to where it redirects."""

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from datasets_app.sources.base import PAGE_FILES, Cause, Data, Route, SourceError, SourceFile, Tree
from datasets_app.sources.huggingface import HubSource
from tests.sources.contract import cause_of, list_all
from tests.sources.doubles import hub
from tests.sources.hub_double import Hub
from tests.sources.hub_repositories import git_sha1
from tests.sources.test_huggingface import TOKEN, connect

__all__ = ["hub"]

LARGE = bytes(range(256)) * 400


def open_cats(hub: Hub, route: Route | None = None, token: str = "") -> tuple[Tree, dict[str, SourceFile]]:
    """Open the repository and list it."""
    tree = connect(hub, route or Route(), token).open("ada/cats")
    return tree, list_all(tree)


def test_the_token_is_always_sent_to_the_hub_and_never_elsewhere(hub: Hub) -> None:
    hub.add_token(TOKEN)
    hub.add_repository("ada/cats", {"a.bin": LARGE, "b.txt": b"1"})
    tree, files = open_cats(hub, token=TOKEN)
    assert tree.fetch(files["a.bin"]) == LARGE
    assert tree.fetch_range(files["a.bin"], 5, 10) == LARGE[5:15]
    assert tree.fetch(files["b.txt"]) == b"1"
    assert {request.authorization for request in hub.requests} == {f"Bearer {TOKEN}"}
    assert len(hub.cdn.requests) == 2
    assert not any(request.authorization for request in hub.cdn.requests)


def test_a_redirect_that_leaves_and_comes_back_has_lost_the_token(hub: Hub) -> None:
    hub.add_token(TOKEN)
    hub.add_repository("ada/cats", {"b.txt": b"1"})
    tree, files = open_cats(hub, token=TOKEN)
    hub.forget()
    hub.fail("/resolve/", status=302, headers={"Location": f"{hub.cdn.url}/away"})
    hub.cdn.fail("/away", status=302, headers={"Location": f"{hub.url}/api/whoami-v2"})
    with pytest.raises(SourceError):
        tree.fetch(files["b.txt"])
    assert [(request.path, bool(request.authorization)) for request in hub.requests][1:] == [("/api/whoami-v2", False)]


def test_a_circle_of_redirects_ends(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"b.txt": b"1"})
    tree, files = open_cats(hub)
    hub.fail("/resolve/", times=-1, status=302, headers={"Location": "?again"})
    with pytest.raises(SourceError, match="circles"):
        tree.fetch(files["b.txt"])


def test_a_renamed_repository_is_found_with_the_token(hub: Hub) -> None:
    hub.add_token(TOKEN)
    hub.add_repository("ada/kittens", {"a.bin": LARGE, "b.txt": b"1"}, private=True)
    hub.moved["ada/cats"] = "ada/kittens"
    tree, files = open_cats(hub, token=TOKEN)
    assert {path: tree.fetch(file) for path, file in files.items()} == {"a.bin": LARGE, "b.txt": b"1"}


def test_nothing_comes_from_the_environment(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HF_TOKEN": "hf_of_this_machine",
        "HF_ENDPOINT": "http://127.0.0.1:1",
        "http_proxy": "http://127.0.0.1:1",
        "HTTP_PROXY": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    hub.add_repository("ada/cats", {"a.bin": LARGE})
    tree, files = open_cats(hub)
    assert tree.fetch(files["a.bin"]) == LARGE
    assert not any(request.authorization for request in hub.requests)


def test_connections_do_not_mix(hub: Hub) -> None:
    for name in ("ada", "bob", "eve"):
        hub.add_token(f"hf_{name}", user=name)
        hub.add_repository(f"{name}/own", {"x": name.encode()}, private=True)
    sources = {name: connect(hub, Route(), f"hf_{name}") for name in ("ada", "bob", "eve")}

    def read(name: str) -> bytes:
        tree = sources[name].open(f"{name}/own")
        return bytes(tree.fetch(next(tree.list_files()).files[0]))

    names = ["ada", "bob", "eve"] * 10
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(read, names)) == [name.encode() for name in names]


def test_ranges_of_a_large_file_ask_the_hub_once(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a.bin": LARGE})
    tree, files = open_cats(hub)
    ranges = [tree.fetch_range(files["a.bin"], offset, 10_240) for offset in range(0, len(LARGE), 10_240)]
    assert b"".join(ranges) == LARGE
    assert len(hub.lines("/resolve/")) == 1
    hub.expire_links()
    assert tree.fetch_range(files["a.bin"], 100, 100) == LARGE[100:200]
    assert len(hub.lines("/resolve/")) == 2


def test_the_other_server_fails(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a.bin": LARGE})
    tree, files = open_cats(hub)
    for status, cause in ((403, Cause.UNREACHABLE), (500, Cause.UNREACHABLE), (429, Cause.BUSY)):
        hub.cdn.fail("", status=status)
        with pytest.raises(SourceError) as error:
            tree.fetch(files["a.bin"])
        assert cause_of(error) == cause
    assert tree.fetch(files["a.bin"]) == LARGE


def test_ranges_that_are_not_given(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a.bin": LARGE})
    tree, files = open_cats(hub)
    hub.cdn.fail("", status=200, body=LARGE)
    with pytest.raises(SourceError) as error:
        tree.fetch_range(files["a.bin"], 10, 100)
    assert cause_of(error) == Cause.INVALID
    hub.cdn.fail("", status=206, headers={"Content-Range": f"bytes 0-99/{len(LARGE)}"}, body=LARGE[:100])
    with pytest.raises(SourceError) as error:
        tree.fetch_range(files["a.bin"], 10, 100)
    assert cause_of(error) == Cause.CHANGED


@pytest.mark.parametrize("path", ["a.bin", "b.txt"])
def test_a_body_that_breaks_off_is_damaged(hub: Hub, path: str) -> None:
    hub.add_repository("ada/cats", {"a.bin": LARGE, "b.txt": LARGE})
    tree, files = open_cats(hub)
    server = hub.cdn if path == "a.bin" else hub
    reads: list[Callable[[], Data]] = [
        lambda: tree.fetch(files[path]),
        lambda: tree.fetch_range(files[path], 100, 5000),
    ]
    for read in reads:
        server.fail("GET /(repos|datasets)/", cut=1000)
        with pytest.raises(SourceError) as error:
            read()
        assert cause_of(error) == Cause.DAMAGED
        assert error.value.transient
        assert len(bytes(read())) in {len(LARGE), 5000}


def test_a_connection_that_breaks_off_is_unreachable(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"b.txt": LARGE})
    tree, files = open_cats(hub)
    hub.fail("/resolve/", cut=-1)
    with pytest.raises(SourceError) as error:
        tree.fetch(files["b.txt"])
    assert cause_of(error) == Cause.UNREACHABLE


def test_bytes_of_git_are_compared_with_their_object_id(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"b.txt": b"some text"})
    tree, files = open_cats(hub)
    hub.fail("/resolve/", spoil=True)
    with pytest.raises(SourceError) as error:
        tree.fetch(files["b.txt"])
    assert cause_of(error) == Cause.DAMAGED


def test_more_bytes_than_were_listed_are_not_read(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"b.txt": b"some text"})
    tree, files = open_cats(hub)
    hub.fail("/resolve/", status=200, body=b"x" * 50_000_000)
    with pytest.raises(SourceError) as error:
        tree.fetch(files["b.txt"])
    assert cause_of(error) == Cause.DAMAGED


def test_a_body_that_trickles_is_given_up(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"b.txt": LARGE * 4})
    source = connect(hub, Route())
    assert isinstance(source, HubSource)
    tree = source.open("ada/cats")
    files = list_all(tree)
    source.client.web.patience = 0.2
    hub.fail("/resolve/", rate=4096)
    begin = time.monotonic()
    with pytest.raises(SourceError, match="slowly"):
        tree.fetch(files["b.txt"])
    assert time.monotonic() - begin < 5


def test_the_rate_limit_is_heeded_by_all_threads(hub: Hub) -> None:
    hub.add_repository("ada/cats", {f"{number:03d}": b"1" for number in range(40)})
    tree, files = open_cats(hub)
    hub.limit("resolvers", quota=10, seconds=2)

    def read(file: SourceFile) -> float | None:
        try:
            tree.fetch(file)
        except SourceError as error:
            return error.retry_after if error.cause == Cause.BUSY else -1
        return None

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(read, files.values()))
    assert waits.count(None) == 10
    assert all(0 < wait <= 2 for wait in waits if wait is not None)
    # What was under way when nothing was left, and no more.
    assert len(hub.lines("/resolve/")) <= 18
    time.sleep(max(wait for wait in waits if wait) + 0.1)
    assert read(files["000"]) is None


def test_retry_after_is_told(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a": b"1"})
    source = connect(hub, Route())
    hub.fail("/api/", status=429, headers={"Retry-After": "1"})
    with pytest.raises(SourceError) as error:
        source.open("ada/cats")
    assert (cause_of(error), error.value.retry_after) == (Cause.BUSY, 1)


def test_pages_are_followed_on_the_mirror_itself(hub: Hub) -> None:
    hub.add_token(TOKEN)
    names = {f"{number:03d}.txt": b"1" for number in range(50)}
    hub.add_repository("ada/cats", names)
    hub.page_files = 7
    hub.linked_as = "http://127.0.0.1:1"
    tree, files = open_cats(hub, token=TOKEN)
    assert sorted(files) == sorted(names)
    pages = list(tree.list_files())
    assert len(pages) == 8
    for number, page in enumerate(pages):
        rest = [file for later in pages[number + 1 :] for file in later.files]
        assert [file for later in tree.list_files(after=page.cursor) for file in later.files] == rest


def test_pages_that_are_too_long_are_cut(hub: Hub) -> None:
    count = 2 * PAGE_FILES + 500
    hub.add_repository("ada/cats", {f"{number:05d}": b"" for number in range(count)})
    hub.page_files = 10_000
    tree, files = open_cats(hub)
    assert len(files) == count
    pages = list(tree.list_files())
    assert [len(page.files) for page in pages] == [PAGE_FILES, PAGE_FILES, 500]
    assert [len(page.files) for page in tree.list_files(after=pages[0].cursor)] == [PAGE_FILES, 500]
    assert [len(page.files) for page in tree.list_files(after=pages[1].cursor)] == [500]
    assert list(tree.list_files(after=pages[2].cursor)) == []


def test_a_listing_that_repeats_itself_ends(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a": b"1"})
    tree = connect(hub, Route()).open("ada/cats")
    link = f'<{hub.url}/api/datasets/ada/cats/tree/x?cursor=1>; rel="next"'
    hub.fail("/tree/", times=-1, status=200, headers={"Link": link}, body=b"[]")
    with pytest.raises(SourceError, match="repeats itself"):
        list(tree.list_files())


def test_a_revision_is_pinned_when_it_is_opened(hub: Hub) -> None:
    repository = hub.add_repository("ada/cats", {"a": b"old"})
    first = repository.branches["main"]
    repository.tags["v1"] = first
    second = repository.commit({"a": b"new"})
    repository.commit({"a": b"other"}, branch="feature/x")
    source = connect(hub, Route())
    opened = {revision: source.open("ada/cats", revision=revision) for revision in ("", "v1", "feature/x", first[:40])}
    assert (opened[""].revision, opened["v1"].revision) == (second, first)
    repository.commit({"a": b"newest"})
    read = {name: [tree.fetch(file) for file in list_all(tree).values()] for name, tree in opened.items()}
    assert read == {"": [b"new"], "v1": [b"old"], "feature/x": [b"other"], first: [b"old"]}
    assert source.revisions("ada/cats") == ["main", "feature/x", "v1"]


def test_listed_digests_are_those_of_the_bytes(hub: Hub) -> None:
    hub.add_repository("ada/cats", {"a.bin": LARGE, "b.txt": b"text"})
    _, files = open_cats(hub)
    assert files["a.bin"].sha256 == hashlib.sha256(LARGE).digest()
    assert files["b.txt"].sha256 is None
    assert files["b.txt"].checksum == f"git-sha1:{git_sha1(b'text')}"
