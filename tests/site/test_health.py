"""`/healthz` and `/readyz`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.files.storage import storages
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.utils import ConnectionHandler
from django.test import Client
from pytest_django import Settings

from datasets_app.services import health
from tests.servers import free_port


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    health.forget()
    yield
    health.forget()


@pytest.mark.django_db
def test_it_works(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.json() == {"database": "ok", "broker": "ok", "store": "ok"}
    assert answer.status_code == 200
    assert client.get("/healthz").content == b"ok\n"


@pytest.mark.django_db
def test_the_probe_leaves_nothing(client: Client) -> None:
    client.get("/readyz")
    _, files = storages["packs"].listdir("probe")
    assert files == []


@pytest.mark.django_db
def test_a_store_that_refuses_is_named(client: Client, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    settings.STORAGES = {
        **settings.STORAGES,
        "packs": {**settings.STORAGES["packs"], "OPTIONS": {"location": str(tmp_path / "file")}},
    }
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["store"].startswith("failed with ")
    assert answer.json()["database"] == "ok"


@pytest.mark.django_db
def test_a_broker_that_refuses_is_named(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.BROKER_DIR = tmp_path / "nowhere"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["broker"] == "failed with FileNotFoundError"
    assert str(tmp_path) not in answer.content.decode()


@pytest.mark.django_db
def test_a_database_that_does_not_answer_is_named(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    away = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": str(free_port()), "NAME": "away"}
    monkeypatch.setattr(health, "connection", ConnectionHandler({"default": away})["default"])
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"database": "failed with OperationalError", "broker": "ok", "store": "ok"}


@pytest.mark.django_db
def test_migrations_that_are_not_applied_are_counted(client: Client) -> None:
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("sessions", "0001_initial")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "1 migrations are not applied: run manage.py migrate"
    recorder.record_applied("sessions", "0001_initial")
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_a_good_answer_is_kept_for_a_moment(client: Client, settings: Settings, tmp_path: Path) -> None:
    assert client.get("/readyz").status_code == 200
    settings.BROKER_DIR = tmp_path / "nowhere"
    assert client.get("/readyz").status_code == 200


@pytest.mark.django_db
def test_other_methods_are_refused(client: Client) -> None:
    assert client.post("/readyz").status_code == 405
