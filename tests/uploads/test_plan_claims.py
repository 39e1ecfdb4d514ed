"""A plan links by digest alone, so what it claims about the bytes must be true."""

from __future__ import annotations

import hashlib

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from datasets_app.models import TeamBlob
from tests.uploads.sender import Sender

pytestmark = [pytest.mark.django_db, pytest.mark.data_layer]


def test_a_known_digest_with_another_size_is_asked_for(sender: Sender) -> None:
    data = b"ten bytes!"
    sender.send({"a": data})
    digest = hashlib.sha256(data).hexdigest()
    files = [{"path": "b", "size": 10, "sha256": digest}, {"path": "c", "size": 5_000, "sha256": digest}]
    states = [sender.post("plan", {"files": [file]}).json()["files"][0]["state"] for file in files]
    assert states == ["stored", "needed"]


def test_the_bytes_of_a_team_are_looked_up_by_digest_however_many_it_has(sender: Sender) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL chooses by its statistics")
    files = [{"path": f"{n}", "size": 1, "sha256": hashlib.sha256(b"%d" % n).hexdigest()} for n in range(1000)]
    with CaptureQueriesContext(connection) as queries:
        sender.post("plan", {"files": files})
    asked = [query["sql"] for query in queries.captured_queries if TeamBlob._meta.db_table in query["sql"]]
    assert asked
    for statement in asked:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {statement}")
            steps = [str(row[3]) for row in cursor.fetchall()]
        assert "sha256=?" in steps[0], steps
