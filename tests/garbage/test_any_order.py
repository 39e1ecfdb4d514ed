"""All that links and all that removes, in any order: nothing that is held is lost, nothing unused stays."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from datasets_app.errors import AppError, Conflict
from datasets_app.models import Blob, Dataset, StagedFile, User, Version
from datasets_app.services import content
from datasets_app.services.composing import compose_version
from datasets_app.services.connections import create_connection
from datasets_app.services.damages import damaged_versions, is_anything_damaged
from datasets_app.services.garbage import collect_now, purge_dataset, purge_version
from datasets_app.services.imports import start_import
from datasets_app.services.integrity import verify_now
from datasets_app.services.moving import Move, move_paths, undo_all
from datasets_app.services.plans import plan_files, remove_paths
from datasets_app.services.recipes import Part
from datasets_app.services.staged import DeclaredFile
from datasets_app.services.trash import delete_dataset, delete_version, restore_dataset, restore_version
from datasets_app.services.uploads import append, create_bundle
from datasets_app.services.versions import abandon_version, create_version, run_seal, seal_version
from tests.conftest import empty_guarded_tables
from tests.factories import make_dataset, make_member, make_team
from tests.garbage.conftest import objects, pack_objects, read_back
from tests.imports.bucket import Bucket, settings_of, work
from tests.integrity.conftest import flip
from tests.servers import S3Server

pytestmark = [pytest.mark.data_layer, pytest.mark.server, pytest.mark.django_db(transaction=True)]

# Few, so that versions share much.
CONTENTS = [bytes([number]) * size for number, size in enumerate((0, 1, 2, 9, 40, 100, 200, 300))]
PATHS = ["a", "b", "d/a", "d/b", "d/e/a", "f/a"]
file_sets = st.dictionaries(st.sampled_from(PATHS), st.sampled_from(CONTENTS), min_size=1, max_size=4)
# Folders of the store that imports read.
SOURCES = {f"s{n}": {path: CONTENTS[(n + m * 3) % len(CONTENTS)] for m, path in enumerate(PATHS[n:])} for n in range(3)}
picks = st.integers(min_value=0, max_value=1000)
NIGHTLY = 500
SLACK = {
    "sqlite": ("PRAGMA synchronous = OFF", "PRAGMA synchronous = FULL"),
    "postgresql": ("SET synchronous_commit = off", "RESET synchronous_commit"),
}


class Life(RuleBasedStateMachine):
    """One dataset. What each version must give back is kept beside it; the clock of the collector is set forward."""

    store: Path
    bucket: Bucket
    # Whether the end waits for grace periods, rather than go without: that takes more collections.
    patient: bool

    def __init__(self) -> None:
        super().__init__()
        self.opened: dict[int, dict[str, bytes]] = {}
        self.begun: dict[int, dict[str, bytes]] = {}
        self.sealed: dict[int, dict[str, bytes]] = {}
        self.trash: dict[int, dict[str, bytes]] = {}
        self.hours = 0.0

    @initialize()
    def begin(self) -> None:
        # What a round that failed has left must not make the next one fail.
        empty_guarded_tables()
        for folder in (self.store, self.store.parent / "staging"):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self.dataset: Dataset = make_dataset(make_team())
        self.admin: User = make_member(self.dataset.team, "admin")
        team, values = self.dataset.team.name, settings_of(self.bucket.server)
        self.connection = create_connection(self.admin, team=team, name="store", provider="minio", values=values)

    @rule(pick=picks, based=st.booleans(), files=file_sets)
    def start(self, pick: int, files: Mapping[str, bytes], *, based: bool) -> None:
        base = chosen(self.sealed, pick) if based and self.sealed else None
        version = create_version(self.admin, dataset=self.dataset, base=base.number if base else None)
        self.opened[version.pk] = dict(self.sealed[base.pk]) if base else {}
        self.begun[version.pk] = dict(self.opened[version.pk])
        self._send(version, files, hashed=True, whole=True)

    @precondition(lambda self: self.opened)
    @rule(pick=picks, files=file_sets, hashed=st.booleans(), whole=st.booleans(), at_once=st.booleans())
    def send(self, pick: int, files: Mapping[str, bytes], *, hashed: bool, whole: bool, at_once: bool) -> None:
        self._send(chosen(self.opened, pick), files, hashed=hashed, whole=whole, at_once=at_once)

    def _send(
        self, version: Version, files: Mapping[str, bytes], *, hashed: bool, whole: bool, at_once: bool = False
    ) -> None:
        """Plan files and send what is needed; or only a part of it, and give it up, as when a client dies.

        `at_once`: the plan itself starts the bundle.
        """
        here = self.opened[version.pk]
        declared = [DeclaredFile(path, len(data), digest_of(data) if hashed else None) for path, data in files.items()]
        planned = plan_files(self.admin, version=version, files=declared, bundle=at_once)
        wanted = ("needed",) if at_once else ("needed", "partial")
        needed = [item.path for item in planned.files if item.state in wanted]
        if needed:
            upload = planned.bundle or create_bundle(self.admin, version=version, paths=needed)
            data = io.BytesIO(b"".join(files[path] for path in needed))
            length = upload.size if whole else upload.size // 2
            if length:
                append(self.admin, upload=upload, offset=0, read=data.read, length=length)
        stored = set(version.staged.exclude(blob=None).values_list("path", flat=True))
        left = [path for path in files if path not in stored]
        here |= {path: data for path, data in files.items() if path in stored}
        if left:
            remove_paths(self.admin, version=version, paths=left)
            for path in left:
                here.pop(path, None)

    @precondition(lambda self: self.opened)
    @rule(pick=picks, source=st.sampled_from(sorted(SOURCES)))
    def bring(self, pick: int, source: str) -> None:
        """Import a folder of a real store; what was read before is linked, unless it was collected since."""
        version = chosen(self.opened, pick)
        run = start_import(
            self.admin,
            version=version,
            connection=self.connection,
            source_path=f"{self.bucket.name}/{source}",
            seal=False,
        )
        work(run)
        assert (run.status, run.failed_files, run.refused_files) == ("finished", 0, 0), run.error
        assert run.copied_files + run.linked_files == len(SOURCES[source])
        self.opened[version.pk] |= SOURCES[source]

    @precondition(lambda self: self.opened)
    @rule(pick=picks, path=st.sampled_from([*PATHS, "d/"]))
    def remove(self, pick: int, path: str) -> None:
        version = chosen(self.opened, pick)
        remove_paths(self.admin, version=version, paths=[path])
        here = self.opened[version.pk]
        for gone in [name for name in here if name == path or is_below(name, path)]:
            del here[gone]

    @precondition(lambda self: self.opened)
    @rule(pick=picks, source=st.sampled_from([*PATHS, "d/", "d/e/", "g/"]), goal=st.sampled_from([*PATHS, "g", "f"]))
    def move(self, pick: int, source: str, goal: str) -> None:
        """Move a file or a folder; where that can't be, it is refused and nothing has changed."""
        if source.endswith("/") is not (goal in {"f", "g"}):
            # What is sent later to one of PATHS must not find a file in the place of its folder.
            return
        version = chosen(self.opened, pick)
        here = self.opened[version.pk]
        try:
            moved = move_paths(self.admin, version=version, moves=[Move(source, goal)])
        except AppError:
            assert not may_move(here, source, goal)
            return
        if not moved:
            return
        going = {path: data for path, data in here.items() if path == source or is_below(path, source)}
        assert going
        for path, data in going.items():
            del here[path]
            here[goal + path[len(source.removesuffix("/")) :]] = data

    @precondition(lambda self: self.opened)
    @rule(pick=picks)
    def undo(self, pick: int) -> None:
        version = chosen(self.opened, pick)
        undo_all(self.admin, version=version)
        self.opened[version.pk] = dict(self.begun[version.pk])

    @precondition(lambda self: self.sealed)
    @rule(first=picks, second=picks)
    def compose(self, first: int, second: int) -> None:
        """Merge two versions by reference; where they differ, the first counts."""
        parts = [chosen(self.sealed, first), chosen(self.sealed, second)]
        version = compose_version(
            self.admin,
            team=self.dataset.team.name,
            name=self.dataset.name,
            parts=[Part(self.dataset.name, part.number) for part in parts],
            on_clash="first",
        )
        run_seal(version.pk)
        version.refresh_from_db()
        assert version.status == "available", version.error
        self.sealed[version.pk] = self.sealed[parts[1].pk] | self.sealed[parts[0].pk]

    @precondition(lambda self: self.sealed)
    @rule(pick=picks)
    def damage(self, pick: int) -> None:
        """A bit flips; a verification finds it, a version that is sealed then is marked, the same bytes heal it."""
        version = chosen(self.sealed, pick)
        data = max(self.sealed[version.pk].values(), key=len)
        if not data:
            return
        flip(self.store, digest_of(data))
        verify_now(progress=lambda _run: None)
        later = create_version(self.admin, dataset=self.dataset, base=version.number)
        self._seal(later, dict(self.sealed[version.pk]))
        assert damaged_versions([version, later]) == {version.pk, later.pk}
        lost = StagedFile.objects.filter(version__in=self.opened, blob=None)
        for pk, path in list(lost.values_list("version", "path")):
            self._send(Version.objects.get(pk=pk), {path: data}, hashed=True, whole=True)
        healing = create_version(self.admin, dataset=self.dataset)
        self.opened[healing.pk], self.begun[healing.pk] = {}, {}
        self._send(healing, {"a": data}, hashed=True, whole=True)
        assert not is_anything_damaged()

    @rule(hours=st.sampled_from([1, 25]))
    def away(self, hours: float) -> None:
        """The whole dataset in the trash, while a collection runs."""
        delete_dataset(self.admin, team=self.dataset.team.name, name=self.dataset.name)
        self.collect(hours, 50)
        restore_dataset(self.admin, team=self.dataset.team.name, name=self.dataset.name)

    @rule(pick=picks, files=file_sets)
    def seal(self, pick: int, files: Mapping[str, bytes]) -> None:
        if not self.opened:
            self.start(pick, files, based=True)
        version = chosen(self.opened, pick)
        held = self.opened.pop(version.pk)
        if not held:
            abandon_version(self.admin, version=version)
            return
        self._seal(version, held)

    def _seal(self, version: Version, held: dict[str, bytes]) -> None:
        seal_version(self.admin, version=version)
        run_seal(version.pk)
        version.refresh_from_db()
        assert version.status == "available", version.error
        self.sealed[version.pk] = held

    @precondition(lambda self: self.opened)
    @rule(pick=picks)
    def abandon(self, pick: int) -> None:
        version = chosen(self.opened, pick)
        abandon_version(self.admin, version=version)
        del self.opened[version.pk]

    @precondition(lambda self: self.sealed)
    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        version = chosen(self.sealed, pick)
        needed = Version.objects.filter(base=version, pk__in=self.opened).exists()
        try:
            delete_version(self.admin, version=version)
        except Conflict:
            assert needed
        else:
            assert not needed
            self.trash[version.pk] = self.sealed.pop(version.pk)

    @precondition(lambda self: self.trash)
    @rule(pick=picks)
    def restore(self, pick: int) -> None:
        version = chosen(self.trash, pick)
        team, name = self.dataset.team.name, self.dataset.name
        restore_version(self.admin, team=team, dataset=name, number=version.number)
        self.sealed[version.pk] = self.trash.pop(version.pk)

    @precondition(lambda self: self.trash)
    @rule(pick=picks)
    def purge(self, pick: int) -> None:
        version = chosen(self.trash, pick)
        purge_version(self.admin, version=version)
        del self.trash[version.pk]

    @rule(hours=st.sampled_from([0, 1, 13, 25]), percent=st.sampled_from([0, 50, 100]))
    def collect(self, hours: float, percent: int) -> None:
        self.hours += hours
        self._collect(percent)

    def _collect(self, percent: int, *, grace: float = 24) -> None:
        with override_settings(COMPACT_BELOW_PERCENT=percent, GRACE_HOURS=grace):
            run = collect_now(now=timezone.now() + timedelta(hours=self.hours))
        assert run.status == "finished", run.error
        assert run.notes == []
        self.everything_held_reads_back()
        connection.check_constraints()

    def _collect_all(self) -> None:
        """Marked, removed and moved by compaction, and what that left removed: a grace period lies between."""
        if not self.patient:
            self._collect(100, grace=0)
        for _ in range(3 if self.patient else 1):
            self.hours += 25
            self._collect(100, grace=24 if self.patient else 0)

    def everything_held_reads_back(self) -> None:
        for pk, files in (self.sealed | self.trash).items():
            assert read_back(Version.objects.get(pk=pk)) == files
        for row in StagedFile.objects.filter(version__in=self.opened).exclude(blob=None).select_related("blob__pack"):
            assert row.blob is not None
            assert digest_of(b"".join(content.read_blob(row.blob))) == bytes(row.blob.sha256)

    def teardown(self) -> None:
        """In the end every unused byte goes, and then, with all versions, everything."""
        self._collect_all()
        assert sum(pack_objects(self.store).values()) == sum(Blob.objects.values_list("size", flat=True))
        held = {data for files in (self.sealed | self.trash).values() for data in files.values()}
        staged = {data for files in self.opened.values() for data in files.values()}
        assert {bytes(blob.sha256) for blob in Blob.objects.all()} <= {digest_of(data) for data in held | staged}
        for pk in self.opened:
            abandon_version(self.admin, version=Version.objects.get(pk=pk))
        delete_dataset(self.admin, team=self.dataset.team.name, name=self.dataset.name)
        purge_dataset(self.admin, dataset=self.dataset)
        self.opened, self.sealed, self.trash = {}, {}, {}
        self._collect_all()
        assert not Blob.objects.exists()
        assert objects(self.store) == {}
        assert not any((self.store.parent / "staging").iterdir())


