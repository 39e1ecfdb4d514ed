"""Measure the data layer at a million rows: sealing, pages of large directories, search, on SQLite and PostgreSQL.

Each step runs in a process of its own, `python -m benchmarks.rows STEP`, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from benchmarks.report import Goal, table

if TYPE_CHECKING:
    from datasets_app.models import User, Version

DIRECTORIES = 1000
WIDE_FILES = 100_000
WIDE_DIRECTORIES = 10_000
BLOBS_A_PACK = 1000
BLOB_BYTES = 20_000
REPEATS = 20


class Layer(NamedTuple):
    """What one database did. Seconds, MiB; pages and searches are milliseconds by name."""

    database: str
    files: int
    seal_seconds: float
    seal_cpu_seconds: float
    seal_peak_mib: float
    pages: dict[str, float]
    searches: dict[str, float]


def measure_rows(scratch: Path, *, files: int) -> list[Layer]:
    """Run every step on SQLite, then on a PostgreSQL that is started for it."""
    from tests.postgresql import start_postgresql

    layers = []
    for database in ("SQLite", "PostgreSQL"):
        folder = scratch / database.lower()
        folder.mkdir()
        environment = {**os.environ, "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "flexai_site.settings"}
        if database == "PostgreSQL":
            environment["DATABASE_URL"] = start_postgresql()
        print(f"{database}: staging", file=sys.stderr)
        _run_step("stage", files, environment)
        print(f"{database}: sealing", file=sys.stderr)
        sealed = _run_step("seal", files, environment)
        print(f"{database}: {sealed}", file=sys.stderr)
        pages = _run_step("pages", files, environment)
        print(f"{database}: {pages}", file=sys.stderr)
        searches = _run_step("search", files, environment)
        print(f"{database}: {searches}", file=sys.stderr)
        layers.append(Layer(database, files, pages=pages, searches=searches, **sealed))
    return layers


def rows_report(layers: list[Layer]) -> list[str]:
    """Markdown: sealing, then pages."""
    files = f"{layers[0].files:,} files in {DIRECTORIES:,} directories"
    seals = [
        [layer.database, f"{layer.seal_seconds:.1f}", f"{layer.seal_cpu_seconds:.1f}", f"{layer.seal_peak_mib:.0f}"]
        for layer in layers
    ]
    pages = [[name, *(f"{layer.pages[name]:.1f}" for layer in layers)] for name in layers[0].pages]
    searches = [[name, *(f"{layer.searches[name]:.1f}" for layer in layers)] for name in layers[0].searches]
    return [
        f"### Sealing {files}",
        "",
        *table(["", "seconds", "CPU seconds of the process", "peak memory, MiB"], seals),
        "",
        f"### One page of 200 entries, milliseconds (median of {REPEATS})",
        "",
        *table(["", *(layer.database for layer in layers)], pages),
        "",
        f"### Search among {files}, milliseconds (median of {REPEATS})",
        "",
        *table(["", *(layer.database for layer in layers)], searches),
        "",
    ]


def rows_goals(layers: list[Layer]) -> list[Goal]:
    """Compare with what has to hold."""
    goals = []
    for layer in layers:
        most = 30 if layer.database == "SQLite" else 60
        goals += [
            Goal(f"{layer.database}: seconds of sealing", layer.seal_seconds, "at most", most),
            Goal(f"{layer.database}: peak memory of sealing, MiB", layer.seal_peak_mib, "at most", 400),
            Goal(f"{layer.database}: slowest page, ms", max(layer.pages.values()), "at most", 50),
            Goal(f"{layer.database}: slowest search, ms", max(layer.searches.values()), "at most", 200),
        ]
    return goals


def _run_step(step: str, files: int, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.rows", step, f"--files={files}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{step} failed: {done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def stage(files: int) -> dict[str, Any]:
    """Make two open versions whose files are all verified: the large one, and one with wide directories."""
    from django.core.management import call_command
    from django.db import connection, transaction

    call_command("migrate", interactive=False, verbosity=0)
    with transaction.atomic():
        _stage(files)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return {}


def _stage(files: int) -> None:
    from datasets_app.models import StagedFile, User
    from datasets_app.models.bulk import insert_rows
    from datasets_app.services.accounts import bootstrap
    from datasets_app.services.datasets import create_dataset
    from datasets_app.services.versions import create_version
    from datasets_app.store.paths import to_key

    team = bootstrap(username="bench", password="not used anywhere else", team="bench").team  # noqa: S106
    actor = User.objects.get(username="bench")
    _stage_blobs(max(files, WIDE_FILES + WIDE_DIRECTORIES))
    each = files // DIRECTORIES
    many = (f"set-{i // each:04}/sample-{i:07}.bin" for i in range(files))
    wide = itertools.chain(
        (f"directories/{i:06}/sample.bin" for i in range(WIDE_DIRECTORIES)),
        (f"files/sample-{i:06}.bin" for i in range(WIDE_FILES)),
    )
    for name, paths in (("many", many), ("wide", wide)):
        version = create_version(actor, dataset=create_dataset(actor, team=team.name, name=name))
        rows = ((version.pk, to_key(path), BLOB_BYTES, n, 0, "") for n, path in enumerate(paths, start=1))
        insert_rows(StagedFile, ("version_id", "path", "size", "blob_id", "offset", "error"), rows)
        type(version).objects.filter(pk=version.pk).update(status="pending")


def _stage_blobs(count: int) -> None:
    from django.utils import timezone

    from datasets_app.models import Blob, Pack
    from datasets_app.models.bulk import database_value, insert_rows

    now = database_value(timezone.now())
    packs = ((n, f"bench/{n}", BLOBS_A_PACK * BLOB_BYTES, True, now) for n in range(1, count // BLOBS_A_PACK + 2))
    insert_rows(Pack, ("id", "key", "size", "stored", "created_at"), packs)
    blobs = (
        (
            n,
            hashlib.sha256(b"%d" % n).digest(),
            BLOB_BYTES,
            n // BLOBS_A_PACK + 1,
            n % BLOBS_A_PACK * BLOB_BYTES,
            now,
        )
        for n in range(1, count + 1)
    )
    insert_rows(Blob, ("id", "sha256", "size", "pack_id", "offset", "created_at"), blobs)


def seal(files: int) -> dict[str, Any]:
    """Seal the large version as a worker would."""
    from datasets_app.services.versions import run_seal

    version = _find("many")
    started, cpu = time.perf_counter(), time.process_time()
    run_seal(version.pk)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    # Kilobytes on Linux.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    version = _find("many")
    if version.status != "available" or version.file_count != files:
        sys.exit(f"sealing gave {version.status} with {version.file_count} files: {version.error}")
    return {"seal_seconds": seconds, "seal_cpu_seconds": cpu, "seal_peak_mib": peak}


def pages(_files: int) -> dict[str, Any]:
    """Time first and last pages: in the service, and as whole requests to the API inside this process."""
    from django.conf import settings

    from datasets_app.models import User
    from datasets_app.services.browsing import list_directory
    from datasets_app.services.versions import run_seal

    settings.ALLOWED_HOSTS = ["testserver"]
    version = _find("wide")
    run_seal(version.pk)
    version = _find("wide")
    actor = User.objects.get(username="bench")
    ask = _api_call(actor, version)
    found = {}
    for path, title in (
        ("files", f"{WIDE_FILES:,} files"),
        ("directories", f"{WIDE_DIRECTORIES:,} directories"),
    ):
        last = _last_cursor(actor, version, path)
        for place, cursor in (("first", None), ("last", last)):

            def read(path: str = path, cursor: str | None = cursor) -> None:
                list_directory(actor, version=version, path=path, cursor=cursor)

            def request(path: str = path, cursor: str | None = cursor) -> None:
                ask(path, cursor)

            found[f"{title}, {place} page: service"] = _milliseconds(read)
            found[f"{title}, {place} page: API request"] = _milliseconds(request)
    return found


def search(files: int) -> dict[str, Any]:
    """Time searches: those that find much and stop early, and those that find nothing and look at every name."""
    from django.db import connection

    from datasets_app.models import User
    from datasets_app.services.searching import Search, search_files

    if connection.vendor == "postgresql":
        # As its autovacuum does after a while. Nobody does so for SQLite.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")
    version = _find("many")
    actor = User.objects.get(username="bench")
    last = f"{files - 1:07}"
    asked = {
        "a part of many names": Search(text="sample-0"),
        "a part of one name": Search(text=last),
        "a part of no name": Search(text="nothing"),
        "a part of a path": Search(text=f"set-{DIRECTORIES - 1:04}/sample-{last[:-1]}"),
        "a pattern of many names": Search(text="*.bin"),
        "a pattern of no name": Search(text="*.jp?g"),
        "a pattern of paths": Search(text="set-09*/**/*7.bin"),
        "an ending that no file has": Search(suffix="json"),
        "a size that many have": Search(least_size=10),
        "a size that none has": Search(least_size=10 * BLOB_BYTES),
        "name, ending and size together: many files": Search(
            text="7", suffix="bin", least_size=10, most_size=BLOB_BYTES
        ),
        "name, ending and size together: one file": Search(text=last, suffix="bin", least_size=10),
    }

    def find(wanted: Search, page: int = 1) -> Callable[[], None]:
        def once() -> None:
            search_files(actor, version=version, search=wanted, page=page)

        return once

    found = {name: _milliseconds(find(wanted)) for name, wanted in asked.items()}
    # Pages by number pass over what is before them; those of the API go on where the one before ended.
    hundredth = files // 10_000
    found[f"page {hundredth} of a part of many names"] = _milliseconds(find(Search(text="sample-0"), page=hundredth))
    return found


def _api_call(actor: User, version: Version) -> Callable[[str, str | None], None]:
    from django.test import Client

    from datasets_app.services.tokens import create_token

    _, text = create_token(actor, name="bench")
    client = Client(headers={"Authorization": f"Bearer {text}"})
    base = f"/api/v1/teams/bench/datasets/{version.dataset.name}/versions/{version.number}/tree"

    def ask(path: str, cursor: str | None) -> None:
        query = urlencode({"limit": 200} | ({"cursor": cursor} if cursor else {}))
        answer = client.get(f"{base}/{path}?{query}")
        if answer.status_code != 200 or not answer.json()["items"]:
            sys.exit(f"{answer.status_code}: {answer.content.decode()[:500]}")

    return ask


def _last_cursor(actor: User, version: Version, path: str) -> str | None:
    from datasets_app.services.browsing import list_directory

    cursor = None
    while following := list_directory(actor, version=version, path=path, cursor=cursor).next_cursor:
        cursor = following
    return cursor


def _milliseconds(what: Callable[[], None]) -> float:
    def once() -> float:
        started = time.perf_counter()
        what()
        return (time.perf_counter() - started) * 1000

    once()
    return median(once() for _ in range(REPEATS))


def _find(name: str) -> Version:
    from datasets_app.models import Version

    return Version.objects.select_related("dataset__team", "root").get(dataset__name=name)


def _steps() -> Iterator[tuple[str, Callable[[int], dict[str, Any]]]]:
    yield from {"stage": stage, "seal": seal, "pages": pages, "search": search}.items()


def main() -> None:
    """Run one step in this process and print its numbers as a line of JSON."""
    import django

    parser = argparse.ArgumentParser(description=__doc__)
    steps = dict(_steps())
    parser.add_argument("step", choices=list(steps))
    parser.add_argument("--files", type=int, required=True)
    chosen = parser.parse_args()
    django.setup()
    print(json.dumps(steps[chosen.step](chosen.files)))


if __name__ == "__main__":
    main()
