"""How fast an import is, and how long it will take: told from the last seconds, and only while that means something."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from datasets_app.models import Import
from datasets_app.services import import_record
from datasets_app.services.import_progress import STALE_SECONDS, measure_import
from datasets_app.services.import_record import SAMPLES

MIB = 2**20


def make_run(*samples: tuple[float, int, int], **facts: Any) -> Import:
    """Make an import that is copying; each sample is (seconds ago, files, bytes)."""
    now = time.time()
    given: dict[str, Any] = {"status": Import.Status.COPYING, "is_listed": True, "listed_files": 100}
    given |= {"listed_size": 100 * MIB} | facts
    return Import(pk=1, samples=[[now - ago, files, size] for ago, files, size in samples], **given)


def test_speed_is_told_from_the_first_sample_to_now() -> None:
    found = measure_import(make_run((10, 0, 0), (5, 40, 40 * MIB), (0, 50, 50 * MIB)))
    assert found.files_speed == pytest.approx(5, rel=0.05)
    assert found.speed == pytest.approx(5 * MIB, rel=0.05)


def test_what_stands_still_gets_slower() -> None:
    moving = measure_import(make_run((10, 0, 0), (0, 50, 50 * MIB)))
    standing = measure_import(make_run((30, 0, 0), (20, 50, 50 * MIB)))
    assert standing.speed == pytest.approx(moving.speed / 3, rel=0.05)


def test_a_speed_that_is_too_old_is_none() -> None:
    found = measure_import(make_run((STALE_SECONDS + 20, 0, 0), (STALE_SECONDS + 1, 50, 50 * MIB)))
    assert (found.speed, found.files_speed, found.seconds_left) == (0, 0, None)


@pytest.mark.parametrize("samples", [(), ((0, 10, 10),), ((-5, 0, 0), (-5, 10, 10))])
def test_with_nothing_to_tell_it_from_there_is_no_speed(samples: tuple[tuple[float, int, int], ...]) -> None:
    found = measure_import(make_run(*samples))
    assert found.speed == 0
    assert found.files_speed == 0
    assert found.seconds_left is None


@pytest.mark.parametrize("status", [Import.Status.FINISHED, Import.Status.WAITING])
def test_only_what_is_under_way_takes_more_time(status: str) -> None:
    found = measure_import(make_run((10, 0, 0), (0, 50, 50 * MIB), status=status, copied_files=50))
    assert (found.speed > 0) == (status == Import.Status.WAITING)
    assert (found.seconds_left is None) == (status == Import.Status.FINISHED)


def test_while_it_pauses_it_has_no_speed() -> None:
    until = timezone.now() + timedelta(seconds=20)
    found = measure_import(make_run((10, 0, 0), (0, 50, 50 * MIB), copied_files=50, paused_until=until))
    assert (found.speed, found.files_speed, found.seconds_left) == (0, 0, None)


def test_the_time_left_is_what_takes_longer_files_or_bytes() -> None:
    speeds = ((10, 0, 0), (0, 50, 50 * MIB))
    # 50 small files at 5 a second; or 90 MiB in one file at 5 MiB a second.
    small = make_run(*speeds, copied_files=50, copied_size=99 * MIB)
    assert measure_import(small).seconds_left == pytest.approx(10, rel=0.1)
    large = make_run(*speeds, copied_files=99, copied_size=10 * MIB)
    assert measure_import(large).seconds_left == pytest.approx(18, rel=0.1)


@pytest.mark.django_db
def test_files_that_are_linked_or_failed_are_not_waited_for() -> None:
    speeds = ((10, 0, 0), (0, 50, 0))
    run = make_run(*speeds, listed_size=0, linked_files=30, copied_files=10, failed_files=10)
    assert measure_import(run).seconds_left == pytest.approx(10, rel=0.1)
    done = make_run(*speeds, linked_files=60, copied_files=30, failed_files=10)
    assert measure_import(done).seconds_left == 0


def test_while_the_listing_goes_on_nobody_knows_how_long() -> None:
    assert measure_import(make_run((10, 0, 0), (0, 50, 50 * MIB), is_listed=False)).seconds_left is None


def test_of_empty_files_only_their_number_counts() -> None:
    run = make_run((10, 0, 0), (0, 50, 0), listed_size=0, copied_files=50)
    assert (measure_import(run).percent, measure_import(run).speed) == (50, 0)
    assert measure_import(run).seconds_left == pytest.approx(10, rel=0.1)


def test_all_is_said_only_when_all_is_here() -> None:
    nearly = make_run(copied_files=99, copied_size=100 * MIB)
    assert measure_import(nearly).percent == 99
    assert measure_import(make_run(copied_files=100, copied_size=100 * MIB)).percent == 100
    assert measure_import(make_run(listed_files=0, listed_size=0)).percent == 0


def test_samples_are_few_and_reach_back_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    now = time.time()
    for tenth in range(600):
        monkeypatch.setattr(time, "time", lambda at=now + tenth / 10: at)
        run.copied_files = tenth
        import_record._add_sample(run)  # noqa: SLF001
    assert len(run.samples) <= SAMPLES
    assert run.samples[-1][:2] == [now + 59.9, 599]
    assert 8 <= run.samples[-1][0] - run.samples[0][0] <= SAMPLES * import_record.SAMPLE_SECONDS
