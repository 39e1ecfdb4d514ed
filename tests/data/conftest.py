"""A sealed version, and raw SQL."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, connection, transaction

from datasets_app.models import Version
from tests.factories import make_available_version, make_dataset, make_team

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {"top.txt": b"top", "folder/inner.txt": b"inner", "folder/deep/leaf.bin": bytes(range(256))}


@pytest.fixture
def sealed(db: None) -> Version:
    """Give an available version of three files in three directories."""
    return make_available_version(make_dataset(make_team(), "images"), FILES)


def execute(statement: str, *values: str | bytes | int | datetime | None) -> int:
    """Run raw SQL, in which `{name}` is the app's table of that name; return how many rows it touched."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.replace("{", "datasets_app_").replace("}", ""), values)
        return int(cursor.rowcount)


@contextmanager
def refused() -> Iterator[None]:
    """Expect that the database itself refuses, by one of its triggers."""
    with pytest.raises(IntegrityError, match="immutable: "), transaction.atomic():
        yield


@contextmanager
def door(name: str) -> Iterator[None]:
    """Open a door inside a transaction."""
    with transaction.atomic():
        execute("INSERT INTO {door} (name) VALUES (%s)", name)
        yield
        execute("DELETE FROM {door} WHERE name = %s", name)
