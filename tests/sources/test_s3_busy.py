"""A store that is busy says for how long it wants to be left alone, and is heard whichever library was refused."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import pytest

from datasets_app.sources.base import Cause, Route, SourceError
from datasets_app.sources.network_errors import read_retry_after
from datasets_app.sources.patience import Patience
from tests.sources.contract import list_all
from tests.sources.ministack import Ministack
from tests.sources.s3_remote import S3Remote, WireTap, connect_amazon

pytestmark = pytest.mark.server

BUCKET = "busy"
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Told by the test</Message></Error>"
THREADS = 16


@pytest.fixture
def remote(ministack: Ministack, tap: WireTap) -> Iterator[S3Remote]:
    """A folder of ministack behind the tap."""
    client = ministack.client("s3")
    client.create_bucket(Bucket=BUCKET)
    yield S3Remote(client, connect_amazon(ministack, Route(proxy=tap.url)), bucket=BUCKET)
    client.close()


@pytest.mark.parametrize("status", [429, 503])
def test_reads_of_objects_tell_how_long(remote: S3Remote, tap: WireTap, status: int) -> None:
    remote.put({"x": b"1234"})
    tree = remote.open()
    file = list_all(tree)["x"]
    tap.fail("GET .*/x", times=-1, status=status, body=SLOW_DOWN, headers={"Retry-After": "7"})
    tap.forget()
    for read in (partial(tree.fetch, file), partial(tree.fetch_range, file, 0, 2)):
        with pytest.raises(SourceError) as error:
            read()
        assert error.value.cause == Cause.BUSY
        assert 6 < (error.value.retry_after or 0) <= 7
    # Each asked once, and one more request heard for how long; what it said was believed by the second.
    assert len(tap.lines("GET .*/x")) == 3


def test_who_was_only_told_that_it_is_busy_does_not_ask_on(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1234"})
    tree = remote.open()
    file = list_all(tree)["x"]
    tap.fail("GET .*/x", times=2, status=503, body=SLOW_DOWN)
    tap.forget()
    with pytest.raises(SourceError) as error:
        tree.fetch(file)
    assert (error.value.cause, error.value.retry_after) == (Cause.BUSY, None)
    assert len(tap.lines("GET .*/x")) == 2
    assert tree.fetch(file) == b"1234"


def test_when_it_is_well_again_the_question_brings_the_bytes(remote: S3Remote, tap: WireTap) -> None:
    remote.put({"x": b"1234"})
    tree = remote.open()
    file = list_all(tree)["x"]
    tap.fail("GET .*/x", times=1, status=503, body=SLOW_DOWN)
    assert tree.fetch(file) == b"1234"


def test_all_threads_leave_it_alone_for_as_long_as_it_asks(remote: S3Remote, tap: WireTap) -> None:
    remote.put({f"x{n}": b"%d" % n for n in range(THREADS)})
    tree = remote.open()
    files = list_all(tree)
    refused: list[float] = []
    begun = threading.Lock()
    wait = 2.0

    def refuse() -> None:
        with begun:
            if not refused:
                threading.Timer(wait, tap.recover).start()
            refused.append(time.monotonic())

    tap.fail("GET .*/x", times=-1, status=503, body=SLOW_DOWN, headers={"Retry-After": "2"}, then=refuse)
    patience = Patience(threading.Event())

    with ThreadPoolExecutor(THREADS) as pool:
        bodies = pool.map(lambda file: bytes(patience.call(tree.fetch, file)), files.values())
        read = dict(zip(files, bodies, strict=True))

    assert read == {f"x{n}": b"%d" % n for n in range(THREADS)}
    # What was on its way already, one question, and hardly more.
    assert len(refused) <= 2 * THREADS


def test_the_wait_may_be_a_date() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)
    assert 80 < (read_retry_after(format_datetime(soon, usegmt=True)) or 0) <= 90
    assert read_retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert read_retry_after("12") == 12
    for text in ("", "soon", "-3", "1e9", "Wed, 99 Foo"):
        assert read_retry_after(text) is None