def digest_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def is_below(path: str, folder: str) -> bool:
    return folder.endswith("/") and path.startswith(folder)


def may_move(files: Mapping[str, bytes], source: str, goal: str) -> bool:
    """Tell whether a move has something to move, to where nothing is in its way."""
    going = {path for path in files if path == source or is_below(path, source)}
    rest = files.keys() - going
    in_the_way = any(path == goal or is_below(path, f"{goal}/") or is_below(goal, f"{path}/") for path in rest)
    return bool(going) and not in_the_way and not is_below(f"{goal}/", source) and source.removesuffix("/") != goal


def chosen(versions: Mapping[int, object], pick: int) -> Version:
    """Take one of them, whichever."""
    return Version.objects.select_related("dataset__team").get(pk=sorted(versions)[pick % len(versions)])


def live(store: Path, server: S3Server, settings: LazySettings, *, rounds: int, steps: int) -> None:
    Life.store, Life.bucket, Life.patient = store, Bucket(server), rounds >= NIGHTLY
    Life.bucket.put({f"{name}/{path}": data for name, files in SOURCES.items() for path, data in files.items()})
    settings.ALLOWED_SOURCE_NETWORKS = ["127.0.0.0/8"]
    settings.TRASH_DAYS = 365
    # No power cut is tested here, and each of ten thousand commits would wait for the disk.
    slack, sure = SLACK[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(slack)
    run_state_machine_as_test(
        Life,
        settings=hypothesis_settings(
            max_examples=rounds,
            stateful_step_count=steps,
            deadline=None,
            derandomize=rounds < NIGHTLY,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    with connection.cursor() as cursor:
        cursor.execute(sure)


def test_thirty_rounds(store: Path, s3_server: S3Server, settings: LazySettings) -> None:
    live(store, s3_server, settings, rounds=30, steps=5)


@pytest.mark.nightly
def test_five_hundred_rounds(store: Path, s3_server: S3Server, settings: LazySettings) -> None:
    live(store, s3_server, settings, rounds=NIGHTLY, steps=15)
