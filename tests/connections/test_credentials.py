"""Secrets at rest: encrypted, never told, readable after a rotation, and lost in a way that says so."""

from __future__ import annotations

import io
import logging

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from datasets_app.models import AuditEvent, Connection, User
from datasets_app.services.connections import check_connection, edit_connection
from datasets_app.sources.base import Cause, SourceError
from tests.connections.shelf import SECRET, VALUES
from tests.factories import api_client, page_client

OTHER_KEY = Fernet.generate_key().decode()
NEW_KEY = Fernet.generate_key().decode()


def test_it_works(connection: Connection, admin: User) -> None:
    row = Connection.objects.get()
    assert SECRET not in str(vars(row))
    assert row.settings["user"] == "ada"
    assert all(step.ok for step in check_connection(admin, connection=row))


def test_nobody_is_told(connection: Connection, admin: User, caplog: pytest.LogCaptureFixture) -> None:
    """Neither pages, API, operators' view, logs nor the list of acts."""
    operator = User.objects.create_superuser("root")
    root = page_client(operator)
    visitor, program = page_client(admin), api_client(admin)
    page = "/teams/vision/connections/my-shelf/"
    with caplog.at_level(logging.DEBUG):
        shown = [
            visitor.get(page),
            visitor.get(f"{page}edit/"),
            visitor.post(f"{page}edit/", VALUES | {"endpoint": "nowhere"}),
            program.get("/api/v1/teams/vision/connections"),
            program.patch(
                "/api/v1/teams/vision/connections/my-shelf",
                {"values": VALUES | {"endpoint": "nowhere"}},
                content_type="application/json",
            ),
            root.get(f"/admin/datasets_app/connection/{connection.pk}/change/"),
            visitor.get("/teams/vision/"),
        ]
    assert [answer.status_code for answer in shown] == [200, 200, 422, 200, 422, 200, 200]
    for answer in shown:
        assert SECRET not in answer.content.decode()
        assert connection.credentials not in answer.content.decode()
    assert SECRET not in caplog.text
    assert SECRET not in str(list(AuditEvent.objects.values()))


def test_a_key_is_replaced(connection: Connection, admin: User, settings: Settings) -> None:
    old = settings.CREDENTIALS_KEYS
    settings.CREDENTIALS_KEYS = [NEW_KEY, *old]
    before = connection.credentials
    printed = io.StringIO()
    call_command("rotate_credentials", stdout=printed)
    assert "first key: 1" in printed.getvalue()
    settings.CREDENTIALS_KEYS = [NEW_KEY]
    connection.refresh_from_db()
    assert connection.credentials != before
    assert all(step.ok for step in check_connection(admin, connection=connection))


def test_a_lost_key_is_told(connection: Connection, admin: User, settings: Settings) -> None:
    settings.CREDENTIALS_KEYS = [OTHER_KEY]
    (step,) = check_connection(admin, connection=connection)
    assert step.ok is False
    assert "Enter them again" in step.detail
    visitor = page_client(admin)
    for page in ("", "edit/"):
        assert (
            b"can&#x27;t be read" in (shown := visitor.get(f"/teams/vision/connections/my-shelf/{page}").content)
            or b"can't be read" in shown
        )
    with pytest.raises(CommandError, match="vision/my-shelf"):
        call_command("rotate_credentials", stdout=io.StringIO())
    with pytest.raises(SourceError) as refusal:
        edit_connection(admin, connection=connection, values={"user": "bob"})
    assert refusal.value.cause is Cause.CREDENTIALS


def test_new_secrets_mend_a_lost_key(connection: Connection, admin: User, settings: Settings) -> None:
    settings.CREDENTIALS_KEYS = [OTHER_KEY]
    answer = page_client(admin).post("/teams/vision/connections/my-shelf/edit/", VALUES)
    assert answer.status_code == 302
    connection.refresh_from_db()
    assert all(step.ok for step in check_connection(admin, connection=connection))
