"""The first steps of a check say what they have shown, whoever is on the way: guard, operator's proxy, nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from datasets_app.sources.base import CheckStep, Route
from datasets_app.sources.check_steps import Greeting, run_steps
from datasets_app.sources.guard import Guard
from datasets_app.sources.web import Web
from tests.servers import free_port
from tests.sources.http_double import Answer, HttpDouble

NOWHERE = "there-is-no-such-host.invalid"


@pytest.fixture
def server() -> Iterator[HttpDouble]:
    """A server that answers; as a proxy, it is one that gives its own answers to all."""
    double = HttpDouble(lambda _request: Answer(403, {}, b"<Error/>"))
    double.start()
    yield double
    double.stop()


@pytest.fixture
def named(server: HttpDouble) -> str:
    """The server, by its name."""
    return f"http://localhost:{server.port}"


def greet(route: Route, url: str) -> tuple[CheckStep, CheckStep]:
    """Take the two steps."""
    greeting = Greeting(Web(route, store="the store"), f"{url}/")
    first, second = run_steps([("Find the server", greeting.resolve), ("Connect", greeting.connect)])
    return first, second


def test_by_the_guard_a_name_has_an_address_once_something_came_of_it(guarded_route: Route, named: str) -> None:
    found, connected = greet(guarded_route, named)
    assert (found.ok, found.detail) == (True, "localhost has an address.")
    assert (connected.ok, connected.detail.split(".")[0]) == (True, "localhost answers")

    # The guard looked the name up, and then was refused.
    found, connected = greet(guarded_route, f"https://localhost:{free_port()}")
    assert (found.ok, connected.ok) == (True, False)
    assert "connection refused" in connected.detail

    found, connected = greet(guarded_route, f"https://{NOWHERE}")
    assert (found.ok, connected.ok) == (False, None)
    assert "does not resolve" in found.detail


def test_an_address_has_no_name_to_look_up(guarded_route: Route, server: HttpDouble) -> None:
    found, connected = greet(guarded_route, server.url)
    assert (found.ok, found.detail) == (True, "127.0.0.1 is an address: there is no name to look up.")
    assert connected.ok


def test_an_address_that_is_refused_is_refused_when_it_is_connected_to(named: str) -> None:
    guard = Guard()
    try:
        found, connected = greet(Route(proxy=guard.url), named)
    finally:
        guard.close()
    assert (found.ok, connected.ok) == (True, False)
    assert "ALLOWED_SOURCE_NETWORKS" in connected.detail


def test_of_a_name_that_only_the_operators_proxy_looks_up_nothing_is_said(guarded_route: Route, named: str) -> None:
    # A real forward proxy, as an operator may have one.
    found, connected = greet(Route(proxy=guarded_route.proxy, is_foreign=True), named)
    assert found.ok is None
    assert "does not tell" in found.detail
    assert connected.ok
    assert "or its own" in connected.detail

    found, connected = greet(Route(proxy=guarded_route.proxy, is_foreign=True), f"https://{NOWHERE}")
    assert (found.ok, connected.ok) == (None, False)


@pytest.mark.parametrize(
    ("status", "words"), [(407, "EGRESS_PROXY"), (502, "or the operator's proxy in its place, answers with an error")]
)
def test_what_the_operators_proxy_answers_is_not_taken_for_the_server(
    server: HttpDouble, status: int, words: str
) -> None:
    server.fail(r"^GET http://", times=-1, status=status)
    found, connected = greet(Route(proxy=server.url, is_foreign=True), f"http://{NOWHERE}")
    assert (found.ok, connected.ok) == (None, False)
    assert words in connected.detail


def test_a_proxy_that_makes_no_tunnel_is_named_with_its_status(server: HttpDouble) -> None:
    _, connected = greet(Route(proxy=server.url, is_foreign=True), f"https://{NOWHERE}")
    assert connected.detail == f"The proxy that leads to the store makes no connection to {NOWHERE} (it answers 501)."


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_gone_is_not_the_server(scheme: str) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    found, connected = greet(Route(proxy=proxy), f"{scheme}://{NOWHERE}")
    assert (found.ok, connected.ok) == (False, None)
    assert found.detail == "The proxy that leads to the store does not answer."

    found, connected = greet(Route(proxy=proxy, is_foreign=True), f"{scheme}://{NOWHERE}")
    assert (found.ok, connected.ok) == (None, False)
    assert connected.detail == "The proxy that leads to the store does not answer."


def test_without_a_proxy(server: HttpDouble, named: str) -> None:
    assert [step.ok for step in greet(Route(), named)] == [True, True]
    assert [step.ok for step in greet(Route(), f"http://{NOWHERE}")] == [False, None]
    server.fail(r"^GET", times=-1, cut=-1)
    found, connected = greet(Route(), named)
    assert (found.ok, connected.ok) == (None, False)
    assert "Nothing came back" in found.detail
