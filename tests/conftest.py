"""What every test may use, and the rule that CI skips no browser or server test."""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.servers import LiveApplication, S3Server, serve_s3, serve_with_account

# Chromium's driver keeps an event loop in the thread of the test, where Django would refuse to use the database.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

# Servers and commands are started hundreds of times; their modules need not be compiled each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Hypothesis' limit for one example is a timed assertion: a busy machine would break it.
settings.register_profile("flexai", deadline=None)
settings.load_profile("flexai")

MUST_RUN_IN_CI = ("browser", "server")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave alone what a run on PostgreSQL has no use for: to load all tests takes longer than to read their texts."""
    if os.environ.get("TEST_DATABASE") != "postgresql" or not collection_path.match("test_*.py"):
        return None
    return True if "data_layer" not in collection_path.read_text() else None


def pytest_collection_finish() -> None:
    """Don't look for garbage among what lasts as long as the run: thousands of tests, and all modules."""
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped browser or server test into a failure when `CI` is set."""
    report = yield
    must_run = any(item.get_closest_marker(name) for name in MUST_RUN_IN_CI)
    if report.skipped and must_run and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, which CI does not allow: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, object]) -> dict[str, object]:
    """Drive the system's Chromium: pytest-playwright would look for a download of its own."""
    from tests.servers import find_chromium

    return {
        **browser_type_launch_args,
        "executable_path": find_chromium(),
        # Chromium's own sandbox needs what containers forbid.
        "args": ["--no-sandbox", "--disable-dev-shm-usage"],
    }


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run a real S3 server on the loopback interface."""
    with serve_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def live_application(tmp_path: Path) -> Iterator[LiveApplication]:
    """Run the whole application, web server and worker, on a folder of its own, with one account and team."""
    with serve_with_account(tmp_path / "application") as application:
        yield application


@pytest.fixture(autouse=True)
def _empty_guarded_tables(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty the tables whose rows the database refuses to delete, before Django's own flush tries to."""
    marker = request.node.get_closest_marker("django_db")
    if "transactional_db" in request.fixturenames or (marker and marker.kwargs.get("transaction")):
        request.getfixturevalue("transactional_db")
        yield
        empty_guarded_tables()
    else:
        yield


def empty_guarded_tables() -> None:
    """Delete all rows that are guarded by triggers, through the purge's own door."""
    from django.db import connection, transaction

    from datasets_app import models

    staged = (models.StagedFile, models.StagedMove)
    facts = (models.Label, models.Lineage, models.VersionSpace)
    tables = (models.JobDataset, models.Version, models.File, models.NameList, models.Subdirectory, models.Directory)
    with transaction.atomic(), connection.cursor() as cursor:
        models.Door.objects.create(name="purge")
        marks = (models.UnreferencedDirectory, models.UnreferencedBlob, models.RetiredPack)
        damages = (models.DamagedPath, models.Damage)
        imports = (models.RememberedObject, models.ImportProblem, models.ImportPart, models.Import)
        for model in (*damages, *marks, *imports, *staged, *facts, *tables, models.TeamBlob, models.Blob, models.Pack):
            cursor.execute(f"DELETE FROM {model._meta.db_table}")
        # Nothing may be left that points at what is gone.
        cursor.execute(f"DELETE FROM {models.Upload._meta.db_table}")
        cursor.execute(f"DELETE FROM {models.StagedRemoval._meta.db_table}")
        models.Door.objects.all().delete()
