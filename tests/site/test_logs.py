"""Log lines, and the request id that joins them."""

import json
import logging
import sys

import pytest
from django.test import Client

from flexai_site.logs import JsonFormatter, RequestIdFilter, RoutineFilter, TextFormatter, request_id


def make_record(message: str, **extra: object) -> logging.LogRecord:
    record = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, message, (), None, extra=extra)
    RequestIdFilter().filter(record)
    return record


def test_it_works() -> None:
    token = request_id.set("abc")
    try:
        line = json.loads(JsonFormatter().format(make_record("moved\nit", files=3)))
        text = TextFormatter().format(make_record("moved", files=3))
    finally:
        request_id.reset(token)
    assert line.items() >= {"message": "moved\nit", "level": "info", "request_id": "abc", "files": 3}.items()
    assert text.endswith("info    x: moved files=3 [abc]")


def test_an_exception_stays_in_its_line() -> None:
    record = make_record("failed")
    try:
        raise ValueError("why")  # noqa: TRY301
    except ValueError:
        record.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(JsonFormatter().format(record))["exception"]


def test_the_reaper_is_silent_while_it_is_well() -> None:
    assert not RoutineFilter().filter(make_record("done", data={"name": "datasets_app.reap_jobs"}))
    assert RoutineFilter().filter(make_record("done", data={"name": "datasets_app.seal_version"}))


def test_a_request_keeps_its_id(client: Client) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "from-proxy-1"}).headers["X-Request-ID"] == "from-proxy-1"


@pytest.mark.parametrize("given", ["", "two words", "a\tb", "x" * 200])
def test_a_strange_id_is_replaced(client: Client, given: str) -> None:
    answer = client.get("/healthz", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] not in {"", given}
