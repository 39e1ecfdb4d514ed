"""Writers on SQLite take turns (flexai_site/sqlite)."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.db import OperationalError, close_old_connections, connection, transaction

from datasets_app.models import Team

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL locks rows, not the database"),
]


def in_threads(count: int, work: Callable[[int], None]) -> None:
    def run(number: int) -> None:
        try:
            work(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def other_process() -> Iterator[sqlite3.Connection]:
    """Another connection to the same file, which knows nothing of turns."""
    with closing(sqlite3.connect(connection.settings_dict["NAME"], check_same_thread=False)) as raw:
        yield raw


@pytest.fixture
def short_patience() -> Iterator[None]:
    """Give up after half a second."""
    options = connection.settings_dict["OPTIONS"]
    before, options["timeout"] = options["timeout"], 0.5
    yield
    options["timeout"] = before


def test_it_works() -> None:
    def count_up(_number: int) -> None:
        for _ in range(20):
            with transaction.atomic():
                before = int(Team.objects.get(pk=team.pk).name)
                time.sleep(0.001)
                Team.objects.filter(pk=team.pk).update(name=str(before + 1))

    team = Team.objects.create(name="100")
    in_threads(8, count_up)
    team.refresh_from_db()
    assert team.name == "260"


def test_a_turn_ends_however_its_transaction_ends(short_patience: None) -> None:
    def fail() -> None:
        with transaction.atomic():
            raise ZeroDivisionError

    def vanish(_number: int) -> None:
        transaction.atomic().__enter__()
        Team.objects.create(name="lost")
        connection.close()

    with pytest.raises(ZeroDivisionError):
        fail()
    in_threads(1, vanish)
    Team.objects.create(name="kept")
    with transaction.atomic():
        assert list(Team.objects.values_list("name", flat=True)) == ["kept"]


def test_who_waits_too_long_is_told(short_patience: None, other_process: sqlite3.Connection) -> None:
    def begin() -> None:
        with transaction.atomic():
            pass

    other_process.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        begin()
    other_process.rollback()
    begin()


def test_who_waits_goes_on_when_another_process_is_done(other_process: sqlite3.Connection) -> None:
    other_process.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.3, other_process.rollback)
    timer.start()
    with transaction.atomic():
        Team.objects.create(name="late")
    timer.join()
    close_old_connections()
    assert Team.objects.filter(name="late").exists()


def test_statements_mean_the_same_at_each_time() -> None:
    with connection.cursor() as cursor:
        for value in ("x", "%s", "?"):
            cursor.execute("SELECT 'a%%s %%', %s, '100%%' LIKE '100%%'", [value])
            assert cursor.fetchall() == [("a%s %", value, 1)]
            cursor.execute("SELECT %(b)s, %(a)s, '%%'", {"a": 1, "b": value})
            assert cursor.fetchall() == [(value, 1, "%")]
            # Without values, nothing stands for one.
            cursor.execute("SELECT '%s %%'")
            assert cursor.fetchall() == [("%s %%",)]
