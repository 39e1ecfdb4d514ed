"""How far an open version has come."""

from __future__ import annotations

import pytest

from datasets_app.models import StagedFile
from datasets_app.services.progress import SHOWN_FAILURES, measure_staging
from tests.factories import make_dataset, make_team, make_version, stage_files

pytestmark = pytest.mark.django_db


def test_it_works() -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, {"a": b"12", "b": b"345"})
    StagedFile.objects.create(version=version, path="c", size=10)
    StagedFile.objects.create(version=version, path="d", size=20, error="wrong digest")
    found = measure_staging(version)
    assert (found.file_count, found.size) == (4, 35)
    assert (found.stored_count, found.stored_size) == (2, 5)
    assert (found.failed_count, [file.path for file in found.failed]) == (1, ["d"])
    assert not found.is_complete


def test_nothing_staged_is_not_complete() -> None:
    found = measure_staging(make_version(make_dataset(make_team())))
    assert (found.file_count, found.size, found.is_complete) == (0, 0, False)


def test_complete() -> None:
    version = make_version(make_dataset(make_team()))
    stage_files(version, {"a": b"12"})
    assert measure_staging(version).is_complete


def test_counts_more_failures_than_it_shows() -> None:
    version = make_version(make_dataset(make_team()))
    StagedFile.objects.bulk_create(
        StagedFile(version=version, path=f"f{number}", size=1, error="lost") for number in range(SHOWN_FAILURES + 5)
    )
    found = measure_staging(version)
    assert (found.failed_count, len(found.failed)) == (SHOWN_FAILURES + 5, SHOWN_FAILURES)
