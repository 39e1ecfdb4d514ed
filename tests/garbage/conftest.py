"""A store of the test's own, and a clock that can be set forward."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.utils import timezone

from datasets_app.models import Blob, CollectionRun, Version
from datasets_app.services import content
from datasets_app.services.garbage import collect_now
from datasets_app.services.walking import walk_files


@pytest.fixture(autouse=True)
def store(settings: LazySettings, tmp_path: Path) -> Path:
    """Give packs and uploads folders of the test's own; return that of the packs."""
    packs = tmp_path / "packs"
    settings.STAGING_DIR = tmp_path / "staging"
    settings.MOUNTS_DIR = tmp_path / "mounts"
    settings.STORAGES = {
        **settings.STORAGES,
        "packs": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(packs)}},
    }
    return packs


def later(**time: float) -> datetime:
    """Return a time from now on."""
    return timezone.now() + timedelta(**time)


def collect(**time: float) -> CollectionRun:
    """Collect as if so much time had gone by."""
    run = collect_now(now=later(**time))
    assert run.status == "finished", run.error
    return run


def collect_all(**time: float) -> CollectionRun:
    """Collect until everything that is unused has gone: mark, and come back after the grace period."""
    start = timedelta(**time)
    collect(hours=start.total_seconds() / 3600)
    collect(hours=start.total_seconds() / 3600 + 25)
    return collect(hours=start.total_seconds() / 3600 + 50)


def objects(store: Path) -> dict[str, int]:
    """Keys and sizes of all that is in the store."""
    return {str(path.relative_to(store)): path.stat().st_size for path in store.rglob("*") if path.is_file()}


def pack_objects(store: Path) -> dict[str, int]:
    """Keys and sizes of the packs alone."""
    return {key: size for key, size in objects(store).items() if not key.startswith(("manifests/", "slices/"))}


def read_back(version: Version) -> dict[str, bytes]:
    """Read every file of a sealed version from the store, and compare it with its digest."""
    version.refresh_from_db()
    assert version.root is not None
    found = {}
    for file in walk_files(version.root):
        blob = Blob.objects.select_related("pack").get(pk=file.blob_id)
        found[file.path] = b"".join(content.read_blob(blob))
        assert hashlib.sha256(found[file.path]).digest() == file.sha256
    assert len(found) == version.root.file_count
    return found
