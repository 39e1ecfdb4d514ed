"""`enqueue` and the broker on disk."""

import json
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty

import pytest
from django.db import transaction
from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from datasets_app.queue import enqueue
from flexai_site.disk_broker import WAKE


@pytest.fixture
def waiting(settings: Settings) -> Path:
    """Return the broker's folder, empty."""
    folder = Path(settings.BROKER_DIR) / "queue"
    for message in folder.iterdir():
        message.unlink()
    return folder


@pytest.mark.django_db
def test_it_works(waiting: Path, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        enqueue("datasets_app.reap")
    assert list(waiting.iterdir()) == []
    for callback in callbacks:
        callback()
    (message,) = waiting.iterdir()
    assert json.loads(message.read_text())["headers"]["task"] == "datasets_app.reap"


def test_an_unknown_task_is_refused_at_once() -> None:
    with pytest.raises(LookupError, match="no task named"):
        enqueue("datasets_app.raep")


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_fails_does_not_fail_the_request(waiting: Path, caplog: pytest.LogCaptureFixture) -> None:
    away = waiting.rename(waiting.with_name("away"))
    try:
        enqueue("datasets_app.reap")
    finally:
        away.rename(waiting)
    assert "The broker did not take a task" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_rollback_sends_nothing(waiting: Path) -> None:
    with transaction.atomic():
        enqueue("datasets_app.reap")
        transaction.set_rollback(True)
    assert list(waiting.iterdir()) == []


def test_each_message_is_taken_once_and_whole(tmp_path: Path) -> None:
    folders = {"data_folder_in": "queue", "data_folder_out": "queue", "control_folder": "control"}
    options = {name: str(tmp_path / folder) for name, folder in folders.items()} | {"polling_interval": 0.01}
    for folder in folders.values():
        (tmp_path / folder).mkdir(exist_ok=True)
    taken: list[int] = []

    def take() -> None:
        with Connection("filesystem://", transport_options=options) as connection:
            queue = connection.SimpleQueue("numbers")
            with suppress(Empty):
                while True:
                    message = queue.get(timeout=2)
                    taken.append(message.payload["number"])
                    message.ack()
            queue.close()

    takers = [threading.Thread(target=take) for _ in range(3)]
    with Connection("filesystem://", transport_options=options) as connection:
        queue = connection.SimpleQueue("numbers")
        for taker in takers:
            taker.start()
        for number in range(200):
            queue.put({"number": number})
        for taker in takers:
            taker.join()
        queue.close()
    assert sorted(taken) == list(range(200))
    assert list((tmp_path / "queue").iterdir()) == []


def wait_for_one(folder: Path, *, polling: float) -> float:
    """Send a message to somebody whose event loop waits for it; return the seconds until it was taken."""
    for name in ("queue", "control"):
        (folder / name).mkdir(exist_ok=True)
    options: dict[str, object] = {"polling_interval": polling, "control_folder": str(folder / "control")}
    options |= {"data_folder_in": str(folder / "queue"), "data_folder_out": str(folder / "queue")}
    waits = threading.Event()
    taken: list[float] = []

    def take() -> None:
        loop = Hub()
        # A name of its own: kombu remembers for the whole process which queues it has set up.
        queues = [Queue(folder.name)]
        with (
            Connection("filesystem://", transport_options=options) as connection,
            Consumer(connection, queues, on_message=lambda _message: taken.append(time.monotonic())),
        ):
            connection.register_with_event_loop(loop)
            turns = loop.create_loop()
            waits.set()
            while not taken:
                next(turns)
        loop.close()

    taker = threading.Thread(target=take)
    taker.start()
    assert waits.wait(60)
    with Connection("filesystem://", transport_options=options) as connection:
        queue = connection.SimpleQueue(folder.name)
        sent = time.monotonic()
        queue.put({"number": 1})
        queue.close()
    taker.join()
    return taken[0] - sent


def test_who_waits_is_woken_at_once(tmp_path: Path) -> None:
    assert wait_for_one(tmp_path, polling=20) < 10


def test_where_nothing_can_wake_messages_are_found_now_and_then(tmp_path: Path) -> None:
    (tmp_path / "control" / WAKE).mkdir(parents=True)
    assert wait_for_one(tmp_path, polling=0.2) < 20


def test_a_damaged_message_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "queue").mkdir()
    (tmp_path / "queue" / f"{0:020}_cut-off.{tmp_path.name}.msg").touch()
    assert wait_for_one(tmp_path, polling=20) < 10
    assert "cut-off" in caplog.text
